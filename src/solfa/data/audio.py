"""Read, resample and downmix one file; what a file reports about itself.

A crop equals the same slice of the whole file: to the bit at the file's own rate (docs/data.md lists the
exceptions), and to 1e-5 after resampling.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from solfa.data.base import AudioError, Damage, Source
from solfa.data.decoders import open_decoder
from solfa.errors import ArgumentError
from solfa.frames import LOUDEST, samples_to_seconds

__all__ = [
    "AudioError",
    "AudioInfo",
    "AudioReader",
    "probe_audio",
    "read_audio",
    "read_padded",
    "writable_format",
    "write_audio",
]

NOT_NUMBERS = "holds samples that are not numbers (NaN or infinite); export it again"
WRITABLE = ("WAV", "FLAC", "OGG")
RESAMPLER = f"soxr {soxr.__version__} HQ"
# What soxr's filter sees on each side, in samples of the lower rate.
CONTEXT_SAMPLES = 256


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """Length, rate and channels that a file reports."""

    path: Path
    n_samples: int  # at the file's own rate
    sample_rate: int
    n_channels: int
    decoder: str  # library and version
    damage: tuple[Damage, ...] = ()  # what is left out of it

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return samples_to_seconds(self.n_samples, self.sample_rate)


def probe_audio(path: Path) -> AudioInfo:
    """What ``path`` reports about itself; samples are not decoded. Raises AudioError."""
    with closing(open_decoder(path)) as decoder:
        return AudioInfo(
            path=path,
            n_samples=decoder.n_samples,
            sample_rate=decoder.sample_rate,
            n_channels=decoder.n_channels,
            decoder=decoder.name,
        )


class AudioReader:
    """An open file, from which mono samples are read. Reading on costs nothing but what is read.

    Args:
        path: the file; its content decides the format, not its name.
        sample_rate: in Hz; the file's own if None.
        channel: which channel, modulo their number; the mean of all if None.
        take_damaged: leave out what cannot be decoded; what follows moves up.

    Raises:
        AudioError: the file cannot be decoded.
        FileNotFoundError: the file is gone.
    """

    def __init__(
        self,
        path: Source,
        *,
        sample_rate: int | None = None,
        channel: int | None = None,
        take_damaged: bool = False,
    ) -> None:
        self.path, self.channel = path, channel
        self._decoder = open_decoder(path, take_damaged=take_damaged)
        self.sample_rate = sample_rate or self._decoder.sample_rate

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def promised_seconds(self) -> float:
        """Length that the file promises."""
        return samples_to_seconds(self._decoder.n_samples, self._decoder.sample_rate)

    def read(self, start: int = 0, n_samples: int | None = None) -> Float[np.ndarray, "sample"]:
        """Samples ``start`` to ``start + n_samples``, to the end if None; fewer where the file ends.

        Only these are decoded, with what the codec and the resampler need around them.

        Raises:
            AudioError: they cannot be decoded, are not numbers, or in the scale of integers.
        """
        if start < 0 or (n_samples is not None and n_samples < 0):
            raise ArgumentError(
                f"A crop starts and ends inside the file: start={start}, n_samples={n_samples}."
            )
        if self.sample_rate == self._decoder.sample_rate:
            waveform = self._read_own(start, n_samples)
        else:
            waveform = self._read_resampled(start, n_samples)
        check_loudness(float(np.abs(waveform).max(initial=0.0)), self.path)
        return waveform

    def close(self) -> None:
        """Let go of the file."""
        self._decoder.close()

    def _read_own(self, start: int, n_samples: int | None) -> Float[np.ndarray, "sample"]:
        blocks = [mix(block, self.channel) for block in self._blocks(start, n_samples)]
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def _blocks(self, start: int, n_samples: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        return self._decoder.blocks(start, n_samples)

    def _read_resampled(self, start: int, n_samples: int | None) -> Float[np.ndarray, "sample"]:
        """A crop at another rate, with the resampler's phase of the whole file.

        The rates are as p : q. Every q-th new sample falls on every p-th old one, so the crop is resampled
        from such a meeting point on, far enough before ``start`` for the filter.
        """
        old_rate = self._decoder.sample_rate
        divisor = gcd(old_rate, self.sample_rate)
        p, q = old_rate // divisor, self.sample_rate // divisor
        context = CONTEXT_SAMPLES * max(1, -(-q // p))
        first_meeting = max(0, (start - context) // q)
        before = start - first_meeting * q
        n_old = None if n_samples is None else -(-(before + n_samples + context) * p // q)
        old = self._read_own(first_meeting * p, n_old)
        new = soxr.resample(old, old_rate, self.sample_rate, quality="HQ")
        return new[before:] if n_samples is None else new[before : before + n_samples]


def read_audio(
    path: Source,
    *,
    sample_rate: int | None = None,
    start: int = 0,
    n_samples: int | None = None,
    channel: int | None = None,
    take_damaged: bool = False,
) -> Float[np.ndarray, "sample"]:
    """Samples ``start`` to ``start + n_samples`` of a file as mono float32; fewer where the file ends.

    Only the crop is decoded, with what its codec and the resampler need around it. Who reads one crop after
    the other keeps an ``AudioReader`` open.

    Args:
        path: the file; its content decides the format, not its name.
        sample_rate: in Hz; the file's own if None.
        start: first sample, counted at ``sample_rate``.
        n_samples: length, counted at ``sample_rate``; all that follows if None.
        channel: which channel, modulo their number; the mean of all if None.
        take_damaged: leave out what cannot be decoded; what follows moves up.

    Raises:
        AudioError: the file cannot be decoded, or holds samples that are not numbers or in integer scale.
        FileNotFoundError: the file is gone.
    """
    with AudioReader(path, sample_rate=sample_rate, channel=channel, take_damaged=take_damaged) as reader:
        return reader.read(start, n_samples)


def read_padded(
    path: Source,
    *,
    sample_rate: int,
    start: int,
    n_samples: int,
    end: int,
    channel: int | None = None,
    take_damaged: bool = False,
) -> Float[np.ndarray, "sample"]:
    """As ``read_audio``, but always as long: zeros stand before sample 0 and from sample ``end`` on.

    Args:
        start: first sample, counted at ``sample_rate``; may lie before the file.
        end: length of the file as its manifest has it, counted likewise.

    Raises:
        AudioError: as ``read_audio``; or the file ends before ``end``.
    """
    first, last = max(0, start), min(start + n_samples, end)
    with AudioReader(path, sample_rate=sample_rate, channel=channel, take_damaged=take_damaged) as reader:
        waveform = reader.read(first, last - first)
    if len(waveform) < last - first - 2:  # the manifest rounds, a resampler too
        n_missing = last - first - len(waveform)
        raise AudioError(f"it ends {n_missing} samples early; prepare the manifest again")
    before = first - start
    return np.pad(waveform, (before, n_samples - before - len(waveform)))


def write_audio(path: Path, waveform: Float[np.ndarray, "sample"], sample_rate: int) -> None:
    """Write a mono file, whole or not at all; its suffix names the format.

    Raises:
        AudioError: no format of that name can be written, or not there.
    """
    container = writable_format(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with soundfile.SoundFile(partial, "w", sample_rate, channels=1, format=container) as file:
            for start in range(0, len(waveform), sample_rate):  # long arrays at once crash libvorbis
                file.write(np.clip(waveform[start : start + sample_rate], -1, 1))
        partial.replace(path)
    except (soundfile.LibsndfileError, OSError) as error:
        partial.unlink(missing_ok=True)
        raise AudioError(
            f"{path} cannot be written ({error}). Free some space, or write elsewhere."
        ) from None


def writable_format(path: Path) -> str:
    """The format that ``write_audio`` will give to a file of that name.

    Raises:
        AudioError: there is none, or no such folder.
    """
    container = path.suffix.lstrip(".").upper()
    if container not in WRITABLE or not path.absolute().parent.is_dir():
        names = ", ".join(f".{name.lower()}" for name in WRITABLE)
        raise AudioError(
            f"{path} cannot be written. Name a file that ends in {names}, in a folder that exists."
        )
    return container


def mix(
    block: Float[np.ndarray, "sample channel"], channel: int | None = None
) -> Float[np.ndarray, "sample"]:
    """One channel, modulo their number; the mean of all if None."""
    n_channels = block.shape[1]
    if channel is not None or n_channels == 1:
        return block[:, (channel or 0) % n_channels]
    # One addition after the other: a matrix product rounds by position, and crops would differ.
    return reduce(np.add, block.T) / np.float32(n_channels)


def check_loudness(peak: float, path: Source) -> None:
    """Refuse samples whose largest is not a number, or in no sense in [-1, 1].

    Raises:
        AudioError: it is so.
    """
    if not np.isfinite(peak):
        raise AudioError(NOT_NUMBERS, path)
    if peak > LOUDEST:
        raise AudioError(
            f"its samples reach {peak:.3g} and should stay in [-1, 1]: they are floats in the scale of "
            "integers, or damaged; divide them by full scale (32768 for 16 bits), or export it again",
            path,
        )
