"""FeaturePenalty: keeps the first convolutions quiet, and lets them learn more slowly."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from solfa.config import Config, Finite, NotNegative
from solfa.errors import ArgumentError
from solfa.models import AudioEncoder
from solfa.models.mert import WaveformFrontend


@dataclass(frozen=True, kw_only=True)
class FeaturePenaltyConfig(Config):
    """Strength by which the convolutions on the waveform are held back."""

    weight: NotNegative = 10.0  # of their mean square in the sum
    gradient_multiplier: Finite = 0.1  # of all gradients that reach them (MERT-330M: 1)


class FeaturePenalty:
    """Waveform -> frames, and the mean square of what the convolutions made on the way.

    Source:
        wav2vec 2.0, arXiv:2006.11477, as MERT, arXiv:2306.00107, uses it.
    """

    def __init__(self, config: FeaturePenaltyConfig, encoder: AudioEncoder) -> None:
        self.config = config
        if not isinstance(encoder.frontend, WaveformFrontend):
            raise ArgumentError(
                f"{type(encoder).__name__} has no convolutions on the waveform to hold back. "
                "Set objective.feature_penalty to null."
            )
        self.frontend: WaveformFrontend = encoder.frontend

    def __call__(
        self, waveform: Float[Tensor, "clip sample"]
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"] | None, Float[Tensor, " clip"]]:
        """Frames and their counts as the frontend gives them, and the penalty of each clip."""
        waveform, _ = self.frontend.prepared(waveform)
        features = _ScaledGradient.apply(
            self.frontend.convolutions(waveform), self.config.gradient_multiplier
        )
        penalties = features.float().square().mean((1, 2))
        frames, n_frames = self.frontend.joined(features, waveform)
        return frames, n_frames, penalties


class _ScaledGradient(torch.autograd.Function):
    """The same values; their gradient is multiplied."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, multiplier: float) -> Tensor:
        ctx.multiplier = multiplier
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.multiplier, None
