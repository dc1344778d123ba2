"""Arrays on the disk: a folder that has one for each content, and files that grow row by row.

An array has its name only once it is whole. It is mapped when it is read. What does not look as its folder
says is an error with a reason, which the owner of the folder turns into one that names the cure.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped
from numpy.lib import format as npy

from solfa.errors import ArgumentError, SolfaError
from solfa.files import PARTIAL, WriteError, write_array

SUFFIX = ".npy"
DAMAGED = (ValueError, EOFError, TokenError)  # what NumPy says of files whose beginning makes no sense


class ArrayError(SolfaError, ValueError):
    """An array that is damaged, or another than was expected; the message says why, and no cure."""


@runtime_checkable
class Rows(Protocol):
    """An array of which stretches of rows can be read: mapped from the disk, or from elsewhere."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the shape of one."""
        ...

    @property
    def dtype(self) -> Any:
        """Of its numbers."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


def mapped(path: Path, row_shape: tuple[int | None, ...], dtype: str | None) -> Shaped[np.ndarray, "row ..."]:
    """An array, mapped from the disk.

    Args:
        path: of a ``.npy`` file.
        row_shape: of its rows; None where any number will do.
        dtype: of its numbers; None if any will do.

    Raises:
        ArrayError: the file is damaged, or holds something else.
        OSError: it is not there, or may not be read.
    """
    try:
        array = np.load(path, mmap_mode="r")
    except DAMAGED as error:
        raise ArrayError(str(error)) from None
    fits = all(wanted in (None, n) for wanted, n in zip(row_shape, array.shape[1:], strict=False))
    is_other = dtype is not None and array.dtype != dtype
    if is_other or array.ndim != 1 + len(row_shape) or not fits:
        raise ArrayError(f"it holds {array.dtype} {array.shape}")
    return array


class ArrayFolder:
    """A folder with an array for each key, all of one type.

    Args:
        folder: of the arrays.
        row_shape: of their rows; None where any number will do.
        dtype: of their numbers; None if any will do.
    """

    def __init__(self, folder: Path, row_shape: tuple[int | None, ...], dtype: str | None) -> None:
        self.folder, self.row_shape, self.dtype = folder, row_shape, dtype

    def begin(self) -> None:
        """Make the folder, and remove what a killed run left half written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(f"*{PARTIAL}"):
            leftover.unlink()

    def path(self, key: str) -> Path:
        """Where the array of a key is, or will be."""
        return self.folder / f"{key}{SUFFIX}"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def keys(self) -> set[str]:
        """The keys of all arrays that are there."""
        return {path.stem for path in self.folder.glob(f"*{SUFFIX}")}

    def __getitem__(self, key: str) -> Shaped[np.ndarray, "row ..."]:
        """The array of a key, as ``mapped`` gives it."""
        return mapped(self.path(key), self.row_shape, self.dtype)

    def __setitem__(self, key: str, array: Shaped[np.ndarray, "row ..."]) -> None:
        """Write an array whole or not at all. Raises WriteError where the disk has no room for it."""
        check_space(self.folder, array.nbytes)
        write_array(self.path(key), array)

    def growing(self, key: str, row_shape: tuple[int, ...]) -> "GrowingArray":
        """A float32 array that comes in parts; ``keep`` gives it its name."""
        return GrowingArray(self.folder / f"{key}.{time.monotonic_ns()}{PARTIAL}", row_shape)

    def keep(self, key: str, array: "GrowingArray") -> None:
        """Put a grown array in its place."""
        array.flush()
        array.close()
        array.path.replace(self.path(key))


def check_space(folder: Path, n_bytes: int) -> None:
    """Refuse what a disk has no room for, before any of it is written.

    Raises:
        WriteError: the message says how much is wanted.
    """
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise WriteError(
            f"{folder} has {free / 1e6:.1f} MB left, and {n_bytes / 1e6:.1f} MB are to be written. Free some "
            "space, and run the same command again."
        )


class GrowingArray:
    """A float32 ``.npy`` file to which rows are added; they count once they have been flushed.

    Args:
        path: made if it is not there.
        row_shape: of one row.
        n_rows: how many rows of an existing file to keep; what lies beyond is cut off.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], n_rows: int = 0) -> None:
        self.path, self.row_shape, self.n_rows = path, row_shape, n_rows
        self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
        self._write_header()
        self._first_byte = self._file.tell()
        row_bytes = 4 * int(np.prod(row_shape))
        if self._file.seek(0, os.SEEK_END) < self._first_byte + n_rows * row_bytes:
            self.close()
            raise ArgumentError(
                f"{path} is shorter than its {n_rows} rows. Remove its folder and make it again."
            )
        self._file.truncate(self._first_byte + n_rows * row_bytes)

    def append(self, rows: Float[np.ndarray, "row ..."]) -> int:
        """Add rows; gives the number of the first."""
        first = self.n_rows
        self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(rows, np.float32).tobytes())
        self.n_rows += len(rows)
        return first

    def flush(self) -> None:
        """Put all rows on the disk, and their number into the header."""
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file; rows that were not flushed may be lost."""
        with suppress(OSError):  # a full disk, which flush has reported
            self._file.close()

    def _write_header(self) -> None:
        """NumPy leaves room in it, so that the number of rows can grow and its length stays."""
        self._file.seek(0)
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.n_rows, *self.row_shape)}
        npy.write_array_header_1_0(self._file, header)
