"""--take-damaged: what is whole of a damaged file is taken, and the track says what is missing and where."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from command_line import solfa
from solfa.data.base import Damage
from solfa.data.clips import ClipsConfig, RandomClips
from solfa.data.manifest import ManifestError, read_manifest
from solfa.data.prepare import prepare_file
from solfa.embedding import read_frames, read_store
from solfa.retrieval import Library, Searcher
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]


def values(*arguments: object, exit_code: int = 0) -> Any:
    return json.loads(solfa(*arguments, "--json", exit_code=exit_code).stdout)


def names(entries: list[dict[str, Any]]) -> list[str]:
    return sorted(Path(entry["path"]).name for entry in entries)


def spoil(path: Path) -> Path:
    """Some bytes in the middle of a file are others."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = np.random.default_rng(2).bytes(40)
    path.write_bytes(data)
    return path


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A folder of a whole file, one that is cut off, one with a fault in its middle, and one of nothing."""
    folder = tmp_path / "music"
    write_wav(folder / "whole.wav", melody(1.5))
    zoo.truncate(write_wav(folder / "cut.wav", melody(4.0, seed=1)))
    spoil(zoo.write(folder / "spoilt.flac", zoo.music(6.0)))
    (folder / "words.mp3").write_text("words " * 99)
    return folder


def check_damage(damage: list[dict[str, float]] | tuple[Damage, ...], name: str) -> None:
    """It is where the file was spoilt."""
    (one,) = (Damage(**item) if isinstance(item, dict) else item for item in damage)
    if name == "cut.wav":
        assert one.start == pytest.approx(2.0, abs=0.1) and one.seconds == pytest.approx(2.0, abs=0.1)
    else:
        assert 2.0 < one.start < 4.0 and 0 < one.seconds < 0.5


def test_without_it_the_refusal_names_the_option(music: Path, tmp_path: Path, tiny_run: Path) -> None:
    for command in (
        ("data", "prepare", music, "--out", tmp_path / "tracks.jsonl"),
        ("embed", music, "--out", tmp_path / "store", "--model", tiny_run),
        ("index", music, "--library", tmp_path / "library.sqlite", "--model", tiny_run),
    ):
        found = values(*command)
        assert names(found["refused"]) == ["cut.wav", "spoilt.flac", "words.mp3"]
        assert found["damaged"] == []
        for entry in found["refused"]:
            assert ("--take-damaged" in entry["reason"]) == ("words" not in entry["path"])


def test_a_manifest_takes_what_is_whole_and_says_so(music: Path, tmp_path: Path) -> None:
    out = tmp_path / "tracks.jsonl"
    found = values("data", "prepare", music, "--out", out, "--take-damaged")
    assert names(found["refused"]) == ["words.mp3"] and names(found["damaged"]) == ["cut.wav", "spoilt.flac"]
    tracks = {track.path.name: track for track in read_manifest(out)}
    assert tracks["whole.wav"].damage == ()
    for name in ("cut.wav", "spoilt.flac"):
        check_damage(tracks[name].damage, name)
    assert tracks["cut.wav"].seconds == pytest.approx(2.0, abs=0.1)
    assert 5.5 < tracks["spoilt.flac"].seconds < 6.0
    lines = [json.loads(line) for line in (tmp_path / "tracks.refused.jsonl").read_text().splitlines()]
    assert names(lines) == ["cut.wav", "spoilt.flac", "words.mp3"]
    assert names([line for line in lines if "taken without" in line["reason"]]) == ["cut.wav", "spoilt.flac"]
    assert (
        "taken without 2 s at 2.0 s" in solfa("data", "prepare", music, "--out", out, "--take-damaged").stdout
    )
    solfa("data", "prepare", music, "--out", out, "--take-damaged", "--strict", exit_code=1)
    (music / "words.mp3").unlink()
    solfa("data", "prepare", music, "--out", out, "--take-damaged", "--strict")


def test_clips_are_cut_from_what_is_whole(music: Path, tmp_path: Path) -> None:
    solfa("data", "prepare", music, "--out", tmp_path / "tracks.jsonl", "--take-damaged")
    tracks = [track for track in read_manifest(tmp_path / "tracks.jsonl") if track.damage]
    clips = RandomClips(tracks, ClipsConfig(clip_seconds=1.0), 24_000, 0)
    assert [clips[number].n_unreadable for number in range(20)] == [0] * 20


@pytest.mark.parametrize("damage", ["all of it", 3, [1], [{"start": 0}], [{"start": -1, "seconds": 0}]])
def test_a_manifest_with_damage_that_is_none_is_refused(music: Path, tmp_path: Path, damage: object) -> None:
    out = tmp_path / "tracks.jsonl"
    solfa("data", "prepare", music, "--out", out)
    (line,) = out.read_text().splitlines()
    out.write_text(json.dumps(json.loads(line) | {"damage": damage}) + "\n")
    with pytest.raises(ManifestError, match="line 1: has a 'damage'"):
        read_manifest(out)


def test_a_library_takes_at_the_next_run_what_it_refused_before(
    music: Path, tmp_path: Path, tiny_run: Path
) -> None:
    path = tmp_path / "library.sqlite"
    command = ("index", music, "--library", path, "--model", tiny_run)
    assert values(*command)["added"] == 1
    assert names(values(*command)["refused_before"]) == ["cut.wav", "spoilt.flac", "words.mp3"]
    found = values(*command, "--take-damaged")
    assert found["added"] == 2 and names(found["damaged"]) == ["cut.wav", "spoilt.flac"]
    assert names(found["refused"] + found["refused_before"]) == ["words.mp3"]
    report = [json.loads(line) for line in Path(found["report"]).read_text().splitlines()]
    assert names([line for line in report if "damage" in line]) == ["cut.wav", "spoilt.flac"]
    again = values(*command, "--take-damaged")
    assert (again["unchanged"], again["damaged"], again["added"]) == (3, [], 0)
    assert values(*command)["unchanged"] == 3  # what was taken stays
    with Library(path) as library:
        for track in library.damaged():
            check_damage(track.damage, track.path.name)
        assert [len(track.damage) for track in library.tracks()] == [1, 1, 0]
    for match in values("similar", music / "whole.wav", "--library", path)["matches"]:
        check_damage(match["damage"], Path(match["path"]).name)
    solfa("library", "export", path, "--out", tmp_path / "out.jsonl")
    exported = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [len(row["damage"]) for row in exported] == [1, 1, 0]


def test_a_copy_of_a_damaged_file_is_marked_too(music: Path, tmp_path: Path, tiny_run: Path) -> None:
    path = tmp_path / "library.sqlite"
    command = ("index", music, "--library", path, "--model", tiny_run, "--take-damaged")
    solfa(*command)
    (music / "copy.wav").write_bytes((music / "cut.wav").read_bytes())
    assert names(values(*command)["damaged"]) == ["copy.wav"]


def test_a_library_of_the_third_layout_is_renewed(music: Path, tmp_path: Path, tiny_run: Path) -> None:
    path = tmp_path / "library.sqlite"
    solfa("index", music, "--library", path, "--model", tiny_run)
    database = sqlite3.connect(path)
    database.executescript("ALTER TABLE tracks DROP COLUMN damage; PRAGMA user_version = 3")
    database.close()
    found = values("index", music, "--library", path, "--model", tiny_run, "--take-damaged")
    assert (found["unchanged"], found["added"], len(found["damaged"])) == (1, 2, 2)
    with Searcher(path) as searcher:
        assert len(searcher.similar(1)) == 2


def test_a_store_takes_at_the_next_run_what_it_refused_before(
    music: Path, tmp_path: Path, tiny_run: Path
) -> None:
    out = tmp_path / "store"
    command = ("embed", music, "--out", out, "--model", tiny_run, "--frames")
    assert values(*command)["n_embedded"] == 1
    assert values(*command)["n_embedded"] == 0
    found = values(*command, "--take-damaged")
    assert found["n_embedded"] == 2 and names(found["damaged"]) == ["cut.wav", "spoilt.flac"]
    again = values(*command, "--take-damaged")
    assert again["n_known"] == 3 and names(again["refused_before"]) == ["words.mp3"]
    for track in read_store(out)[0]:
        frames = read_frames(out, track.content_hash)
        assert frames.shape[1] == pytest.approx(25 * track.seconds, abs=1)  # none of the first attempt
        if track.path.name != "whole.wav":
            check_damage(track.damage, track.path.name)
    assert not list((out / "frames").glob("*partial*"))


def test_a_whole_file_is_the_same_with_the_option(music: Path, write_wav: WriteWav) -> None:
    path = music / "whole.wav"
    assert prepare_file(path) == prepare_file(path, take_damaged=True)
