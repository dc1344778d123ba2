"""LogMel: decibels of a mel spectrogram, normalised by fixed statistics."""

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.config import Bins, Config, Finite, Hertz, Hop, NotNegative, Positive, Window
from solfa.features.filtered_power import FilteredPower
from solfa.frames import FrameGrid

T = TypeVar("T", int, Tensor)


@dataclass(frozen=True, kw_only=True)
class LogMelConfig(Config):
    """The front end of MuQ; the statistics are those of the Million Song Dataset at these settings."""

    sample_rate: Hertz = 24_000  # Hz
    n_fft: Window = 2048  # samples; also the length of the Hann window
    hop_length: Hop = 240  # samples
    n_mels: Bins = 128
    mean_db: Finite = 6.768444971712967
    std_db: Positive = 18.417922652295623
    floor_power: NotNegative = 1e-10  # power below it counts as it: -100 dB

    @property
    def grid(self) -> FrameGrid:
        """Where the mel frames lie."""
        return FrameGrid(self.sample_rate, self.hop_length)


class LogMel(nn.Module):
    """Waveform -> normalised mel frames in decibels; nothing here is learned.

    Where frames lie, and how clips end, is said by ``FilteredPower``: ``n`` samples give ``n // hop_length``
    frames. Types as in ``FilteredPower``.

    Source:
        MuQ, arXiv:2501.01108: HTK mel scale without area normalisation, power spectrum, MSD statistics.
    """

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config = config
        filters = mel_filters(config.n_mels, config.n_fft, config.sample_rate)
        self.power = FilteredPower(filters, config.grid)

    def n_frames(self, n_samples: T) -> T:
        """Mel frames of a clip of ``n_samples``: a number, or one for each clip."""
        return self.power.n_frames(n_samples)

    def decibels(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame mel"]:
        """Mel power in decibels, before the normalisation; arguments and errors as in ``FilteredPower``."""
        return 10 * self.power(waveform, lengths).clamp(min=self.config.floor_power).log10()

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame mel"]:
        """Normalised decibels; arguments and errors as in ``FilteredPower``."""
        return (self.decibels(waveform, lengths) - self.config.mean_db) / self.config.std_db


def mel_filters(n_mels: int, n_fft: int, sample_rate: int) -> Float[Tensor, "mel bin"]:
    """Triangles of height one, evenly spaced on the HTK mel scale from 0 Hz to half the sample rate."""
    frequencies = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1)
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, n_mels + 2) / 2595) - 1)
    widths = corners.diff()
    distance = corners[:, None] - frequencies[None, :]
    rising = -distance[:-2] / widths[:-1, None]
    falling = distance[2:] / widths[1:, None]
    return torch.minimum(rising, falling).clamp(min=0)
