"""solfa index, embed and data prepare in folders as people have them: what is said of every file."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

import zoo
from command_line import solfa
from solfa.data.audio import AudioError
from solfa.retrieval import Filters, Library, Searcher
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A folder of four tracks, two bad files, and what else lies in such folders."""
    for n, name in enumerate(("a", "b", "c", "...And Justice for All/d")):
        write_wav(tmp_path / "music" / f"{name}.wav", melody(1.2, seed=n))
    write_wav(tmp_path / "music" / "@eaDir" / "a.wav", melody(1.2))
    (tmp_path / "music" / "empty.mp3").touch()
    (tmp_path / "music" / "words.mp3").write_text("words " * 99)
    for name in ("cover.jpg", "back.jpg", ".DS_Store"):
        (tmp_path / "music" / name).touch()
    return tmp_path / "music"


@pytest.fixture
def index(music: Path, tmp_path: Path, tiny_run: Path) -> Callable[..., Result]:
    def run(*options: object, exit_code: int = 0) -> Result:
        library = ("--library", tmp_path / "library.sqlite", "--model", tiny_run)
        return solfa("index", music, *library, *options, exit_code=exit_code)

    return run


def test_every_command_names_what_it_passed_over_by_kind(
    music: Path, tmp_path: Path, tiny_run: Path, index: Callable[..., Result]
) -> None:
    outputs = (
        index().stdout,
        solfa("embed", music, "--model", tiny_run, "--out", tmp_path / "store").stdout,
        solfa("data", "prepare", music, "--out", tmp_path / "tracks.jsonl").stdout,
    )
    for output in outputs:
        assert "passed over 2 .jpg files: " in output and "cover.jpg" in output
        assert "passed over 1 files of operating systems: " in output and ".DS_Store" in output
        assert "passed over 1 files in bins and folders of operating systems: " in output
        assert "@eaDir" in output


def values(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_every_command_says_all_of_it_as_json(
    music: Path, tmp_path: Path, tiny_run: Path, index: Callable[..., Result]
) -> None:
    said = values(index("--json"))
    assert (said["n_tracks"], said["added"], said["removed"]) == (4, 4, 0)
    embedded = values(solfa("embed", music, "--model", tiny_run, "--out", tmp_path / "store", "--json"))
    assert embedded["n_embedded"] == 4
    prepared = values(solfa("data", "prepare", music, "--out", tmp_path / "tracks.jsonl", "--json"))
    assert prepared["n_tracks"] == 4
    for each in (said, embedded, prepared):
        assert [Path(item["path"]).name for item in each["refused"]] == ["empty.mp3", "words.mp3"]
        passed = {item["kind"]: item for item in each["passed_over"]}
        assert {kind: item["n"] for kind, item in passed.items()} == {
            ".jpg files": 2, "files of operating systems": 1,
            "files in bins and folders of operating systems": 1,
        }  # fmt: skip
        assert passed[".jpg files"]["paths"] == [str(music / "back.jpg"), str(music / "cover.jpg")]
        assert Path(each["report"]).is_file()


def test_refused_files_are_spoken_of_once_and_stand_in_a_report(
    music: Path, tmp_path: Path, index: Callable[..., Result]
) -> None:
    for n in range(30):
        (music / f"empty {n:02d}.mp3").touch()
    first = index().stdout
    assert first.count("empty file (0 bytes)") == 20 and "... and 12 more" in first
    report = tmp_path / "library.sqlite.refused.jsonl"
    assert str(report) in first.replace("\n", "") and "32 refused" in first
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(lines) == 32 and all("0 bytes" in line["reason"] or "words" in line["path"] for line in lines)
    second = index().stdout
    assert "empty file" not in second and "32 refused" in second and "--again" in second
    assert index("--again").stdout.count("empty file (0 bytes)") == 20


def test_a_refused_file_is_tried_again_when_it_has_changed(
    music: Path, tmp_path: Path, index: Callable[..., Result], write_wav: WriteWav
) -> None:
    index()
    write_wav(music / "empty.mp3", melody(1.2, seed=9))
    (music / "words.mp3").unlink()
    said = values(index("--json"))
    assert (said["added"], said["refused"], said["refused_before"], said["report"]) == (1, [], [], None)
    assert not (tmp_path / "library.sqlite.refused.jsonl").exists()


def test_a_known_refusal_is_not_read_again(
    music: Path, index: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    index()
    monkeypatch.setattr("solfa.embedding.reading.hash_content", lambda path: pytest.fail(f"read {path}"))
    assert values(index("--json"))["refused_before"][1]["path"].endswith("words.mp3")


def test_what_may_be_good_the_next_time_is_tried_again_and_spoken_of_once(
    music: Path, index: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> str:
        if path.name == "a.wav":
            raise OSError(5, "Input/output error")
        return os.fsdecode(path)

    with monkeypatch.context() as patch:
        patch.setattr("solfa.embedding.reading.hash_content", fail)
        assert "Input/output error" in index().stdout
        assert "Input/output error" not in index().stdout
    assert values(index("--json"))["added"] == 1


@pytest.mark.parametrize("command", ["index", "embed", "data prepare", "tag"])
def test_refused_files_are_no_failure_unless_somebody_says_so(
    music: Path, tmp_path: Path, tiny_run: Path, command: str, mulan_folder: Path
) -> None:
    options = {
        "index": ("--library", tmp_path / "library.sqlite", "--model", tiny_run),
        "embed": ("--out", tmp_path / "store", "--model", tiny_run),
        "data prepare": ("--out", tmp_path / "tracks.jsonl"),
        "tag": ("--model", mulan_folder),
    }[command]
    for _ in range(2):  # also when they are known
        solfa(*command.split(), music, *options)
        solfa(*command.split(), music, *options, "--strict", exit_code=1)


@pytest.fixture
def mulan_folder() -> Path:
    from golden_data import GOLDEN

    return GOLDEN / "muq_mulan"


def test_a_folder_whose_disk_is_not_mounted_keeps_its_tracks_until_somebody_says_so(
    music: Path, tmp_path: Path, index: Callable[..., Result]
) -> None:
    index()
    shutil.rmtree(music / "...And Justice for All")
    (music / "...And Justice for All").mkdir()
    output = index().stdout
    assert "kept 1 tracks of" in output and "...And Justice for All, which is empty now" in output
    assert "--prune" in output and "0 removed" in output
    said = values(index("--json"))
    assert (said["kept"][0]["n"], said["removed"], said["n_tracks"]) == (1, 0, 4)
    assert "1 removed" in index("--prune").stdout


def test_a_pipe_hangs_no_command(
    music: Path, tmp_path: Path, tiny_run: Path, index: Callable[..., Result]
) -> None:
    os.mkfifo(music / "pipe.mp3")
    assert "a named pipe" in index().stdout
    library = tmp_path / "library.sqlite"
    for path in (music / "pipe.mp3", music):
        with pytest.raises((AudioError, FileNotFoundError), match=f"{path.name}.*file"):
            solfa("similar", path, "--library", library)
    out = tmp_path / "store"
    assert "a named pipe" in solfa("embed", music / "pipe.mp3", "--model", tiny_run, "--out", out).stdout


def test_albums_of_two_discs_keep_their_order_and_filters_find_any_value(
    tmp_path: Path, tiny_run: Path
) -> None:
    names = ("b", "a", "d", "c")
    for n, name in enumerate(names):
        tags = [("ALBUM", "Live"), ("DISCNUMBER", str(1 + n // 2)), ("TRACKNUMBER", str(1 + n % 2))]
        tags += [("ARTIST", "A"), ("ARTIST", f"Guest {name}"), ("DATE", "1999"), ("DATE", "2001")]
        (tmp_path / "music").mkdir(exist_ok=True)
        zoo.write_tagged(tmp_path / "music" / f"{name}.flac", tags, seconds=1.2 + 0.1 * n)
    zoo.write(tmp_path / "music" / "z.wav", zoo.music(1.1))
    path = tmp_path / "library.sqlite"
    solfa("index", tmp_path / "music", "--library", path, "--model", tiny_run)
    with Library(path) as library:
        assert [track.path.stem for track in library.tracks()] == ["z", *names]
        assert library.track(1).tags["artist"] == "A; Guest a"

        def found(*filters: str) -> list[str]:
            return [track.path.stem for track in library.tracks(Filters.parse(filters))]

        assert found("artist=guest c") == ["c"] and len(found("artist=a")) == 4
        assert found("year=2001") == ["b", "a", "d", "c"] and found("disc=2", "track=1") == ["d"]
    with Searcher(path) as searcher:
        assert [track.path.stem for track in searcher.tracks(1, 2)] == ["b", "a"]
