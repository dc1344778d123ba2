"""HybridConstantQ: constant-Q magnitudes as librosa's hybrid transform gives them, tuned to each track."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.config import Bins, Hertz, Hop, Pitch
from solfa.features.cqt import ConstantQ, ConstantQConfig
from solfa.features.exact import exact, unrounded

TUNING_FFT, LOWEST_HZ, HIGHEST_HZ = 2048, 150.0, 4000.0  # of peaks that tell how a track is tuned
LEAST_OF_LOUDEST = 0.1  # that a peak has of its frame's largest magnitude
TUNING_STEPS = 100  # in a bin
A0 = 27.5  # Hz
DROPPED = 0.01  # of a short kernel's spectrum: its smallest numbers


@dataclass(frozen=True, kw_only=True)
class HybridConstantQConfig(ConstantQConfig):
    """Seven octaves from C1, three bins to a semitone, 43 frames a second."""

    sample_rate: Hertz = 22_050  # Hz
    hop_length: Hop = 512  # samples
    f_min: Pitch = 440 * 2 ** (-45 / 12)  # Hz, of the first bin: C1
    n_bins: Bins = 252
    bins_per_octave: Bins = 36

    def kernel_seconds(self, number: int) -> float:
        """Length of a bin's kernel."""
        ratio = 2 ** (2 / self.bins_per_octave)
        return (ratio + 1) / (ratio - 1) / self.frequency(number)

    def kernel_samples(self, number: int) -> int:
        """As many as lie within its length, the same to each side of the middle."""
        return 2 * math.floor(self.kernel_seconds(number) * self.sample_rate / 2) + 1

    @property
    def n_long(self) -> int:
        """Bins, from the lowest, whose kernels are longer than a hop."""
        hop = self.hop_length / self.sample_rate
        return sum(self.kernel_seconds(number) > hop for number in range(self.n_bins))


class HybridConstantQ:
    """The waveform of a track -> magnitudes of bins that are shifted to how it is tuned.

    Kernels that are longer than a hop are correlated with the waveform; of shorter ones the magnitudes of
    spectra are multiplied. Frame ``i`` is centred on sample ``i * hop_length``; ``n`` samples give
    ``n // hop_length + 1``.

    Source:
        ``hybrid_cqt`` and ``estimate_tuning`` of librosa 0.11. Departs from it: long kernels are not made
        sparse, and nothing is resampled.
    """

    def __init__(self, config: HybridConstantQConfig) -> None:
        self.config = config

    def __call__(self, waveform: Float[Tensor, " sample"]) -> Float[Tensor, "frame bin"]:
        """Magnitudes of mono audio at ``config.sample_rate``."""
        with unrounded(waveform.device):
            waveform = exact(waveform)
            steps = round(TUNING_STEPS * tuning(waveform, self.config))
            long, short = _kernels(self.config, steps)
            found = [long(waveform[None])[0]] if long else []
            if len(short):
                n_fft = 2 * (short.shape[1] - 1)
                spectrum = _magnitudes(waveform, n_fft, self.config.hop_length)
                found.append((short.to(spectrum) @ spectrum).T / math.sqrt(n_fft))
        return torch.cat(found, 1)


def tuning(waveform: Float[Tensor, " sample"], config: ConstantQConfig) -> float:
    """How far the tones of a track lie from 440 Hz and its bins, in parts of a bin, from -0.5 to 0.5.

    Spectral peaks of the louder half vote, each with its place between two bins.
    """
    magnitudes = _magnitudes(waveform, TUNING_FFT, TUNING_FFT // 4)
    least = LEAST_OF_LOUDEST * magnitudes.amax(0)
    spacing = config.sample_rate / TUNING_FFT  # Hz
    first, last = math.ceil(LOWEST_HZ / spacing), math.ceil(HIGHEST_HZ / spacing)
    below, here, above = (magnitudes[first + n : last + n] for n in (-1, 0, 1))
    slope, curvature = (above - below) / 2, above + below - 2 * here
    shift = torch.where(slope.abs() < curvature.abs(), -slope / curvature, 0.0)
    is_peak = (here > least) & (here > below) & (here >= above)
    if not bool(is_peak.any()):
        return 0.0
    pitches = ((torch.arange(first, last, device=here.device)[:, None] + shift) * spacing)[is_peak]
    strengths = (here + slope * shift / 2)[is_peak].cpu().numpy()
    is_strong = strengths >= np.median(strengths)
    places = config.bins_per_octave * np.log2(pitches.cpu().numpy()[is_strong] / A0) % 1
    edges = np.linspace(-0.5, 0.5, TUNING_STEPS + 1)
    votes, _ = np.histogram(np.where(places >= 0.5, places - 1, places), edges)
    return float(edges[votes.argmax()])


def _magnitudes(waveform: Float[Tensor, " sample"], n_fft: int, hop: int) -> Float[Tensor, "bin frame"]:
    window = torch.hann_window(n_fft, dtype=waveform.dtype, device=waveform.device)
    return torch.stft(waveform, n_fft, hop, window=window, pad_mode="constant", return_complex=True).abs()


@lru_cache(maxsize=8)
def _kernels(
    config: HybridConstantQConfig, steps: int
) -> tuple[ConstantQ | None, Float[Tensor, "bin frequency"]]:
    """Long kernels, and spectra of short ones, of bins that are shifted by hundredths of one."""
    f_min = config.f_min * 2 ** (steps / TUNING_STEPS / config.bins_per_octave)
    tuned = HybridConstantQConfig(
        sample_rate=config.sample_rate, hop_length=config.hop_length, f_min=f_min, n_bins=config.n_bins,
        bins_per_octave=config.bins_per_octave,
    )  # fmt: skip
    lows = HybridConstantQConfig(
        sample_rate=config.sample_rate, hop_length=config.hop_length, f_min=f_min,
        n_bins=max(1, tuned.n_long), bins_per_octave=config.bins_per_octave,
    )  # fmt: skip
    n_fft = 2 ** (1 + math.ceil(math.log2(config.hop_length)))
    short = [_spectrum(tuned, number, n_fft) for number in range(tuned.n_long, tuned.n_bins)]
    return (
        ConstantQ(lows) if tuned.n_long else None,
        torch.from_numpy(np.array(short, np.float32).reshape(-1, n_fft // 2 + 1)),
    )


def _spectrum(config: HybridConstantQConfig, number: int, n_fft: int) -> Float[np.ndarray, " frequency"]:
    """Magnitudes of a kernel's spectrum, the smallest of them dropped."""
    length = config.kernel_seconds(number) * config.sample_rate
    n_samples = config.kernel_samples(number)
    time = np.arange(n_samples)
    window = 0.5 - 0.5 * np.cos(2 * math.pi * time / n_samples)
    tone = window / window.sum() * np.exp(2j * math.pi * config.frequency(number) * time / config.sample_rate)
    magnitudes = np.abs(np.fft.fft(tone, n_fft)[: n_fft // 2 + 1]) * (length / n_fft)
    ordered = np.sort(magnitudes)
    n_dropped = int((ordered.cumsum() < DROPPED * ordered.sum()).sum())
    return np.where(magnitudes < ordered[n_dropped], 0, magnitudes)
