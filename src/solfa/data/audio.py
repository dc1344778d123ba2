"""Read, resample and downmix one file; what a file reports about itself.

A crop equals the same slice of the whole file: to the bit at the file's own rate (docs/data.md lists the
exceptions), and to 1e-5 after resampling.
"""

from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from solfa.data.decoders import AudioError, Decoder, open_decoder
from solfa.frames import samples_to_seconds

__all__ = [
    "AudioError",
    "AudioInfo",
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
    """What a file reports about itself."""

    path: Path
    n_samples: int  # at the file's own rate
    sample_rate: int
    n_channels: int
    decoder: str  # library and version

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


def read_audio(
    path: Path,
    *,
    sample_rate: int | None = None,
    start: int = 0,
    n_samples: int | None = None,
    channel: int | None = None,
) -> Float[np.ndarray, "sample"]:
    """Samples ``start`` to ``start + n_samples`` of a file as mono float32; fewer where the file ends.

    Only the crop is decoded, with what its codec and the resampler need around it.

    Args:
        path: the file; its content decides the format, not its name.
        sample_rate: in Hz; the file's own if None.
        start: first sample, counted at ``sample_rate``.
        n_samples: length, counted at ``sample_rate``; all that follows if None.
        channel: which channel, modulo their number; the mean of all if None.

    Raises:
        AudioError: the file cannot be decoded, or holds samples that are not numbers.
        FileNotFoundError: the file is gone.
    """
    if start < 0 or (n_samples is not None and n_samples < 0):
        raise ValueError(f"A crop starts and ends inside the file: start={start}, n_samples={n_samples}.")
    with closing(open_decoder(path)) as decoder:
        if sample_rate is None or sample_rate == decoder.sample_rate:
            waveform = _read_mono(decoder, start, n_samples, channel)
        else:
            waveform = _read_resampled(decoder, sample_rate, start, n_samples, channel)
    if not np.isfinite(waveform).all():
        raise AudioError(NOT_NUMBERS, path)
    return waveform


def read_padded(
    path: Path, *, sample_rate: int, start: int, n_samples: int, end: int, channel: int | None = None
) -> Float[np.ndarray, "sample"]:
    """As ``read_audio``, but always as long: zeros stand before sample 0 and from sample ``end`` on.

    Args:
        start: first sample, counted at ``sample_rate``; may lie before the file.
        end: length of the file as its manifest has it, counted likewise.

    Raises:
        AudioError: as ``read_audio``; or the file ends before ``end``.
    """
    first, last = max(0, start), min(start + n_samples, end)
    waveform = read_audio(path, sample_rate=sample_rate, start=first, n_samples=last - first, channel=channel)
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


def _read_mono(
    decoder: Decoder, start: int, n_samples: int | None, channel: int | None
) -> Float[np.ndarray, "sample"]:
    blocks = [_mix(block, channel) for block in decoder.blocks(start, n_samples)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _mix(block: Float[np.ndarray, "sample channel"], channel: int | None) -> Float[np.ndarray, "sample"]:
    n_channels = block.shape[1]
    if channel is not None or n_channels == 1:
        return block[:, (channel or 0) % n_channels]
    # One addition after the other: a matrix product rounds by position, and crops would differ.
    return reduce(np.add, block.T) / np.float32(n_channels)


def _read_resampled(
    decoder: Decoder, sample_rate: int, start: int, n_samples: int | None, channel: int | None
) -> Float[np.ndarray, "sample"]:
    """A crop at another rate, with the resampler's phase of the whole file.

    The rates are as p : q. Every q-th new sample falls on every p-th old one, so the crop is resampled from
    such a meeting point on, far enough before ``start`` for the filter.
    """
    divisor = gcd(decoder.sample_rate, sample_rate)
    p, q = decoder.sample_rate // divisor, sample_rate // divisor
    context = CONTEXT_SAMPLES * max(1, -(-q // p))
    first_meeting = max(0, (start - context) // q)
    before = start - first_meeting * q
    if n_samples is None:
        old = _read_mono(decoder, first_meeting * p, None, channel)
    else:
        n_old = -(-(before + n_samples + context) * p // q)
        old = _read_mono(decoder, first_meeting * p, n_old, channel)
    new = soxr.resample(old, decoder.sample_rate, sample_rate, quality="HQ")
    return new[before:] if n_samples is None else new[before : before + n_samples]
