"""Fingerprints: bits of a recording's spectrum over time, which survive codecs, levels and cuts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

SAMPLE_RATE = 11_025
HOP_LENGTH = 512  # samples: 21.5 frames a second
WINDOW_LENGTH = 4_096  # samples, 0.37 s: neighbours overlap by seven eighths, so that cuts off the grid agree
N_BANDS, LOWEST, HIGHEST = 33, 300.0, 3_400.0  # Hz: what every codec keeps
FRAMES_PER_SECOND = SAMPLE_RATE / HOP_LENGTH
FEWEST_FRAMES = round(5 * FRAMES_PER_SECOND)  # that two recordings must share
LONGEST_SECONDS = 1_200.0  # that are read of a file


@dataclass(frozen=True)
class Alignment:
    """How two recordings lie on each other where they agree best."""

    agreement: float  # share of equal bits: 0.5 by chance, 1 for the same sound
    offset: float  # seconds of the first recording at which the second begins; may be negative
    shared: float  # seconds that both have there


def fingerprint(path: Path) -> Bool[np.ndarray, "frame bit"]:
    """Bits of a file, 32 in each of 21.5 frames a second.

    Raises:
        AudioError, FileNotFoundError: it cannot be read.
    """
    from solfa.data.audio import read_audio  # brings decoders, and few need them

    waveform = read_audio(path, sample_rate=SAMPLE_RATE, n_samples=round(LONGEST_SECONDS * SAMPLE_RATE))
    return fingerprint_of(waveform)


def fingerprint_of(waveform: Float[np.ndarray, " sample"]) -> Bool[np.ndarray, "frame bit"]:
    """Bits of a waveform at ``SAMPLE_RATE``: whether the slope over bands grows with time.

    Source:
        Haitsma and Kalker, A Highly Robust Audio Fingerprinting System, ISMIR 2002.
    """
    n_frames = 1 + (len(waveform) - WINDOW_LENGTH) // HOP_LENGTH
    if n_frames < 2:
        return np.zeros((0, N_BANDS - 1), bool)
    edges = np.geomspace(LOWEST, HIGHEST, N_BANDS + 1) * WINDOW_LENGTH / SAMPLE_RATE
    firsts = np.round(edges).astype(int)
    window = np.hanning(WINDOW_LENGTH).astype(np.float32)
    energies = np.empty((n_frames, N_BANDS))
    for frame in range(n_frames):
        part = waveform[frame * HOP_LENGTH : frame * HOP_LENGTH + WINDOW_LENGTH]
        power = np.square(np.abs(np.fft.rfft(part * window)))
        energies[frame] = np.add.reduceat(power, firsts)[:-1]
    slopes = np.diff(energies, axis=1)
    return np.diff(slopes, axis=0) > 0


def align(first: Bool[np.ndarray, "one bit"], second: Bool[np.ndarray, "other bit"]) -> Alignment | None:
    """Where two fingerprints agree best; None if they are too short to say.

    Places at which they share less than ``FEWEST_FRAMES``, or than half of the shorter one, do not count.
    """
    shorter = min(len(first), len(second))
    if shorter < FEWEST_FRAMES:
        return None
    n_all = len(first) + len(second) - 1
    size = 1 << (n_all - 1).bit_length()
    spectra = [np.fft.rfft(np.where(bits, 1.0, -1.0), size, axis=0) for bits in (first, second)]
    product = np.fft.irfft((spectra[0] * spectra[1].conj()).sum(1), size)
    offsets = np.arange(-(len(second) - 1), len(first))
    shared = np.minimum(len(first), offsets + len(second)) - np.maximum(0, offsets)
    agreement = 0.5 + 0.5 * product[offsets] / (shared * first.shape[1])
    agreement[shared < max(FEWEST_FRAMES, shorter // 2)] = 0
    best = int(agreement.argmax())
    return Alignment(
        float(agreement[best]),
        float(offsets[best] / FRAMES_PER_SECOND),
        float(shared[best] / FRAMES_PER_SECOND),
    )
