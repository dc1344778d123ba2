import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import zoo
from full_disk import full_disk
from solfa.cli.main import app
from solfa.data.manifest import read_manifest
from solfa.files import WriteError


def solfa(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    zoo.write(folder / "a.ogg", zoo.music(2.0))
    zoo.write(folder / "b.flac", zoo.music(1.5))
    return folder


def test_prepare_writes_a_manifest(tmp_path: Path, music: Path) -> None:
    answer = solfa("data", "prepare", music, "--out", tmp_path / "tracks.jsonl")
    assert answer.exit_code == 0
    assert [track.path.name for track in read_manifest(tmp_path / "tracks.jsonl")] == ["a.ogg", "b.flac"]


def test_prepare_can_be_repeated(tmp_path: Path, music: Path) -> None:
    out = tmp_path / "tracks.jsonl"
    first, second = (solfa("data", "prepare", music, "--out", out) and out.read_bytes() for _ in range(2))
    assert first == second


def test_prepare_reports_what_it_refused_and_says_so_by_its_exit_code_if_asked(
    tmp_path: Path, music: Path
) -> None:
    (music / "empty.mp3").touch()
    assert solfa("data", "prepare", music, "--out", tmp_path / "tracks.jsonl").exit_code == 0
    answer = solfa("data", "prepare", music, "--out", tmp_path / "tracks.jsonl", "--strict")
    assert answer.exit_code == 1
    assert "empty file (0 bytes); copy or download it again" in answer.output
    (refused,) = map(json.loads, (tmp_path / "tracks.refused.jsonl").read_text().splitlines())
    assert refused["path"].endswith("empty.mp3")
    assert len(read_manifest(tmp_path / "tracks.jsonl")) == 2


@pytest.mark.parametrize("refuses", ["tracks.jsonl", "tracks.refused.jsonl"])
def test_manifest_and_report_are_written_both_or_neither(tmp_path: Path, music: Path, refuses: str) -> None:
    (music / "empty.mp3").touch()
    out = tmp_path / "tracks.jsonl"
    solfa("data", "prepare", music, "--out", out)
    names = ("tracks.jsonl", "tracks.refused.jsonl")
    for name in set(names) - {refuses}:
        (tmp_path / name).write_text("old\n")
    (tmp_path / refuses).unlink()
    (tmp_path / refuses).mkdir()  # where a file cannot be written
    assert solfa("data", "prepare", music, "--out", out).exit_code
    assert [(tmp_path / name).read_text() for name in names if name != refuses] == ["old\n"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["music", *names]


def test_a_full_disk_leaves_manifest_and_report_as_they_were(tmp_path: Path, music: Path) -> None:
    (music / "empty.mp3").touch()
    out = tmp_path / "tracks.jsonl"
    solfa("data", "prepare", music, "--out", out)
    before = [path.read_bytes() for path in sorted(tmp_path.glob("*.jsonl"))]
    for n in range(4):
        (music / f"empty {n}.mp3").touch()
    with full_disk(300):  # room for the report alone
        answer = solfa("data", "prepare", music, "--out", out)
    assert isinstance(answer.exception, WriteError) and "Free some space" in str(answer.exception)
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.jsonl"))] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "music",
        "tracks.jsonl",
        "tracks.refused.jsonl",
    ]


def test_a_wrong_option_is_a_usage_error(music: Path) -> None:
    assert solfa("data", "prepare", music, "--min-seconds", "-1").exit_code == 2


@pytest.mark.parametrize("command", ["prepare", "free-music"])
def test_help_is_complete_with_examples_and_exit_codes(command: str) -> None:
    text = solfa("data", command, "--help").output
    assert f"solfa data {command} " in text
    assert "Exit code: 0" in text


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_free_music_fetches_prepares_attributes_and_splits(tmp_path: Path) -> None:
    for package in ("frozen-bubble-data", "zaz-data", "hyperrogue-music"):
        zoo.build_package(package, tmp_path)
    out = tmp_path / "out"
    given = "frozen-bubble-data,zaz-data", "--packages", "hyperrogue-music"
    answer = solfa("data", "free-music", "--out", out, "--cache", tmp_path, "--packages", *given)
    assert answer.exit_code == 0, answer.output
    counts = {path.stem: len(read_manifest(path)) for path in out.glob("*.jsonl") if path.stem != "refused"}
    assert counts["tracks"] == 24
    assert counts["heldout"] == 17
    assert counts["train"] + counts["valid"] == 7
    assert (out / "ATTRIBUTION.tsv").exists()
    assert (out / "refused.jsonl").read_text() == ""
