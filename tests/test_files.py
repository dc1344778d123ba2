"""Files: whole or not at all, on a full disk, through links, beside what is there; the lock of a folder."""

import errno
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from full_disk import full_disk
from solfa.files import (
    FolderLock,
    WriteError,
    sha256,
    whole_file,
    whole_folder,
    write_array,
    write_bytes,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_small_file_is_written_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "log", "all of it\n")
    assert (tmp_path / "new" / "log").read_text() == "all of it\n"
    assert names(tmp_path) == ["new", "new/log"]


def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_text(path, "the same")
    before = path.stat()
    with full_disk():
        write_text(path, "the same")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_on_a_full_disk_the_old_file_stays_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_text(path, "old")
    with (
        full_disk(),
        pytest.raises(WriteError, match=r"log could not be written.*as it was.*Free some space"),
    ):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["log"]


def test_on_a_full_disk_no_folder_is_left_that_was_not_there(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(WriteError, match="nothing of it is left"):
        write_text(tmp_path / "a" / "b" / "log", "new")
    assert names(tmp_path) == []


def test_an_array_that_does_not_fit_says_why(tmp_path: Path) -> None:
    with full_disk(1_000), pytest.raises(WriteError, match=os.strerror(errno.EFBIG)):
        write_array(tmp_path / "rows.npy", np.zeros((100, 100), np.float32))
    assert names(tmp_path) == []


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (5,)])
def test_an_array_is_the_one_that_numpy_would_write(shape: tuple[int, ...], tmp_path: Path) -> None:
    rows = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    write_array(tmp_path / "ours.npy", rows)
    np.save(tmp_path / "theirs.npy", rows)
    assert sha256(tmp_path / "ours.npy") == sha256(tmp_path / "theirs.npy")


def test_an_error_while_a_file_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    write_text(tmp_path / "log", "old")
    with pytest.raises(KeyError), whole_file(tmp_path / "log") as partial:
        partial.write_text("half")
        raise KeyError
    assert (tmp_path / "log").read_text() == "old"
    assert names(tmp_path) == ["log"]


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"source\.wav"), whole_file(tmp_path / "log") as partial:
        partial.write_bytes((tmp_path / "source.wav").read_bytes())


def test_a_link_is_followed_and_rights_are_kept(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    write_text(tmp_path / "kept" / "config.json", "{}")
    (tmp_path / "kept" / "config.json").chmod(0o600)
    (tmp_path / "config.json").symlink_to("kept/config.json")
    write_text(tmp_path / "config.json", '{"a": 1}')
    assert (tmp_path / "config.json").is_symlink()
    assert (tmp_path / "kept" / "config.json").read_text() == '{"a": 1}'
    assert (tmp_path / "kept" / "config.json").stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_written_to_and_not_replaced() -> None:
    code = (
        "from pathlib import Path; from solfa.files import write_text; write_text(Path('/dev/stdout'), 'x')"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "x"


def test_a_name_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="is a folder"):
        write_bytes(tmp_path, b"x")


def test_a_name_below_a_file_is_refused_by_name(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "")
    with pytest.raises(WriteError, match=r"below could not be written"):
        write_text(tmp_path / "file" / "below", "x")


def test_a_name_of_the_longest_kind_can_be_written(tmp_path: Path) -> None:
    name = "\N{HIRAGANA LETTER A}" * 85  # 255 bytes
    write_text(tmp_path / name, "x")
    assert names(tmp_path) == [name]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "model") as partial:
        write_text(partial / "text" / "words", "a")
        assert not (tmp_path / "model").exists()
    assert names(tmp_path) == ["model", "model/text", "model/text/words"]


def test_a_folder_that_is_there_keeps_what_is_not_replaced(tmp_path: Path) -> None:
    write_text(tmp_path / "model" / "card", "old")
    write_text(tmp_path / "model" / "notes", "mine")
    with whole_folder(tmp_path / "model") as partial:
        write_text(partial / "card", "new")
        write_text(partial / "text" / "words", "a")
    assert (tmp_path / "model" / "card").read_text() == "new"
    assert names(tmp_path / "model") == ["card", "notes", "text", "text/words"]


@pytest.mark.parametrize("is_there", [False, True])
def test_on_a_full_disk_a_folder_is_as_it_was(is_there: bool, tmp_path: Path) -> None:
    if is_there:
        write_text(tmp_path / "model" / "card", "old")
    before = names(tmp_path)
    with (
        full_disk(10),
        pytest.raises(WriteError, match="model could not be written"),
        whole_folder(tmp_path / "model") as partial,
    ):
        write_text(partial / "card", "new")
        (partial / "weights").write_bytes(b"0" * 100)
    assert names(tmp_path) == before
    assert not is_there or (tmp_path / "model" / "card").read_text() == "old"


# --- the lock -----------------------------------------------------------------------------------------------


LOCKS = """
import sys
from pathlib import Path
from solfa.files import FolderLock
FolderLock(Path(sys.argv[1]))
"""


def _is_free(folder: Path) -> bool:
    answer = subprocess.run(
        [sys.executable, "-c", LOCKS, folder], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0 or "BlockingIOError" in answer.stderr
    return answer.returncode == 0


def test_a_second_attempt_in_one_process_is_refused_and_leaves_the_lock(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        with pytest.raises(BlockingIOError, match="Another process is writing"):
            FolderLock(tmp_path)
        assert not _is_free(tmp_path)
    assert _is_free(tmp_path)


def test_a_folder_by_another_name_is_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    with FolderLock(tmp_path / "folder"), pytest.raises(BlockingIOError):
        FolderLock(tmp_path / "link")


def _locks(folder: Path) -> None:
    with FolderLock(folder):
        os._exit(0)


def test_a_child_may_lock_what_its_parent_has_let_go(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    child = multiprocessing.get_context("fork").Process(target=_locks, args=(tmp_path,))
    lock.close()
    child.start()
    child.join()
    assert child.exitcode == 0


def test_a_folder_that_takes_no_lock_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "")
    with pytest.raises(WriteError, match=r"\.lock could not be written"):
        FolderLock(tmp_path / "file" / "folder")


def test_a_folder_that_was_made_for_nothing_goes_with_the_lock(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "a" / "b"):
        assert names(tmp_path) == ["a", "a/b", "a/b/.lock"]
    assert names(tmp_path) == []
    (tmp_path / "there").mkdir()
    with FolderLock(tmp_path / "there"), FolderLock(tmp_path / "filled"):
        write_text(tmp_path / "filled" / "log", "x")
    assert names(tmp_path) == ["filled", "filled/.lock", "filled/log", "there", "there/.lock"]
