"""CQTFrames: constant-Q values to regress."""

from dataclasses import dataclass, field
from typing import Literal, assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from solfa.config import Config, Positive
from solfa.data.clips import Clips
from solfa.features import ConstantQ, ConstantQConfig
from solfa.targets.base import Target, Values, ValuesShape


@dataclass(frozen=True, kw_only=True)
class LinearMagnitudeConfig(Config):
    """Magnitudes as they are (MERT): loud low notes make most of the error."""

    kind: Literal["linear"] = "linear"


@dataclass(frozen=True, kw_only=True)
class LogMagnitudeConfig(Config):
    """log(1 + gain * magnitude): soft sounds count beside loud ones."""

    kind: Literal["log"] = "log"
    gain: Positive = 10.0


@dataclass(frozen=True, kw_only=True)
class AmplitudeConfig(Config):
    """Each bin by a scale of its own: a tone gives its amplitude at any pitch, so low notes weigh no more.

    Values stay below one, and so does their error: give the prediction a higher weight.
    """

    kind: Literal["amplitude"] = "amplitude"


MagnitudeConfig = LinearMagnitudeConfig | LogMagnitudeConfig | AmplitudeConfig


@dataclass(frozen=True, kw_only=True)
class CQTFramesConfig(Config):
    """Constant-Q magnitudes, to be regressed: the musical teacher of MERT."""

    kind: Literal["cqt"] = "cqt"
    constant_q: ConstantQConfig = field(default_factory=ConstantQConfig)
    magnitude: MagnitudeConfig = field(default_factory=LinearMagnitudeConfig)

    @property
    def shape(self) -> ValuesShape:
        """Codes or values of a frame."""
        return ValuesShape(self.constant_q.n_bins)


class CQTFrames(Target):
    """Constant-Q values, a quarter of a semitone apart.

    Frame ``i`` is centred where frame ``i`` of the encoder starts; as published, this half frame is not
    corrected.

    Source:
        MERT, arXiv:2306.00107. Logarithm and scale of bins are ours.
    """

    bin_scale: Tensor

    def __init__(self, config: CQTFramesConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.constant_q.grid
        self.constant_q = ConstantQ(config.constant_q)
        # A tone of amplitude 1 in the middle of a bin gives half the root of the kernel length as magnitude.
        lengths = [config.constant_q.kernel_samples(number) for number in range(config.constant_q.n_bins)]
        self.register_buffer("bin_scale", 2 / torch.tensor(lengths).sqrt(), persistent=False)

    @property
    def context_samples(self) -> int:
        """Half of the longest kernel."""
        return self.config.constant_q.kernel_samples(0) // 2 + 1

    @torch.no_grad()
    def forward(self, clips: Clips) -> Values:
        """Constant-Q values of the clean clips; one frame more than whole hops."""
        return Values(self._scaled(self.constant_q(clips.waveform)))

    def _scaled(self, magnitude: Float[Tensor, "clip frame bin"]) -> Float[Tensor, "clip frame bin"]:
        match self.config.magnitude:
            case LinearMagnitudeConfig():
                return magnitude
            case LogMagnitudeConfig() as log:
                return (log.gain * magnitude).log1p()
            case AmplitudeConfig():
                return magnitude * self.bin_scale
            case _ as unknown:
                assert_never(unknown)
