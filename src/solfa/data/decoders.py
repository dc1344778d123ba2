"""One compressed file behind one shape: soundfile, then PyAV for what soundfile cannot read.

A decoder gives blocks of samples from any point on. What it gives equals the same samples of a decode from
the beginning: where a codec remembers the past, decoding starts early and the first samples are dropped.
"""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import av
import numpy as np
import soundfile
from jaxtyping import Float

BLOCK_SAMPLES = 2**20
PREROLL_SAMPLES = 2**14  # after these, a codec has forgotten what came before; measured in docs/data.md
REMEMBERING = ("MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "OPUS")  # of libsndfile's subtypes
VORBIS_TAIL_SAMPLES = 2**18  # libsndfile misplaces samples when it seeks into the last pages of Ogg Vorbis
# By name, so that no text file is taken for a playlist and no playlist leads out of the folder.
AV_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,"
    "matroska,mov,mp3,mpc,mpc8,mpegts,ogg,oma,tta,w64,wav,wv"
)

logging.getLogger("libav").setLevel(
    logging.CRITICAL
)  # it warns per damaged packet; we answer once, by AudioError


class AudioError(ValueError):
    """Why a file cannot be used, and the cure where there is one."""

    def __init__(self, reason: str, path: Path | None = None):
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return self.reason if self.path is None else f"{str(self.path)!r}: {self.reason}"


@runtime_checkable
class Decoder(Protocol):
    """An open file that can be read from any sample on."""

    name: str  # library and version, for manifests
    sample_rate: int
    n_channels: int

    @property
    def n_samples(self) -> int:
        """Length that the file promises."""
        ...

    def blocks(self, start: int, n_samples: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        """Samples ``start`` to ``start + n_samples`` (to the end if None), fewer where the file ends."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def open_decoder(path: Path) -> Decoder:
    """Open ``path`` with the first library that can read what is in it, whatever its name says."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r} (any more). Prepare its folder again.")
    if path.stat().st_size == 0:
        raise AudioError("empty file (0 bytes); copy or download it again", path)
    try:
        return SoundFileDecoder(path)
    except (soundfile.LibsndfileError, _LengthUnknownError, TypeError):  # the last: soundfile on *.raw
        pass
    try:
        return AVDecoder(path)
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(_why_unreadable(path, error), path) from None


class SoundFileDecoder:
    """WAV, FLAC, Ogg Vorbis and Opus, MP3 with a length header, AIFF and the like, by libsndfile."""

    name = f"soundfile {soundfile.__version__} (libsndfile {soundfile.__libsndfile_version__})"

    def __init__(self, path: Path):
        self.path = path
        # Bytes: a name need not be UTF-8. Windows has no such names.
        self.file = soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else str(path))
        self.sample_rate = self.file.samplerate
        self.n_channels = self.file.channels
        self.n_samples = self.file.frames
        if self.file.format == "MP3" and not _has_length_header(path):
            self.file.close()
            raise _LengthUnknownError

    def blocks(self, start: int, n_samples: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        """Samples from ``start`` on, in blocks."""
        stop = self.n_samples if n_samples is None else min(start + n_samples, self.n_samples)
        try:
            for position in range(start, stop, BLOCK_SAMPLES):
                early = self._early(position)
                self.file.seek(early)
                n_wanted = min(BLOCK_SAMPLES, stop - position)
                block = self.file.read(position - early + n_wanted, dtype="float32", always_2d=True)
                yield block[position - early :]
                if len(block) < position - early + n_wanted:
                    return
        except soundfile.LibsndfileError as error:
            reason = f"damaged ({error.error_string.rstrip('.')}); copy or download it again"
            raise AudioError(reason, self.path) from None

    def _early(self, position: int) -> int:
        """Where decoding must start for samples from ``position`` on to be those of the whole file."""
        if self.file.subtype in REMEMBERING:
            return max(0, position - PREROLL_SAMPLES)
        if self.file.subtype == "VORBIS":
            return max(0, min(position, self.n_samples - VORBIS_TAIL_SAMPLES))
        return position

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


class AVDecoder:
    """AAC (m4a) and all else, by the FFmpeg libraries inside PyAV."""

    name = f"PyAV {av.__version__} (FFmpeg {av.ffmpeg_version_info})"

    def __init__(self, path: Path):
        self.path = path
        self._open_files = ExitStack()
        try:
            self._open()
            self.sample_rate = self.stream.codec_context.sample_rate
            self.n_channels = self.stream.codec_context.channels
            if not self.sample_rate or not self.n_channels:
                raise ValueError("no audio stream")
            # MP4 lists its packets; other containers are read from the beginning, without decoding what is
            # not wanted; and where the clock is coarser than a sample (Matroska), all is decoded.
            self._is_indexed = "mp4" in self.container.format.name.split(",")
            clock = Fraction(self.stream.time_base or 1)  # seconds per tick
            self._ticks = 1 / (clock * self.sample_rate)  # per sample
            self._first_tick = self.stream.start_time or 0
        except BaseException:
            self.close()
            raise

    def blocks(self, start: int, n_samples: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        """Samples from ``start`` on, in the codec's own frames."""
        stop = math.inf if n_samples is None else start + n_samples
        if self._is_indexed:
            stop = min(stop, self.n_samples)  # after it comes the encoder's padding
        try:
            for position, frame in self._frames(max(0, start - PREROLL_SAMPLES)):
                if position >= stop:
                    return
                block = frame[max(0, start - position) : int(min(stop - position, len(frame)))]
                if len(block):
                    yield block
        except av.FFmpegError as error:
            raise AudioError(f"damaged ({error.strerror}); copy or download it again", self.path) from None

    def close(self) -> None:
        """Let go of the file."""
        self._open_files.close()

    def _open(self) -> None:
        """Open the file anew, at its beginning."""
        self._open_files.close()
        # An open file rather than a name: names are bytes, and some look like addresses.
        file = self._open_files.enter_context(self.path.open("rb"))
        options = {"format_whitelist": AV_CONTAINERS}
        self.container: Any = self._open_files.enter_context(av.open(file, options=options))
        if not self.container.streams.audio:
            raise ValueError("no audio stream")
        self.stream = self.container.streams.audio[0]
        self._is_at_beginning = True

    @cached_property
    def n_samples(self) -> int:
        """Samples by the container's count; found only when asked for, since some must be walked through."""
        if self._is_indexed and self.stream.duration:
            return round(self.stream.duration / self._ticks)
        last = self._first_tick
        for packet in self._packets(0):  # not decoded, so this is quick
            if packet.pts is not None:
                last = max(last, packet.pts + (packet.duration or 0))
        return round((last - self._first_tick) / self._ticks)

    def _frames(self, start: int) -> Iterator[tuple[int, Float[np.ndarray, "sample channel"]]]:
        """Frames from one that holds sample ``start``, or an earlier one, with the position of each."""
        to_float = av.AudioResampler(format="flt")
        position = None
        for packet in self._packets(start):
            for frame in packet.decode():
                if position is None:
                    tick = self._first_tick if frame.pts is None else frame.pts
                    position = round((tick - self._first_tick) / self._ticks) if self._is_exact else 0
                for converted in to_float.resample(frame):
                    samples = converted.to_ndarray().reshape(-1, self.n_channels)
                    yield position, samples
                    position += len(samples)

    @property
    def _is_exact(self) -> bool:
        """Whether the container's clock meets every sample."""
        return self._ticks.denominator == 1

    def _packets(self, start: int) -> Iterator[Any]:
        """Packets in their order; those that end before sample ``start`` are left out where that is safe."""
        if not self._is_at_beginning:
            self._open()
        self._is_at_beginning = False
        tick = self._first_tick + start * self._ticks
        if self._is_indexed and start:
            self.container.seek(int(tick), stream=self.stream)
        for packet in self.container.demux(self.stream):
            is_wanted = packet.pts is None or packet.pts + (packet.duration or 0) > tick
            if is_wanted or not self._is_exact:
                yield packet


class _LengthUnknownError(Exception):
    """An MP3 without a length header: libsndfile guesses the length, and stops there."""


def _has_length_header(path: Path) -> bool:
    """Whether the first frame of an MP3 says how many frames follow."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":
            size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            file.seek(size + 10)
        else:
            file.seek(0)
        head = file.read(4096)
    return any(tag in head for tag in (b"Xing", b"Info", b"VBRI"))


def _why_unreadable(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp":
        return "truncated: its index (the end of the file) is missing; copy or download it again"
    if head[:4] in (b"RIFF", b"fLaC", b"OggS", b"FORM") or head[:3] == b"ID3":
        return "cut short inside its header, or damaged; copy or download it again"
    detail = error.strerror if isinstance(error, av.FFmpegError) else str(error)
    return f"not audio, or a format that no decoder knows ({detail}); convert it to FLAC or remove it"
