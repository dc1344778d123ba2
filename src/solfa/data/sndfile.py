"""WAV, FLAC, Ogg Vorbis and Opus, AIFF and the like, by libsndfile."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float

from solfa.data.base import BLOCK_SAMPLES, PREROLL_SAMPLES, Decoder
from solfa.data.containers import Part

VORBIS_TAIL_SAMPLES = 2**18  # libsndfile misplaces samples when it seeks into the last pages of Ogg Vorbis
MOST_SAMPLES = 2**48  # more are no length, but another way to say that it is not known
FLOATS = ("FLOAT", "DOUBLE")
BUFFER_BYTES = 2**17


class LengthUnknownError(Exception):
    """libsndfile does not know the length, and cannot do without."""


class SoundFileDecoder:
    """A file by libsndfile. Where that fails, another decoder goes on, or says where the damage is.

    Args:
        part: the file.
        other: opens the other decoder.
    """

    name = f"soundfile {soundfile.__version__} (libsndfile {soundfile.__libsndfile_version__})"

    def __init__(self, part: Part, other: Callable[[str], Decoder]) -> None:
        self.part, self._open_other = part, other
        self._other: Decoder | None = None
        whole = part.whole_file
        self._careful = None if whole else _Careful(part.open())
        # A large buffer: libsndfile asks for little at a time, and each call of Python takes long.
        self._bytes = (
            io.BufferedReader(self._careful, BUFFER_BYTES) if self._careful else part.path.open("rb")
        )
        try:
            with self._own_errors():
                # By number rather than name: names are bytes, and the ending of one may mislead.
                self.file = soundfile.SoundFile(self._bytes.fileno() if whole else self._bytes, closefd=False)
            self.sample_rate, self.n_channels = self.file.samplerate, self.file.channels
            self.n_samples = self.file.frames
            self.holds_floats = self.file.subtype in FLOATS
            if self.n_samples > MOST_SAMPLES:
                self.file.close()
                raise LengthUnknownError
        except BaseException:
            self._bytes.close()
            raise

    def blocks(self, start: int, n_samples: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        """Samples from ``start`` on, in blocks."""
        stop = self.n_samples if n_samples is None else min(start + n_samples, self.n_samples)
        step = max(1, BLOCK_SAMPLES // -(-self.n_channels // 2))  # of many channels fewer, to bound memory
        for position in range(start, stop, step):
            n_wanted = min(step, stop - position)
            try:
                block = self._read(position, n_wanted)
            except soundfile.LibsndfileError as error:
                if self._other is None:
                    self._other = self._open_other(error.error_string)
                yield from self._other.blocks(position, None if n_samples is None else stop - position)
                return
            yield block
            if len(block) < n_wanted:
                return

    def _read(self, position: int, n_samples: int) -> Float[np.ndarray, "sample channel"]:
        early = self._early(position)
        with self._own_errors():
            self.file.seek(early)
            block = self.file.read(position - early + n_samples, dtype="float32", always_2d=True)
        return block[position - early :]

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Raise what reading the bytes raised, in place of what libsndfile made of it."""
        try:
            yield
        finally:
            if self._careful and self._careful.failed:
                raise self._careful.failed

    def _early(self, position: int) -> int:
        """Where decoding must start for samples from ``position`` on to be those of the whole file."""
        if self.file.subtype == "OPUS":
            return max(0, position - PREROLL_SAMPLES)
        if self.file.subtype == "VORBIS":
            return max(0, min(position, self.n_samples - VORBIS_TAIL_SAMPLES))
        return position

    def close(self) -> None:
        """Let go of the file."""
        if self._other is not None:
            self._other.close()
        self.file.close()
        self._bytes.close()


class _Careful(io.RawIOBase):
    """A file whose errors are kept: libsndfile would print them, and take them for the end of the file.

    Args:
        file: whose bytes these are.
    """

    mode = "rb"  # as files have it

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self.failed: Exception | None = None

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a byte of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The byte that comes next."""
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer; with nothing once that has failed."""
        if self.failed:
            return 0
        try:
            return self._file.readinto(buffer) or 0
        except Exception as error:
            self.failed = error
            return 0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        super().close()
