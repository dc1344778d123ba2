"""Chroma: how the power of a frame is shared among pitch classes."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.config import Bins, Config, Hertz, Hop, NotNegative, Positive, Window
from solfa.errors import ArgumentError
from solfa.features.filtered_power import FilteredPower
from solfa.frames import FrameGrid

T = TypeVar("T", int, Tensor)

A4_HZ = 440.0


@dataclass(frozen=True, kw_only=True)
class ChromaConfig(Config):
    """One octave from C, its semitones divided into equal steps: 264 bins are 12 of 22."""

    kind: Literal["chroma"] = "chroma"
    sample_rate: Hertz = 24_000  # Hz
    n_fft: Window = 2048  # samples; also the length of the Hann window
    hop_length: Hop = 320  # samples
    n_bins: Bins = 264
    centre_hz: Positive = 880.0  # pitches near it weigh most
    width_octaves: Positive = 2.0  # so far from it, a pitch weighs exp(-1/2)
    floor_power: NotNegative = 1e-10  # a frame whose bins are shorter than it, as a vector, counts as silence

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_bins < 12 or self.n_bins % 12:
            raise ArgumentError(
                f"{self.n_bins} bins cannot be shared by 12 pitch classes. Set n_bins to a multiple of 12."
            )

    @property
    def grid(self) -> FrameGrid:
        """Where the frames lie."""
        return FrameGrid(self.sample_rate, self.hop_length)


class Chroma(nn.Module):
    """Waveform -> chroma frames of length one; nothing here is learned.

    Bin ``k * n_bins / 12`` is pitch class ``k``, counted from C, where A4 is 440 Hz. A frame is divided by
    its Euclidean norm, so that loudness does not count; silence gives zeros. Frames lie as those of
    ``LogMel``: ``n // hop_length`` of them. Types as in ``FilteredPower``.

    Source:
        Pitch class profiles from a power spectrum, with the weights of Ellis (Chroma feature analysis and
        synthesis, 2007), which librosa has too. Departs from them: 0 Hz has no pitch, and counts nowhere.
    """

    def __init__(self, config: ChromaConfig) -> None:
        super().__init__()
        self.config = config
        self.power = FilteredPower(chroma_filters(config), config.grid)

    def n_frames(self, n_samples: T) -> T:
        """Frames of a clip of ``n_samples``: a number, or one for each clip."""
        return self.power.n_frames(n_samples)

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame bin"]:
        """Shares of pitch classes; arguments and errors as in ``FilteredPower``."""
        power = self.power(waveform, lengths)
        length = power.norm(dim=-1, keepdim=True)
        is_heard = length > self.config.floor_power
        # Silence is divided by one and not by zero, which would make its gradient NaN.
        return torch.where(is_heard, power / length.where(is_heard, 1.0), 0.0)


def chroma_filters(config: ChromaConfig) -> Float[Tensor, "bin frequency"]:
    """How much each frequency of the spectrum counts for each bin.

    A frequency is a bell around its pitch, of the sum of squares one: two deviations are the distance to the
    next frequency, at least a bin. So low ones, which lie octaves apart, count for all pitch classes alike.
    """
    frequency = torch.arange(1, config.n_fft // 2 + 1, dtype=torch.float64)
    octave = (frequency * config.sample_rate / config.n_fft / A4_HZ).log2() + 9 / 12  # from C4
    position = octave * config.n_bins
    width = nn.functional.pad(position.diff().clamp(min=1), (0, 1), value=1.0)
    distance = position - torch.arange(config.n_bins)[:, None]
    distance = (distance + config.n_bins / 2).remainder(config.n_bins) - config.n_bins / 2
    bells = nn.functional.normalize((-0.5 * (2 * distance / width).square()).exp(), dim=0)
    from_centre = frequency.mul(config.sample_rate / config.n_fft / config.centre_hz).log2()
    weighted = bells * (-0.5 * (from_centre / config.width_octaves).square()).exp()
    return nn.functional.pad(weighted, (1, 0)).float()
