"""Paths, clusters and duplicates, on made cases whose answers are known."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.retrieval.clusters import find_clusters, name_clusters
from solfa.retrieval.contents import LibraryTrack
from solfa.retrieval.duplicates import candidates, find_duplicates, groups
from solfa.retrieval.fingerprints import SAMPLE_RATE, align, fingerprint_of
from solfa.retrieval.index import units
from solfa.retrieval.path import find_path, longest_step
from synth import melody

DIM = 16
RATE = 22_050


def arc(degrees: np.ndarray) -> np.ndarray:
    """Tracks on a quarter of a circle, by their angles."""
    vectors = np.zeros((len(degrees), DIM), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vectors


def test_a_path_goes_over_what_lies_between_in_even_steps() -> None:
    degrees = np.array([0.0, 90.0, 45.0, 22.0, 68.0, 30.0, 61.0])
    elsewhere = np.random.default_rng(0).standard_normal((50, DIM)).astype(np.float32)
    elsewhere[:, :2] = 0
    vectors = np.concatenate([arc(degrees), elsewhere])
    assert find_path(vectors, 0, 1, 3) == [0, 3, 2, 4, 1]
    assert find_path(vectors, 1, 0, 3) == [1, 4, 2, 3, 0]
    assert find_path(vectors, 0, 1, 1) == [0, 2, 1]
    assert find_path(vectors, 0, 1, 0) == [0, 1]
    assert np.degrees(longest_step(vectors, find_path(vectors, 0, 1, 3))) == pytest.approx(23, abs=0.1)


def test_a_path_comes_over_no_track_twice_and_not_over_copies_of_its_ends() -> None:
    vectors = np.random.default_rng(1).standard_normal((60, DIM)).astype(np.float32)
    vectors[7] = 2 * vectors[3]
    for n_between in (1, 5, 20, 500):
        path = find_path(vectors, 3, 40, n_between)
        assert path[0] == 3 and path[-1] == 40 and len(set(path)) == len(path) <= n_between + 2
        assert 7 not in path
    steps = [longest_step(vectors, find_path(vectors, 3, 40, n)) for n in (0, 5)]
    assert steps[1] < steps[0]
    assert find_path(vectors[[3, 40]], 0, 1, 5) == [0, 1]
    assert find_path(vectors[[3, 7, 40]], 0, 2, 5) == [0, 2]


def test_clusters_are_the_groups_that_were_made() -> None:
    rng = np.random.default_rng(2)
    centres = np.eye(DIM)[:4]
    sizes = (9, 7, 5, 3)
    labels = np.repeat(np.arange(4), sizes)
    order = rng.permutation(len(labels))
    labels = labels[order]
    vectors = (centres[labels] + 0.1 * rng.standard_normal((len(labels), DIM))).astype(np.float32)
    clusters = find_clusters(vectors, 4)
    assert [len(cluster.rows) for cluster in clusters] == list(sizes)
    for number, cluster in enumerate(clusters):
        assert set(labels[cluster.rows]) == {number}
        nearness = units(vectors[cluster.rows]) @ cluster.centre
        assert (np.diff(nearness) <= 1e-6).all()
    words = np.concatenate([centres[:4] + 0.5, np.ones((1, DIM))])  # the last one is near to all
    names = name_clusters(clusters, ["piano", "drums", "choir", "flute", "music"], words)
    assert [name.split(", ")[0] for name in names] == ["piano", "drums", "choir", "flute"]


def test_few_tracks_make_few_clusters() -> None:
    vectors = np.random.default_rng(3).standard_normal((3, DIM)).astype(np.float32)
    assert sorted(len(cluster.rows) for cluster in find_clusters(vectors)) == [1, 2]
    assert len(find_clusters(vectors[[0, 0, 0]], 5)) == 1
    assert find_clusters(vectors[:0]) == []
    alike = find_clusters(vectors, 3)
    names = name_clusters(alike, ["piano", "drums"], np.eye(DIM)[:2])
    assert len(set(names)) <= len(names) == 3


def test_fingerprints_tell_where_a_part_lies() -> None:
    whole = melody(40.0, seed=5, sample_rate=SAMPLE_RATE)
    noisy = 0.3 * whole[round(12.34 * SAMPLE_RATE) :] + 1e-3 * np.random.default_rng(0).standard_normal(
        len(whole) - round(12.34 * SAMPLE_RATE)
    )
    found = align(fingerprint_of(whole), fingerprint_of(noisy.astype(np.float32)))
    assert found is not None and found.agreement > 0.72
    assert found.offset == pytest.approx(12.34, abs=0.05) and found.shared == pytest.approx(27.3, abs=0.5)
    other = align(fingerprint_of(whole), fingerprint_of(melody(40.0, seed=6, sample_rate=SAMPLE_RATE)))
    assert other is not None and other.agreement < 0.65
    assert align(fingerprint_of(whole), fingerprint_of(whole[:1000])) is None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A recording, and what becomes of recordings; and others."""
    folder = tmp_path_factory.mktemp("made")
    paths = {}

    def write(name: str, waveform: np.ndarray) -> None:
        paths[name] = folder / name
        soundfile.write(paths[name], waveform, RATE)

    whole = melody(30.0, seed=1, sample_rate=RATE)
    write("whole.wav", whole)
    write("cut.wav", whole[10 * RATE : 24 * RATE])
    write("other.wav", melody(30.0, seed=2, sample_rate=RATE))
    write("third.wav", melody(25.0, seed=3, sample_rate=RATE))
    paths["copy.wav"] = Path(shutil.copy(paths["whole.wav"], folder / "copy.wav"))
    soundfile.write(folder / "small.ogg", whole, RATE)  # encoded anew, with loss
    paths["small.ogg"] = folder / "small.ogg"
    return paths


def tracks_of(paths: dict[str, Path]) -> list[LibraryTrack]:
    tracks = []
    for id, (name, path) in enumerate(paths.items(), start=1):
        seconds = soundfile.info(path).duration
        content = "whole" if name in ("whole.wav", "copy.wav") else name
        tracks.append(
            LibraryTrack(
                id=id, path=path, seconds=seconds, sample_rate=RATE, n_channels=1, content_hash=content
            )
        )
    return tracks


def test_copies_encodings_and_cuts_are_found_and_others_are_not(made: dict[str, Path]) -> None:
    tracks = tracks_of(made)
    found = find_duplicates(tracks, np.ones((len(tracks), DIM), np.float32))  # all may be the same
    kinds = {frozenset((pair.first.path.name, pair.second.path.name)): pair.kind for pair in found}
    originals = ("whole.wav", "copy.wav", "small.ogg")
    expected = {frozenset(("whole.wav", "copy.wav")): "copy"}
    expected |= {frozenset((name, "small.ogg")): "same" for name in originals[:2]}
    expected |= {frozenset((name, "cut.wav")): "cut" for name in originals}
    assert kinds == expected
    cut = next(pair for pair in found if pair.kind == "cut")
    assert cut.second.path.name == "cut.wav" and cut.offset == pytest.approx(10, abs=0.1)
    assert [len(group) for group in groups(found)] == [4]


def test_a_file_that_is_gone_is_passed_over(made: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    tracks = tracks_of({name: made[name] for name in ("whole.wav", "small.ogg", "other.wav")})
    gone = [*tracks[:2], LibraryTrack(**(vars(tracks[2]) | {"path": Path("/gone.wav")}))]
    assert len(find_duplicates(gone, np.ones((3, DIM), np.float32))) == 1
    assert "Passed over /gone.wav" in caplog.text


def test_only_what_is_near_is_listened_to() -> None:
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((50, 64)).astype(np.float32)
    vectors[10] = vectors[3] + 0.05 * rng.standard_normal(64)
    lengths = [float(row) for row in range(50)]
    assert candidates(vectors, lengths) == [(3, 10)]


def test_a_recording_that_the_model_hears_otherwise_is_known_by_its_length(made: dict[str, Path]) -> None:
    """As where it is softer or has lost its treble; an opposite vector is the worst that can be."""
    tracks = tracks_of({name: made[name] for name in ("whole.wav", "other.wav", "third.wav", "small.ogg")})
    vectors = np.eye(DIM, dtype=np.float32)[:4]
    vectors[3] = -vectors[0]
    (pair,) = find_duplicates(tracks, vectors)
    assert {pair.first.path.name, pair.second.path.name} == {"whole.wav", "small.ogg"} and pair.kind == "same"


def test_of_many_tracks_of_one_length_the_nearest_are_listened_to() -> None:
    vectors = np.random.default_rng(5).standard_normal((200, 64)).astype(np.float32)
    vectors[150] = vectors[20] + 0.1
    pairs = candidates(vectors, [180.0] * 100 + [180.2] * 100)
    assert (20, 150) in pairs and len(pairs) <= 200 * 5
