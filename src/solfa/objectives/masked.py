"""MaskedPrediction: targets of the clean clip, predicted where it is hidden."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from solfa.config import Config, NotNegative, SecondsFromZero
from solfa.data.clips import Clips
from solfa.models import EncoderConfig, build_encoder
from solfa.models.checks import check_finite
from solfa.models.encoder import check_waveform
from solfa.objectives.agreement import TrackAgreement, TrackAgreementConfig
from solfa.objectives.base import Objective, StepOutput
from solfa.objectives.feature_penalty import FeaturePenalty, FeaturePenaltyConfig
from solfa.objectives.heads import HeadConfig, LinearCodeHead, LinearHeadConfig, LinearValueHead, build_head
from solfa.objectives.masking import BlockMaskingConfig, MaskingConfig, build_masking
from solfa.objectives.mixing import BatchMixing, BatchMixingConfig
from solfa.objectives.scored import as_of_all, inner_frames
from solfa.targets import (
    Codes,
    MelRVQConfig,
    Target,
    TargetConfig,
    TargetError,
    build_target,
    target_shape,
)

log = logging.getLogger(__name__)

MOST_DIMENSIONS = 64  # of hidden states that are watched: enough to see them collapse, and nearly free


@dataclass(frozen=True, kw_only=True)
class PredictionConfig(Config):
    """Something to predict, and how much it counts."""

    target: TargetConfig = field(default_factory=MelRVQConfig)
    head: HeadConfig = field(default_factory=LinearHeadConfig)
    weight: NotNegative = 1.0  # of its loss in the sum
    margin_seconds: SecondsFromZero = 0.0  # only frames so far inside a hidden span are asked for


@dataclass(frozen=True, kw_only=True)
class MaskedPredictionConfig(Config):
    """Predict what frozen targets say about hidden frames."""

    kind: Literal["masked_prediction"] = "masked_prediction"
    encoder: EncoderConfig
    masking: MaskingConfig = field(default_factory=BlockMaskingConfig)
    mixing: BatchMixingConfig | None = None  # of clips into each other, in training
    feature_penalty: FeaturePenaltyConfig | None = None  # of an encoder that convolves the waveform
    predictions: tuple[PredictionConfig, ...] = (PredictionConfig(),)
    agreement: TrackAgreementConfig | None = None  # of clips of one track; published models have none


class MaskedPrediction(Objective):
    """Predict the targets of the hidden frames from the frames around them.

    Source:
        MuQ, arXiv:2501.01108; MERT, arXiv:2306.00107; HuBERT, arXiv:2106.07447.
    """

    def __init__(self, config: MaskedPredictionConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder)
        self.sample_rate = self.encoder.sample_rate
        self.masking = build_masking(config.masking, self.encoder.grid, self.encoder.dim)
        self.mixing = config.mixing and BatchMixing(config.mixing, self.encoder.grid)
        self.feature_penalty = config.feature_penalty and FeaturePenalty(config.feature_penalty, self.encoder)
        self.heads = nn.ModuleList(
            build_head(p.head, self.encoder.dim, target_shape(p.target)) for p in config.predictions
        )
        seconds = [prediction.margin_seconds for prediction in config.predictions]
        self.margins = [self.encoder.grid.seconds_to_frames(s) if s else 0 for s in seconds]  # frames
        self.agreement = config.agreement and TrackAgreement(config.agreement, self.encoder.dim)
        # The last to be made: some draw random weights, stored codes none, and what learns must begin alike.
        targets = [build_target(p.target) for p in config.predictions]
        self.targets = nn.ModuleList(targets).requires_grad_(False)
        for target in targets:
            if target.grid != self.encoder.grid:
                raise TargetError(
                    f"The encoder gives {self.encoder.frame_rate:g} frames a second, the target "
                    f"{target.grid.frame_rate:g}. Make hop_length of the target, times its frames.n_stacked "
                    f"if it has one, {self.encoder.grid.hop_length} samples at {self.sample_rate} Hz."
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
            expected = target.of(clips)
            if isinstance(expected, Codes):
                refuse_collapsed(expected)
            if 0 < clips.context_samples < target.reach_samples:
                log.warning(
                    "%s hears %d samples to each side, and data.context_seconds gives it %d: at the ends of "
                    "clips its answer depends on where they are cut. Raise data.context_seconds.",
                    type(target).__name__, target.reach_samples, clips.context_samples,
                )  # fmt: skip

    def forward(self, clips: Clips) -> StepOutput:
        """Loss over the hidden frames of clips."""
        targets = cast(list[Target], list(self.targets))
        expected: list[Any] = [target.of(clips) for target in targets]  # from the clean waveform
        n_frames = self.encoder.frontend.n_frames(clips.waveform.shape[1])
        n_frames = min(n_frames, *(e.n_frames for e in expected))
        mask = self.masking.sample(clips, n_frames)
        heard = self.mixing(clips) if self.mixing and self.training else clips
        waveform = self.masking.hide_samples(heard, mask)
        hidden, penalties = self._encode(waveform, mask)
        heads = cast(list[LinearCodeHead | LinearValueHead], list(self.heads))
        states = hidden[:, :n_frames][mask]
        steps = [
            self._predicted(head, margin, hidden[:, :n_frames], e.cut(n_frames), mask)
            if margin
            else head.loss(states, e.cut(n_frames), mask)
            for head, margin, e in zip(heads, self.margins, expected, strict=True)
        ]
        weights = [prediction.weight for prediction in self.config.predictions]
        if self.feature_penalty and penalties is not None:
            steps.append(_step_of_clips("feature_penalty", penalties, mask))
            weights.append(self.feature_penalty.config.weight)
        if self.agreement:
            steps.append(_step_of_clips("agreement_loss", self.agreement(hidden, clips.tracks), mask))
            weights.append(self.agreement.config.weight)
        step = _combine(steps, weights)
        return replace(step, statistics=step.statistics | {"hidden_moments": hidden_moments(states)})

    def _predicted(
        self,
        head: LinearCodeHead | LinearValueHead,
        margin_frames: int,
        hidden: Float[Tensor, "clip frame dim"],
        expected: Any,
        mask: Bool[Tensor, "clip frame"],
    ) -> StepOutput:
        """What a head says about the frames well inside hidden spans, as if it were about all hidden ones."""
        scored = inner_frames(mask, margin_frames)
        return as_of_all(head.loss(hidden[scored], expected, scored), scored, mask, is_training=self.training)

    def _encode(
        self, waveform: Float[Tensor, "clip sample"], mask: Bool[Tensor, "clip frame"]
    ) -> tuple[Float[Tensor, "clip longer dim"], Float[Tensor, " clip"] | None]:
        """Last hidden states, and the feature penalty of each clip if there is one."""
        check_waveform(waveform, None, is_training=self.training)
        waveform, penalties = waveform.float(), None
        if self.feature_penalty:
            frames, n_frames, penalties = self.feature_penalty(waveform)
        else:
            frames, n_frames = self.encoder.frontend(waveform)
        hidden = self.encoder.context(self.masking.hide_frames(frames, mask), n_frames)
        if not self.training:  # a training has its own check, of the gradients
            check_finite(self.encoder, hidden.states, waveform)
        return hidden.last, penalties


def refuse_collapsed(codes: Codes) -> None:
    """Raise TargetError if all codebooks give one code only: then there is nothing to learn."""
    used = [len(book.unique()) for book in codes.values.unbind(1)]
    if max(used) <= 1:
        raise TargetError(
            f"The targets are collapsed: over {codes.values[:, 0].numel()} frames each of the "
            f"{len(used)} codebooks gives a single code. Fit the quantizer longer, or on more varied music."
        )


@torch.no_grad()
def hidden_moments(states: Float[Tensor, "hidden dim"]) -> Float[Tensor, "one_and_dim one_and_dim"]:
    """Products of all pairs among one and up to 64 dimensions, evenly spaced, summed over hidden frames.

    Count, sums and products in one: what mean, deviation and directions of all frames follow from.
    """
    few = states[:, :: -(-states.shape[1] // MOST_DIMENSIONS)]
    with torch.autocast(states.device.type, enabled=False):
        few = nn.functional.pad(few.float(), (1, 0), value=1.0)
        return few.T @ few


def _step_of_clips(name: str, losses: Float[Tensor, " clip"], mask: Bool[Tensor, "clip frame"]) -> StepOutput:
    """A clip's loss weighs as much as its hidden frames, so that the sum is over frames here too."""
    loss = (losses * mask.sum(1)).sum()
    return StepOutput(loss, mask.sum().float(), {name: loss.detach()})


def _combine(steps: list[StepOutput], weights: list[float]) -> StepOutput:
    """One step out of those of several predictions over the same hidden frames.

    A figure whose name an earlier prediction has taken is called after its place in the configuration:
    ``predictions.1.squared_error``. So are statistics; ``code_uses`` are those of the first that has any.
    """
    loss = torch.stack([weight * step.loss for step, weight in zip(steps, weights, strict=True)]).sum()
    sums: dict[str, Tensor] = {}
    statistics: dict[str, Tensor] = {}
    for number, step in enumerate(steps):
        uses = {} if step.code_uses is None else {"code_uses": step.code_uses}
        for joint, own in ((sums, step.sums), (statistics, step.statistics | uses)):
            joint.update({f"predictions.{number}.{n}" if n in joint else n: v for n, v in own.items()})
    return StepOutput(loss, steps[0].count, sums, statistics.pop("code_uses", None), statistics)
