"""LogConstantQ: decibels of constant-Q amplitudes, with frames in the middle of their hop."""

from dataclasses import dataclass, field
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.config import Config, Finite
from solfa.features.cqt import ConstantQ, ConstantQConfig
from solfa.features.exact import Fixed
from solfa.features.filtered_power import refuse_short
from solfa.frames import FrameGrid

T = TypeVar("T", int, Tensor)


@dataclass(frozen=True, kw_only=True)
class LogConstantQConfig(Config):
    """Seven octaves from C1, three bins to a semitone, 25 frames a second."""

    constant_q: ConstantQConfig = field(
        default_factory=lambda: ConstantQConfig(hop_length=960, n_bins=252, bins_per_octave=36)
    )
    floor_db: Finite = -80.0  # what is softer counts as it; a tone of amplitude 1 has 0 dB

    @property
    def grid(self) -> FrameGrid:
        """Where the frames lie."""
        return self.constant_q.grid


class LogConstantQ(Fixed):
    """Waveform -> decibels of constant-Q amplitudes; nothing here is learned.

    Frame ``i`` is centred in the middle of hop ``i``; ``n`` samples give ``n // hop_length`` frames. A bin is
    scaled by its kernel, so that a tone of amplitude 1 in its middle gives 0 dB at any pitch. Types and
    kernels as in ``ConstantQ``.
    """

    bin_scale: Tensor

    def __init__(self, config: LogConstantQConfig) -> None:
        super().__init__()
        self.config = config
        self.constant_q = ConstantQ(config.constant_q)
        lengths = [config.constant_q.kernel_samples(number) for number in range(config.constant_q.n_bins)]
        self.register_buffer("bin_scale", 2 / torch.tensor(lengths).sqrt(), persistent=False)

    def n_frames(self, n_samples: T) -> T:
        """Frames of a clip of ``n_samples``: a number, or one for each clip."""
        return n_samples // self.config.grid.hop_length

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame bin"]:
        """Decibels.

        Args:
            waveform: mono, at the sample rate of the configuration.
            lengths: samples of audio in each clip, the rest being padding; all of them if omitted.

        Raises:
            ValueError: a clip shorter than a hop.
        """
        hop = self.config.grid.hop_length
        refuse_short(waveform, lengths, hop, self.config.grid.sample_rate)
        # Frame i of ConstantQ is centred where hop i starts: half a hop of zeros in front moves it there.
        n_before = hop - hop // 2
        longer = nn.functional.pad(waveform, (n_before, 0))
        magnitude = self.constant_q(longer, None if lengths is None else lengths + n_before)
        amplitude = magnitude[:, 1 : 1 + self.n_frames(waveform.shape[1])] * self.bin_scale
        return 20 * amplitude.clamp(min=10 ** (self.config.floor_db / 20)).log10()
