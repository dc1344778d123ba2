"""MaskedPrediction and its heads."""

from dataclasses import dataclass, field
from typing import Literal, assert_never, cast

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config
from solfa.data.clips import Clips
from solfa.models import EncoderConfig, build_encoder
from solfa.objectives.agreement import TrackAgreement, TrackAgreementConfig
from solfa.objectives.base import Objective, Step
from solfa.objectives.masking import BlockMasking, BlockMaskingConfig
from solfa.targets import (
    Codes,
    MelFramesConfig,
    MelRandomProjectionConfig,
    MelRVQConfig,
    Target,
    TargetConfig,
    TargetError,
    Values,
    build_target,
)


@dataclass(frozen=True, kw_only=True)
class PredictionConfig(Config):
    """Something to predict, and how much it counts."""

    target: TargetConfig = field(default_factory=MelRVQConfig)
    weight: float = 1.0  # of its loss in the sum


@dataclass(frozen=True, kw_only=True)
class MaskedPredictionConfig(Config):
    """Predict what frozen targets say about hidden frames."""

    kind: Literal["masked_prediction"] = "masked_prediction"
    encoder: EncoderConfig
    masking: BlockMaskingConfig = field(default_factory=BlockMaskingConfig)
    predictions: tuple[PredictionConfig, ...] = (PredictionConfig(),)
    agreement: TrackAgreementConfig | None = None  # of clips of one track; published models have none


class LinearCodeHead(nn.Module):
    """Hidden states -> logits of several codebooks, by one linear map."""

    def __init__(self, dim: int, n_codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.n_codebooks = n_codebooks
        self.linear = nn.Linear(dim, n_codebooks * codebook_size)

    def forward(self, hidden: Float[Tensor, "hidden dim"]) -> Float[Tensor, "hidden codebook code"]:
        """Logits of hidden states in one row."""
        return rearrange(self.linear(hidden), "frame (book code) -> frame book code", book=self.n_codebooks)

    def loss(
        self, hidden: Float[Tensor, "hidden dim"], expected: Codes, mask: Bool[Tensor, "clip frame"]
    ) -> Step:
        """Cross-entropy of hidden frames: the mean over codebooks, summed over frames."""
        codes = rearrange(expected.values, "clip codebook frame -> clip frame codebook")[mask]
        logits = self(hidden).float()
        loss = code_loss(logits, codes)
        with torch.no_grad():
            correct = (logits.argmax(-1) == codes).sum(0)
        return Step(
            loss.sum(),
            mask.sum().float(),
            {
                "loss_by_codebook": loss.detach().sum(0) * self.n_codebooks,
                "accuracy_by_codebook": correct.float(),
            },
            _count_codes(codes, expected.codebook_size),
        )


class LinearValueHead(nn.Module):
    """Hidden states -> values, by a linear map."""

    def __init__(self, dim: int, n_values: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, n_values)

    def loss(
        self, hidden: Float[Tensor, "hidden dim"], expected: Values, mask: Bool[Tensor, "clip frame"]
    ) -> Step:
        """Squared error of hidden frames: the mean over values, summed over frames."""
        error = (self.linear(hidden).float() - expected.values[mask]).square().mean(-1)
        return Step(error.sum(), mask.sum().float(), {"squared_error": error.detach().sum()})


class MaskedPrediction(Objective):
    """Predict the targets of the hidden frames from the frames around them.

    Source:
        MuQ, arXiv:2501.01108; HuBERT, arXiv:2106.07447.
    """

    def __init__(self, config: MaskedPredictionConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder)
        self.sample_rate = self.encoder.sample_rate
        self.masking = BlockMasking(config.masking, self.encoder.grid)
        targets = [build_target(p.target) for p in config.predictions]
        self.targets = nn.ModuleList(targets).requires_grad_(False)
        self.heads = nn.ModuleList(_build_head(p.target, self.encoder.dim) for p in config.predictions)
        self.agreement = config.agreement and TrackAgreement(config.agreement, self.encoder.dim)
        for target in targets:
            if target.grid != self.encoder.grid:
                raise TargetError(
                    f"The encoder gives {self.encoder.frame_rate:g} frames a second, the target "
                    f"{target.grid.frame_rate:g}. Set target.frames.n_stacked to the product of "
                    "encoder.stem.time_strides."
                )

    @property
    def model(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    def train(self, mode: bool = True) -> "MaskedPrediction":
        """Train encoder and heads; targets are frozen and stay in eval mode."""
        super().train(mode)
        self.targets.eval()
        return self

    def start(self, clips: Clips) -> None:
        """Fetch the targets' fitted parts, and refuse codes that carry no information."""
        for target in cast(list[Target], list(self.targets)):
            target.start()
            expected = target(clips)
            if isinstance(expected, Codes):
                refuse_collapsed(expected)

    def forward(self, clips: Clips) -> Step:
        """Loss over the hidden frames of clips."""
        expected = [target(clips) for target in self.targets]  # from the clean waveform
        mask = self.masking.sample(clips, _n_frames(expected[0]))
        hidden = self.encoder(self.masking.hide_samples(clips, mask)).last
        heads = cast(list[LinearCodeHead | LinearValueHead], list(self.heads))
        steps = [head.loss(hidden[mask], e, mask) for head, e in zip(heads, expected, strict=True)]
        weights = [prediction.weight for prediction in self.config.predictions]
        if self.agreement:
            steps.append(self._agreement(self.agreement, hidden, clips, mask))
            weights.append(self.agreement.config.weight)
        return _combine(steps, weights)

    def _agreement(
        self,
        agreement: TrackAgreement,
        hidden: Float[Tensor, "clip frame dim"],
        clips: Clips,
        mask: Bool[Tensor, "clip frame"],
    ) -> Step:
        """A clip's loss weighs as much as its hidden frames, so that the sum is over frames here too."""
        loss = (agreement(hidden, clips.tracks) * mask.sum(1)).sum()
        return Step(loss, mask.sum().float(), {"agreement_loss": loss.detach()})


def code_loss(
    logits: Float[Tensor, "hidden codebook code"], codes: Int[Tensor, "hidden codebook"]
) -> Float[Tensor, "hidden codebook"]:
    """Cross-entropy of each code, divided by the number of codebooks: summed, the mean over codebooks."""
    loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none")
    return loss.view(codes.shape) / codes.shape[1]


def refuse_collapsed(codes: Codes) -> None:
    """Raise TargetError if all codebooks give one code only: then there is nothing to learn."""
    used = [len(book.unique()) for book in codes.values.unbind(1)]
    if max(used) <= 1:
        raise TargetError(
            f"The targets are collapsed: over {codes.values[:, 0].numel()} frames each of the "
            f"{len(used)} codebooks gives a single code. Fit the quantizer longer, or on more varied music."
        )


def _n_frames(expected: Codes | Values) -> int:
    return expected.values.shape[-1] if isinstance(expected, Codes) else expected.values.shape[1]


def _build_head(target: TargetConfig, dim: int) -> nn.Module:
    match target:
        case MelRVQConfig() | MelRandomProjectionConfig():
            return LinearCodeHead(dim, target.quantizer.n_codebooks, target.quantizer.codebook_size)
        case MelFramesConfig():
            return LinearValueHead(dim, target.frames.dim)
        case _:
            assert_never(target)


def _count_codes(codes: Int[Tensor, "hidden codebook"], size: int) -> Int[Tensor, "codebook code"]:
    return torch.stack([torch.bincount(book, minlength=size) for book in codes.unbind(1)])


def _combine(steps: list[Step], weights: list[float]) -> Step:
    """One step out of those of several predictions over the same hidden frames."""
    loss = torch.stack([weight * step.loss for step, weight in zip(steps, weights, strict=True)]).sum()
    sums = {name: value for step in reversed(steps) for name, value in step.sums.items()}
    return Step(
        loss, steps[0].count, sums, next((s.code_uses for s in steps if s.code_uses is not None), None)
    )
