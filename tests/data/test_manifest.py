import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solfa.data.manifest import (
    ManifestError,
    Track,
    read_manifest,
    split_tracks,
    write_json_lines,
    write_manifest,
    write_splits,
)


def track(
    name: str, *, artist: str = "", seconds: float = 60.0, content: str = "", package: str = ""
) -> Track:
    return Track(
        path=Path("/music") / name,
        seconds=seconds,
        sample_rate=44100,
        n_channels=2,
        content_hash=content or f"hash of {name}",
        tags={"artist": artist, "package": package},
        decoder="soundfile 1",
    )


def collection(n_artists: int = 20, n_tracks: int = 5) -> list[Track]:
    names = [(artist, number) for artist in range(n_artists) for number in range(n_tracks)]
    return [track(f"{artist}-{number}.wav", artist=f"artist {artist}") for artist, number in names]


def artist(track: Track) -> list[str]:
    return [track.tags["artist"]]


NAMES = [
    "plain.wav",
    "two words.wav",
    "line\nbreak.wav",
    "\N{MUSICAL KEYBOARD}.wav",
    os.fsdecode(b"caf\xe9.wav"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_track_of_any_name_comes_back_as_it_went(tmp_path: Path, name: str) -> None:
    tracks = [track(name), track(f"folder/{name}")]
    write_manifest(tracks, tmp_path / "tracks.jsonl")
    assert read_manifest(tmp_path / "tracks.jsonl") == tracks


def test_lines_have_the_promised_fields(tmp_path: Path) -> None:
    write_manifest([track("a.wav")], tmp_path / "tracks.jsonl")
    line = json.loads((tmp_path / "tracks.jsonl").read_text())
    assert list(line) == ["path", "seconds", "sample_rate", "channels", "content_hash", "tags", "decoder"]


def test_a_folder_can_be_moved_with_its_manifest(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    here = Track(
        path=old / "audio" / "a.wav", seconds=1.0, sample_rate=8000, n_channels=1, content_hash="x", tags={}
    )
    write_manifest([here], old / "tracks.jsonl")
    old.rename(new)
    assert read_manifest(new / "tracks.jsonl")[0].path == new / "audio" / "a.wav"


def test_a_failed_write_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    write_manifest([track("a.wav")], path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_json_lines([{"path": "a.wav"}, {"path": object()}], path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["tracks.jsonl"]


BROKEN = {
    "not JSON": ('{"path": "a.wav", "seco', r"not valid JSON"),
    "a list": ("[1, 2]", "not a JSON object"),
    "a key is missing": ('{"path": "a.wav"}', "has no 'seconds'"),
    "a wrong type": (None, "'sample_rate' of the wrong type: '44100'"),
    "no length": (None, "not positive"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_line_is_named_by_file_line_and_cure(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tracks.jsonl"
    write_manifest([track("a.wav")], path)
    good = path.read_text()
    line, message = BROKEN[kind]
    if kind == "a wrong type":
        line = good.strip().replace("44100", '"44100"')
    if kind == "no length":
        line = good.strip().replace("60.0", "0.0")
    path.write_text(good + str(line) + "\n" + good)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert f"{path}, line 2" in str(caught.value)
    assert message in str(caught.value)
    assert "delete this line" in str(caught.value)


def test_a_missing_manifest_is_answered_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="solfa data prepare MUSIC --out"):
        read_manifest(tmp_path / "tracks.jsonl")


def test_a_manifest_without_tracks_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "tracks.jsonl").write_text("\n")
    with pytest.raises(ManifestError, match="solfa data prepare"):
        read_manifest(tmp_path / "tracks.jsonl")


def test_a_split_has_the_wanted_share_of_hours() -> None:
    _, valid = split_tracks(collection(), groups=artist, valid_share=0.2, seed=0)
    assert len(valid) == 20


def test_no_group_is_on_both_sides_of_a_split() -> None:
    train, valid = split_tracks(collection(), groups=artist, valid_share=0.3, seed=0)
    assert not {t.tags["artist"] for t in train} & {t.tags["artist"] for t in valid}


def test_equal_recordings_are_on_one_side_of_a_split() -> None:
    tracks = collection(n_tracks=1)
    copies = [track(f"copy {number}.wav", artist=f"copyist {number}", content="same") for number in range(10)]
    for seed in range(10):
        train, valid = split_tracks(tracks + copies, groups=artist, valid_share=0.5, seed=seed)
        assert not {t.content_hash for t in train} & {t.content_hash for t in valid}


def test_groups_that_share_a_track_stay_together() -> None:
    tracks = [track(f"{n}.wav", artist=f"artist {n}", package=f"package {n // 2}") for n in range(40)]
    train, valid = split_tracks(
        tracks, groups=lambda t: [t.tags["artist"], t.tags["package"]], valid_share=0.4, seed=3
    )
    assert valid
    assert not {t.tags["package"] for t in train} & {t.tags["package"] for t in valid}


@given(order=st.permutations(collection(n_artists=5, n_tracks=2)), seed=st.integers(0, 100))
def test_a_split_does_not_depend_on_the_order_of_tracks(order: list[Track], seed: int) -> None:
    _, expected = split_tracks(collection(5, 2), groups=artist, valid_share=0.4, seed=seed)
    _, valid = split_tracks(order, groups=artist, valid_share=0.4, seed=seed)
    assert {t.path for t in valid} == {t.path for t in expected}


def test_another_seed_chooses_other_groups() -> None:
    chosen = {split_tracks(collection(), groups=artist, valid_share=0.1, seed=s)[1][0].path for s in range(9)}
    assert len(chosen) > 1


def test_some_group_validates_even_if_every_group_is_too_long() -> None:
    tracks = [track("a.wav", artist="a", seconds=100.0), track("b.wav", artist="b", seconds=50.0)]
    train, valid = split_tracks(tracks, groups=artist, valid_share=0.05, seed=0)
    assert ([t.path.name for t in train], [t.path.name for t in valid]) == (["a.wav"], ["b.wav"])


def test_a_copy_of_a_held_out_track_is_not_trained_on(tmp_path: Path) -> None:
    hidden = track("hidden.wav", package="wesnoth", content="same")
    copy = track("copy.wav", package="other", content="same")
    parts = write_splits(
        [hidden, copy, *collection()],
        tmp_path,
        is_held_out=lambda t: t.tags["package"] == "wesnoth",
        groups=artist,
    )
    assert parts["heldout"] == [hidden]
    assert copy not in parts["train"] + parts["valid"]
    assert read_manifest(tmp_path / "train.jsonl") == parts["train"]


def test_a_weight_comes_back_and_a_list_without_weights_is_as_it_was(tmp_path: Path) -> None:
    tracks = [replace(track("a.wav"), weight=0.25), track("b.wav")]
    write_manifest(tracks, tmp_path / "tracks.jsonl")
    assert read_manifest(tmp_path / "tracks.jsonl") == tracks
    weighed, plain = map(json.loads, (tmp_path / "tracks.jsonl").read_text().splitlines())
    assert weighed["weight"] == 0.25 and "weight" not in plain


@pytest.mark.parametrize("weight", ["0", "-1", "true", '"2"', "1e9", "NaN"])
def test_a_weight_that_is_none_is_refused_by_line(tmp_path: Path, weight: str) -> None:
    path = tmp_path / "tracks.jsonl"
    write_manifest([track("a.wav"), replace(track("b.wav"), weight=0.25)], path)
    path.write_text(path.read_text().replace("0.25", weight))
    with pytest.raises(ManifestError, match=r"line 2: has a 'weight' that is no number above 0"):
        read_manifest(path)
