"""Audio for browsers, in pieces: a file as it is or decoded to WAV, any range of its bytes."""

import re
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from anyio import CapacityLimiter, to_thread

from solfa.data.decoders import open_decoder

PIECE_BYTES = 256 * 1024
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
BYTES_PER_SAMPLE = 2
MOST_CHANNELS = 2
MOST_WAV_BYTES = 2**32 - 1 - WAV_HEADER.size  # what the header can say


class RangeError(ValueError):
    """A range that begins behind the end."""


@runtime_checkable
class Sound(Protocol):
    """Bytes of which any range can be had."""

    n_bytes: int
    media_type: str

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``stop``, in pieces."""
        ...


class FileSound:
    """A file as it is."""

    def __init__(self, path: Path, media_type: str) -> None:
        self.path, self.media_type = path, media_type
        self.n_bytes = path.stat().st_size

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """As of ``Sound``; fewer bytes if the file was cut meanwhile."""
        with self.path.open("rb") as file:
            file.seek(start)
            while start < stop and (piece := file.read(min(PIECE_BYTES, stop - start))):
                start += len(piece)
                yield piece


class WavSound:
    """A file decoded to 16-bit WAV at its own rate, mono or stereo; channels beyond the second are left out.

    Raises:
        AudioError: the file cannot be decoded.
        FileNotFoundError: it is gone.
    """

    media_type = "audio/wav"

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(open_decoder(path)) as decoder:
            self.sample_rate = decoder.sample_rate
            self.n_channels = min(decoder.n_channels, MOST_CHANNELS)
            self.frame_bytes = self.n_channels * BYTES_PER_SAMPLE
            self.n_samples = min(decoder.n_samples, MOST_WAV_BYTES // self.frame_bytes)
        self.n_bytes = WAV_HEADER.size + self.n_samples * self.frame_bytes

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """As of ``Sound``; silence where the file ends before its promised end."""
        if start < WAV_HEADER.size:
            yield self._header()[start:stop]
        first = max(0, start - WAV_HEADER.size)
        last = max(0, stop - WAV_HEADER.size)
        if last <= first:
            return
        n_skipped, n_left = first % self.frame_bytes, last - first
        for block in self._blocks(first // self.frame_bytes, -(-last // self.frame_bytes)):
            piece = block[n_skipped : n_skipped + n_left]
            n_skipped, n_left = 0, n_left - len(piece)
            yield piece
        for n in range(0, n_left, PIECE_BYTES):
            yield bytes(min(PIECE_BYTES, n_left - n))

    def _blocks(self, start: int, stop: int) -> Iterator[bytes]:
        """Samples as bytes, in pieces of a size that is soon decoded and soon sent."""
        samples_at_once = PIECE_BYTES // self.frame_bytes
        with closing(open_decoder(self.path)) as decoder:
            for position in range(start, stop, samples_at_once):
                n_samples = min(samples_at_once, stop - position)
                for block in decoder.blocks(position, n_samples):
                    levels = np.nan_to_num(block[:, : self.n_channels]).clip(-1, 1) * 32767
                    yield levels.astype("<i2").tobytes()

    def _header(self) -> bytes:
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
    """A range in pieces. No thread waits while a piece is on its way, however slow the one who takes it."""
    pieces = sound.pieces(start, stop)
    try:
        while piece := await to_thread.run_sync(next, pieces, b"", limiter=limiter):
            yield piece
    finally:
        pieces.close()  # type: ignore[attr-defined]
