"""An array in a file that grows and may be cut off at any moment."""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float
from numpy.lib import format as npy

from solfa.errors import ArgumentError


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
