"""The nearest tracks are found exactly, the same recording first."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.data.manifest import Track
from solfa.embedding import SpaceError, WindowConfig, describe_space
from solfa.models import AudioEncoder, load
from solfa.retrieval import Library, LibraryError, VectorIndex, similar
from synth import chord, clicks, melody, noise

WriteWav = Callable[[Path, np.ndarray], Path]


def tracks(n: int) -> list[Track]:
    return [
        Track(path=Path(f"/{i}"), seconds=1.0, sample_rate=24_000, n_channels=1, content_hash=str(i))
        for i in range(n)
    ]


@pytest.fixture
def library_path(tmp_path: Path, tiny_run: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav) -> Path:
    """A library of chords, beats, noise and a tune."""
    music = tmp_path / "music"
    sounds = {f"chord {root}": chord(root, "maj", 3.0) for root in (48, 60, 72)}
    sounds |= {f"clicks {tempo}": clicks(tempo, 3.0) for tempo in (60, 90, 180)}
    sounds |= {"noise": noise(3.0), "tune": melody(6.0, seed=3)}
    for name, waveform in sounds.items():
        write_wav(music / f"{name}.wav", waveform)
    space = describe_space(tiny_encoder, tiny_run, layer=2, pool="mean", windows=WindowConfig())
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([music], tiny_encoder)
    return tmp_path / "library.sqlite"


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 99), st.booleans())
def test_search_is_exact(n_tracks: int, n: int, seed: int, centred: bool) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((n_tracks, 5)).astype(np.float32)
    query = random.standard_normal(5).astype(np.float32)
    found = VectorIndex(tracks(n_tracks), vectors, centred).nearest(query, n)
    centre = vectors.mean(0) if centred else np.zeros(5)
    rows, wanted = vectors - centre, query - centre
    cosines = rows @ wanted / np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted), 1e-12)
    best = np.sort(cosines)[::-1][:n]
    np.testing.assert_allclose([match.score for match in found], best, atol=1e-4 if n_tracks > 1 else 2)
    assert len({match.track.path for match in found}) == min(n, n_tracks)


def test_equal_scores_come_in_the_order_of_tracks() -> None:
    index = VectorIndex(tracks(4), np.ones((4, 3), np.float32))
    found = index.nearest(np.ones(3, np.float32), 4)
    assert [match.track.content_hash for match in found] == ["0", "1", "2", "3"]


def test_a_vector_of_zeros_is_similar_to_nothing() -> None:
    index = VectorIndex(tracks(2), np.array([[0, 0], [1, 0]], np.float32))
    best, worst = index.nearest(np.ones(2, np.float32), 2)
    assert best.score == pytest.approx(2**-0.5) and worst.score == 0


def test_the_scale_of_a_vector_does_not_matter() -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    index = VectorIndex(tracks(5), vectors * np.arange(1, 6, dtype=np.float32)[:, None])
    plain = VectorIndex(tracks(5), vectors)
    for found, expected in zip(index.nearest(vectors[0], 5), plain.nearest(vectors[0] * 7, 5), strict=True):
        assert found.track == expected.track
        assert found.score == pytest.approx(expected.score, abs=1e-6)


def test_the_same_recording_is_found_among_others(
    library_path: Path, tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    excerpt = write_wav(tmp_path / "excerpt.wav", melody(6.0, seed=3)[24_000:120_000])
    with Library(library_path) as library:
        best = similar(library, excerpt, encoder=tiny_encoder)[0]
    assert best.track.path.name == "tune.wav"


@pytest.mark.parametrize("centred", [False, True])
def test_a_track_is_not_similar_to_itself_and_needs_no_model(
    library_path: Path, tmp_path: Path, centred: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solfa.retrieval.search.load", lambda name: pytest.fail("loaded a model"))
    with Library(library_path) as library:
        found = similar(library, tmp_path / "music" / "chord 60.wav", n=3, centred=centred)
    assert len(found) == 3
    assert "chord 60.wav" not in {match.track.path.name for match in found}
    assert found[0].track.path.name.startswith("chord")


def test_a_copy_elsewhere_counts_as_the_track_itself(library_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.wav"
    copy.write_bytes((tmp_path / "music" / "noise.wav").read_bytes())
    with Library(library_path) as library:
        assert "noise.wav" not in {match.track.path.name for match in similar(library, copy)}


def test_the_model_of_a_library_is_loaded_when_it_is_needed(
    library_path: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    query = write_wav(tmp_path / "query.wav", noise(2.0, seed=5))
    with Library(library_path) as library:
        assert similar(library, query, n=1)[0].track.path.name == "noise.wav"


def test_another_model_is_refused(
    library_path: Path, tmp_path: Path, other_run: Path, write_wav: WriteWav
) -> None:
    query = write_wav(tmp_path / "query.wav", noise(2.0, seed=5))
    with Library(library_path) as library, pytest.raises(SpaceError, match="cannot be compared"):
        similar(library, query, encoder=load(other_run))


def test_a_model_that_is_gone_is_named_with_the_cure(
    tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav
) -> None:
    write_wav(tmp_path / "music" / "a.wav", noise(1.0))
    space = describe_space(tiny_encoder, "/runs/gone", layer=2, pool="mean", windows=WindowConfig())
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([tmp_path / "music"], tiny_encoder)
        with pytest.raises(LibraryError, match=r"/runs/gone.*--model"):
            similar(library, write_wav(tmp_path / "b.wav", noise(1.0, seed=2)))


def test_an_empty_library_says_how_to_fill_it(tmp_path: Path, tiny_encoder: AudioEncoder) -> None:
    space = describe_space(tiny_encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())
    with (
        Library(tmp_path / "library.sqlite", space) as library,
        pytest.raises(LibraryError, match=r"no tracks yet.*solfa index"),
    ):
        VectorIndex.of(library)
