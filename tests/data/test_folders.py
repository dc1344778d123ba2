"""Folders as people have them: dots, bins, odd endings, links, pipes, and folders that may not be read."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from solfa.data.folders import (
    AUDIO_SUFFIXES,
    IN_FOLDERS_OF_SYSTEMS,
    OF_SYSTEMS,
    WALKED,
    Found,
    NoAudioError,
    find_audio,
    find_music,
)
from solfa.data.prepare import prepare_folder

SONG = zoo.music(1.1, 8000)
NOBODY = 65534


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return zoo.write(path, SONG, 8000, kind="wav")


def names(found: Found, folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found.paths]


def passed(found: Found) -> dict[str, list[str]]:
    return {item.kind: sorted(path.name for path in item.n_at) for item in found.passed_over}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="solfa-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """As somebody whom rights bind, also if the tests are run by root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_names_that_begin_with_dots_are_music(tmp_path: Path) -> None:
    music = [
        "...And Justice for All/01 Blackened.wav",
        ".38 Special/Wild-Eyed/01.wav",
        ".5 - The Gray Chapter/01 XIX.wav",
        "Britney/...Baby One More Time.wav",
        "Britney/.hidden.wav",
    ]
    for name in music:
        write(tmp_path / name)
    assert names(find_audio(tmp_path), tmp_path) == sorted(music)


def test_what_systems_keep_is_left_out_counted_and_named(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    folders = (
        *(
            "#recycle",
            "@eaDir",
            "@Recycle",
            "__MACOSX",
            "$RECYCLE.BIN",
            "lost+found",
            ".Trashes",
            ".Trash-1000",
        ),
        *(".git", "System Volume Information", ".@__thumb", "#snapshot", ".stversions", "FOUND.000"),
    )
    for folder in folders:
        write(tmp_path / folder / "below" / "b.wav")
    (tmp_path / ".DS_Store").touch()
    write(tmp_path / "._a.wav")
    (tmp_path / "Thumbs.db").touch()
    found = find_audio(tmp_path)
    assert names(found, tmp_path) == ["a.wav"]
    assert passed(found) == {
        IN_FOLDERS_OF_SYSTEMS: sorted(folders),
        OF_SYSTEMS: [".DS_Store", "._a.wav", "Thumbs.db"],
    }
    assert {item.kind: item.n for item in found.passed_over} == {
        IN_FOLDERS_OF_SYSTEMS: len(folders),
        OF_SYSTEMS: 3,
    }


def test_a_bin_that_somebody_names_is_looked_into(tmp_path: Path) -> None:
    write(tmp_path / "#recycle" / "a.wav")
    assert len(find_music([tmp_path / "#recycle"]).paths) == 1


@pytest.mark.parametrize("suffix", [".m4r", ".MKV", ".dts", ".eac3", ".bwf", ".rf64", ".mov", ".amr", ".3gp"])
def test_endings_that_decoders_read_are_music(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}")
    assert len(find_audio(tmp_path).paths) == 1


def test_endings_are_written_once_in_lower_case() -> None:
    assert len(set(AUDIO_SUFFIXES)) == len(AUDIO_SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in AUDIO_SUFFIXES)


def test_what_is_passed_over_is_counted_and_named_by_its_kind(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    for name in ("cover.jpg", "back.JPG", "words.txt", "noext", "coming.mp3.part", "Dr. No"):
        (tmp_path / name).touch()
    assert passed(find_audio(tmp_path)) == {
        ".jpg files": ["back.JPG", "cover.jpg"],
        ".part files": ["coming.mp3.part"],
        ".txt files": ["words.txt"],
        "files without an ending": ["Dr. No", "noext"],
    }


def test_a_folder_keeps_its_own_name_beside_links_to_it(tmp_path: Path) -> None:
    write(tmp_path / "normal" / "a.wav")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "away").symlink_to(tmp_path / "normal", target_is_directory=True)
    (tmp_path / "links" / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = find_audio(tmp_path)
    assert names(found, tmp_path) == ["normal/a.wav"]
    assert passed(found) == {WALKED: ["away", "loop"]}


def test_a_link_to_a_folder_on_a_disk_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    (tmp_path / "disk").symlink_to(tmp_path / "not mounted", target_is_directory=True)
    (refused,) = find_audio(tmp_path).refused
    assert refused.path == tmp_path / "disk" and "link to nothing" in refused.reason


def test_a_folder_that_may_not_be_read_is_named(open_folder: Path) -> None:
    write(open_folder / "a.wav")
    write(open_folder / "secret" / "below" / "b.wav")
    (open_folder / "secret").chmod(0)
    try:
        with without_rights():
            found = find_audio(open_folder)
    finally:
        (open_folder / "secret").chmod(0o755)
    assert names(found, open_folder) == ["a.wav"]
    (refused,) = found.refused
    assert refused.path == open_folder / "secret"
    assert "PermissionError" in refused.reason and "mount its disk" in refused.reason


def test_a_folder_whose_files_may_not_be_looked_at_loses_none_of_them_in_silence(open_folder: Path) -> None:
    write(open_folder / "a.wav")
    write(open_folder / "half" / "b.wav")
    write(open_folder / "half" / "below" / "c.wav")
    (open_folder / "half").chmod(0o444)  # names can be listed, and nothing more
    try:
        with without_rights():
            prepared = prepare_folder(open_folder)
    finally:
        (open_folder / "half").chmod(0o755)
    assert [track.path.name for track in prepared.tracks] == ["a.wav"]
    assert sorted(item.path.name for item in prepared.refused) == ["b.wav", "below"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("odd"), MemoryError()])
def test_a_folder_that_fails_while_it_is_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    write(tmp_path / "a.wav")
    write(tmp_path / "bad" / "b.wav")
    scandir = os.scandir

    def fail(path: Path) -> object:
        if Path(path).name == "bad":
            raise error
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    found = find_audio(tmp_path)
    assert names(found, tmp_path) == ["a.wav"]
    assert type(error).__name__ in found.refused[0].reason


def test_a_music_folder_that_may_not_be_read_is_not_called_empty(open_folder: Path) -> None:
    write(open_folder / "music" / "a.wav")
    (open_folder / "music").chmod(0)
    try:
        with without_rights(), pytest.raises(NoAudioError, match=r"cannot be read.*Permission.*permissions"):
            find_audio(open_folder / "music")
    finally:
        (open_folder / "music").chmod(0o755)


def test_only_files_are_opened(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    os.mkfifo(tmp_path / "pipe.mp3")
    (tmp_path / "device.wav").symlink_to("/dev/zero")  # would be read for ever
    (tmp_path / "folder.mp3").mkdir()
    address = os.path.relpath(tmp_path / "s.ogg")  # those of sockets may have 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address if len(address) < 100 else str(tmp_path / "s.ogg"))
    prepared = prepare_folder(tmp_path)
    assert [track.path.name for track in prepared.tracks] == ["a.wav"]
    reasons = {item.path.name: item.reason for item in prepared.refused}
    assert "a named pipe" in reasons["pipe.mp3"]
    assert "a device" in reasons["device.wav"]
    assert "a socket" in reasons["s.ogg"]
    assert "folder.mp3" not in reasons


def test_files_folders_and_manifests_are_joined_and_named_once(tmp_path: Path) -> None:
    write(tmp_path / "x" / "a.wav")
    (tmp_path / "x" / "cover.jpg").touch()
    found = find_music([tmp_path / "x", tmp_path / "x" / ".." / "x", tmp_path / "x" / "a.wav"])
    assert found.paths == [tmp_path / "x" / "a.wav"]
    assert [(item.kind, item.n) for item in found.passed_over] == [(".jpg files", 1)]
