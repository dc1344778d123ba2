"""QuantizerFit: trains a quantizer on frames."""

from dataclasses import dataclass, field
from typing import Literal, assert_never

import torch
from torch import nn

from solfa.config import Config, NotNegative
from solfa.data.clips import Clips
from solfa.objectives.base import Objective, StepOutput
from solfa.objectives.residual_kmeans_fit import SeenFrames, fit_residual_kmeans
from solfa.targets import (
    CQTRVQ,
    CQTRVQConfig,
    FittableTarget,
    HiddenRVQ,
    HiddenRVQConfig,
    MelRVQ,
    MelRVQConfig,
    ResidualKMeans,
)

FittableConfig = MelRVQConfig | CQTRVQConfig | HiddenRVQConfig


@dataclass(frozen=True, kw_only=True)
class QuantizerFitConfig(Config):
    """Fit the quantizer of a target to music, or to stored hidden states."""

    kind: Literal["quantizer_fit"] = "quantizer_fit"
    target: FittableConfig = field(default_factory=MelRVQConfig)
    commitment_weight: NotNegative = 0.25
    codebook_weight: NotNegative = 1.0


class QuantizerFit(Objective):
    """Rebuild frames from their codes.

    loss = 0.25 * commitment + codebook + mean |x - x'|, where x are frames and x' what their codes stand for.
    A quantizer of centres has no gradient: after each step its entries move to means of the step's frames.

    Source:
        Mel-RVQ of MuQ, arXiv:2501.01108.
    """

    n_first_clips = 256  # enough for mean and deviation

    def __init__(self, config: QuantizerFitConfig) -> None:
        super().__init__()
        self.config = config
        self.target = _build_target(config.target)
        self.sample_rate = self.target.grid.sample_rate
        self.seen = SeenFrames()  # of a quantizer that is fitted without gradients

    @property
    def model(self) -> nn.Module:
        """The target with its quantizer."""
        return self.target

    def start(self, clips: Clips) -> None:
        """Let the target measure its frames."""
        self.target.fit_statistics(clips)

    def forward(self, clips: Clips) -> StepOutput:
        """Loss over all frames of clips."""
        frames = self.target.frames_to_quantize(clips)
        quantized = self.target.quantizer(frames)
        if self.training and isinstance(self.target.quantizer, ResidualKMeans):
            self.seen.add(clips, frames)
        absolute_error = (frames - quantized.frames).abs().mean()
        loss = (
            self.config.commitment_weight * quantized.commitment_loss
            + self.config.codebook_weight * quantized.codebook_loss
            + absolute_error
        )
        size = self.config.target.quantizer.codebook_size
        with torch.no_grad():
            uses = [torch.bincount(book.flatten(), minlength=size) for book in quantized.codes.unbind(1)]
            explained = (
                1 - (frames - quantized.frames).square().sum() / (frames - frames.mean()).square().sum()
            )
        count = torch.tensor(float(quantized.codes[:, 0].numel()), device=frames.device)
        figures = {
            "absolute_error": absolute_error,
            "commitment_loss": quantized.commitment_loss,
            "codebook_loss": quantized.codebook_loss,
            "explained_variance": explained,
        }
        sums = {name: value.detach() * count for name, value in figures.items()}
        return StepOutput(loss * count, count, sums, torch.stack(uses) if self._is_fitted else None)

    @property
    def _is_fitted(self) -> bool:
        """Whether codes mean anything: centres are at zero until the end of the first step."""
        quantizer = self.target.quantizer
        return not isinstance(quantizer, ResidualKMeans) or bool(quantizer.counts.any())

    def finish_step(self) -> None:
        """Move the centres of a quantizer that has such, by the frames that all ranks saw in the step."""
        if isinstance(self.target.quantizer, ResidualKMeans):
            fit_residual_kmeans(self.target.quantizer, *self.seen.take())


def _build_target(config: FittableConfig) -> FittableTarget:
    match config:
        case MelRVQConfig():
            return MelRVQ(config)
        case CQTRVQConfig():
            return CQTRVQ(config)
        case HiddenRVQConfig():
            return HiddenRVQ(config)
        case _:
            assert_never(config)
