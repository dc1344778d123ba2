"""Audio for browsers, in pieces: a file as it is or decoded to WAV, any range of its bytes."""

import logging
import os
import re
import stat
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from anyio import CapacityLimiter, to_thread

from solfa.data.decoders import AudioError, open_decoder
from solfa.errors import SolfaError
from solfa.serving.guard import CutShortError

log = logging.getLogger(__name__)

NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
PIECE_BYTES = 256 * 1024
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
BYTES_PER_SAMPLE = 2
MOST_CHANNELS = 2
MOST_WAV_BYTES = 2**32 - 1 - WAV_HEADER.size  # what the header can say


class RangeError(SolfaError, ValueError):
    """A range that begins behind the end."""


@runtime_checkable
class Sound(Protocol):
    """An open file whose bytes, as it is or decoded, can be had in any range."""

    n_bytes: int
    media_type: str

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``stop``, in pieces; the file is let go of behind the last."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class FileSound:
    """A file as it is. It stays the same one if another takes its place meanwhile.

    Raises:
        FileNotFoundError: it is gone, or has become something that is no file.
    """

    def __init__(self, path: Path, media_type: str) -> None:
        self.media_type = media_type
        # What has become a pipe would else be waited for.
        self._file = os.fdopen(os.open(path, os.O_RDONLY | NO_WAITING), "rb")
        self.status = os.fstat(self._file.fileno())
        self.n_bytes = self.status.st_size
        if not stat.S_ISREG(self.status.st_mode):
            self.close()
            raise FileNotFoundError(f"{path} is no file.")

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """As of ``Sound``; fewer bytes if the file was cut meanwhile."""
        with self._file:
            self._file.seek(start)
            while start < stop and (piece := self._file.read(min(PIECE_BYTES, stop - start))):
                start += len(piece)
                yield piece

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class WavSound:
    """A file decoded to 16-bit WAV at its own rate, mono or stereo; channels beyond the second are left out.

    Raises:
        AudioError: the file cannot be decoded.
        FileNotFoundError: it is gone.
    """

    media_type = "audio/wav"

    def __init__(self, path: Path) -> None:
        self._decoder = open_decoder(path)
        self.sample_rate = self._decoder.sample_rate
        self.n_channels = min(self._decoder.n_channels, MOST_CHANNELS)
        self.frame_bytes = self.n_channels * BYTES_PER_SAMPLE
        self.n_samples = min(self._decoder.n_samples, MOST_WAV_BYTES // self.frame_bytes)
        self.n_bytes = WAV_HEADER.size + self.n_samples * self.frame_bytes
        try:
            self._header = self._packed()
        except struct.error:
            self.close()
            raise AudioError(
                f"a sample rate of {self.sample_rate} Hz, which WAV cannot state", path
            ) from None

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """As of ``Sound``; silence from where the file ends before its promised end, or is damaged."""
        with closing(self):
            if start < WAV_HEADER.size:
                yield self._header[start:stop]
            yield from self._samples(max(0, start - WAV_HEADER.size), max(0, stop - WAV_HEADER.size))

    def close(self) -> None:
        """Let go of the file."""
        self._decoder.close()

    def _samples(self, first: int, last: int) -> Iterator[bytes]:
        """The bytes behind the header from ``first`` to ``last``."""
        if last <= first:
            return
        n_skipped, n_left = first % self.frame_bytes, last - first
        for block in self._blocks(first // self.frame_bytes, -(-last // self.frame_bytes)):
            piece = block[n_skipped : n_skipped + n_left]
            n_skipped, n_left = 0, n_left - len(piece)
            if piece:  # nothing would be taken for the end
                yield piece
        for n in range(0, n_left, PIECE_BYTES):
            yield bytes(min(PIECE_BYTES, n_left - n))

    def _blocks(self, start: int, stop: int) -> Iterator[bytes]:
        """Samples as bytes, in pieces of a size that is soon decoded and soon sent."""
        samples_at_once = PIECE_BYTES // self.frame_bytes
        try:
            for position in range(start, stop, samples_at_once):
                n_samples = min(samples_at_once, stop - position)
                for block in self._decoder.blocks(position, n_samples):
                    # Their number may change on the way; the header has promised that of the beginning.
                    channels = block[:, np.arange(self.n_channels) % block.shape[1]]
                    levels = np.nan_to_num(channels).clip(-1, 1) * 32767
                    yield levels.astype("<i2").tobytes()
        except AudioError as error:
            log.warning("Silence is sent for the rest of a file: %s", error)

    def _packed(self) -> bytes:
        n_bytes = self.n_samples * self.frame_bytes
        return WAV_HEADER.pack(
            b"RIFF", n_bytes + WAV_HEADER.size - 8, b"WAVE", b"fmt ", 16, 1, self.n_channels,
            self.sample_rate, self.sample_rate * self.frame_bytes, self.frame_bytes, 8 * BYTES_PER_SAMPLE,
            b"data", n_bytes,
        )  # fmt: skip


def read_range(header: str | None, n_bytes: int) -> tuple[int, int] | None:
    """Start and stop of the range that a header asks for; None if it asks for all, or for what is no range.

    Several ranges at once count as none: no player needs them, and they have been used to tire servers.

    Raises:
        RangeError: it begins behind the end.

    Source:
        RFC 9110, section 14.
    """
    match = RANGE.fullmatch(header.strip().lower()) if header else None
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, stop = max(0, n_bytes - int(match[2])), n_bytes
    else:
        start, stop = int(match[1]), min(int(match[2]) + 1, n_bytes) if match[2] else n_bytes
        if match[2] and int(match[2]) < start:
            return None
    if start >= n_bytes:
        raise RangeError
    return start, stop


async def stream(sound: Sound, start: int, stop: int, limiter: CapacityLimiter) -> AsyncIterator[bytes]:
    """A range in pieces. No thread waits while a piece is on its way, however slow the one who takes it.

    Raises:
        CutShortError: the file has become shorter.
    """
    pieces, n_left = sound.pieces(start, stop), stop - start
    try:
        while piece := await to_thread.run_sync(next, pieces, b"", limiter=limiter):
            n_left -= len(piece)
            yield piece
        if n_left:
            raise CutShortError(f"its file lacks {n_left} bytes by now")
    finally:
        pieces.close()  # type: ignore[attr-defined]
        sound.close()
