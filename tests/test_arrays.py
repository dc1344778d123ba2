"""Arrays on the disk: whole or not there, mapped, and refused with a reason when they are something else."""

from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from solfa import arrays
from solfa.arrays import ArrayError, ArrayFolder, GrowingArray
from solfa.files import WriteError


@pytest.fixture
def folder(tmp_path: Path) -> ArrayFolder:
    made = ArrayFolder(tmp_path / "arrays", (None, 3), "float32")
    made.begin()
    return made


def test_what_is_written_is_there_under_its_key(folder: ArrayFolder) -> None:
    rows = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    folder["a"] = rows
    assert "a" in folder and "b" not in folder and folder.keys() == {"a"}
    assert np.array_equal(folder["a"], rows) and isinstance(folder["a"], np.memmap)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (np.zeros((4, 2, 5), np.float32), r"float32 \(4, 2, 5\)"),
        (np.zeros((4, 3), np.float32), r"float32 \(4, 3\)"),
        (np.zeros((4, 2, 3), np.int16), "int16"),
    ],
)
def test_another_array_than_the_folder_says_is_an_error(
    folder: ArrayFolder, other: np.ndarray, why: str
) -> None:
    np.save(folder.path("a"), other)
    with pytest.raises(ArrayError, match=why):
        folder["a"]


@pytest.mark.parametrize("n_bytes", [0, 5, 60, 130])
def test_an_array_that_was_cut_off_is_an_error(folder: ArrayFolder, n_bytes: int) -> None:
    folder["a"] = np.ones((2, 1, 3), np.float32)
    folder.path("a").write_bytes(folder.path("a").read_bytes()[:n_bytes])
    with pytest.raises(ArrayError):
        folder["a"]


def test_what_grows_has_its_name_only_when_it_is_kept(folder: ArrayFolder) -> None:
    growing = folder.growing("a", (2, 3))
    growing.append(np.ones((5, 2, 3), np.float32))
    assert "a" not in folder
    folder.keep("a", growing)
    assert folder["a"].shape == (5, 2, 3) and folder["a"].min() == 1


def test_what_a_killed_run_left_half_written_goes_when_the_next_begins(folder: ArrayFolder) -> None:
    folder["a"] = np.zeros((1, 1, 3), np.float32)
    folder.growing("b", (1, 3)).close()
    folder.begin()
    assert [path.name for path in folder.folder.iterdir()] == ["a.npy"]


def test_rows_that_were_not_flushed_are_cut_off_and_others_follow(tmp_path: Path) -> None:
    first = GrowingArray(tmp_path / "rows.npy", (2,))
    first.append(np.ones((3, 2), np.float32))
    first.flush()
    first.append(np.full((2, 2), 7, np.float32))
    first.close()
    again = GrowingArray(tmp_path / "rows.npy", (2,), n_rows=3)
    assert again.append(np.zeros((1, 2), np.float32)) == 3
    again.flush()
    again.close()
    assert np.load(tmp_path / "rows.npy").tolist() == [[1, 1]] * 3 + [[0, 0]]


def test_what_the_disk_has_no_room_for_is_refused_before_it_is_written(
    folder: ArrayFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(arrays.shutil, "disk_usage", lambda place: usage(100, 90, 10))
    with pytest.raises(WriteError, match=r"0\.0 MB left.*Free some space"):
        folder["a"] = np.zeros((40, 1, 3), np.float32)
    assert not folder.keys()


def test_a_file_whose_beginning_is_blank_is_refused(folder: ArrayFolder) -> None:
    folder["a"] = np.zeros((2, 2, 3), np.float32)
    [path] = folder.folder.glob("*.npy")
    content = path.read_bytes()
    path.write_bytes(content[:10] + b"{(\n" + b" " * 64 + content[77:])
    with pytest.raises(ArrayError):
        arrays.mapped(path, (None, 3), "float32")
