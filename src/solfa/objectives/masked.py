"""MaskedPrediction: targets of the clean clip, predicted where it is hidden."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from solfa.config import LATER, Config, LayerNumber, NotNegative, SecondsFromZero
from solfa.data.clips import Clips
from solfa.data.seeds import ASK, WITHHOLD
from solfa.errors import ArgumentError
from solfa.features import MelCQTFrames
from solfa.models import EncoderConfig, build_encoder
from solfa.models.checks import check_finite
from solfa.models.encoder import HiddenStates, check_waveform
from solfa.models.small import SpectraFrontend
from solfa.objectives.agreement import TrackAgreement
from solfa.objectives.base import Objective, StepOutput
from solfa.objectives.feature_penalty import FeaturePenalty, FeaturePenaltyConfig
from solfa.objectives.gaussian_guard import GaussianGuard, GaussianGuardConfig
from solfa.objectives.given_spectra import refuse_other_spectra, refuse_other_stored
from solfa.objectives.heads import HeadConfig, LinearCodeHead, LinearHeadConfig, LinearValueHead, build_head
from solfa.objectives.masking import BlockMaskingConfig, MaskingConfig, build_masking
from solfa.objectives.mixing import BatchMixing, BatchMixingConfig
from solfa.objectives.moments import hidden_moments, moments_of_layers
from solfa.objectives.pooled_agreement import AgreementConfig, build_agreement
from solfa.objectives.predictor import Predictor, PredictorConfig, visible_states, with_something_visible
from solfa.objectives.scored import as_of_all, inner_frames
from solfa.objectives.spectra_mixing import SpectraMixing, SpectraMixingConfig, mixed_clips
from solfa.objectives.transposition import Transposition, TranspositionConfig
from solfa.targets import (
    Codes,
    MelRVQConfig,
    Target,
    TargetConfig,
    TargetError,
    build_target,
    refuse_collapsed,
)

log = logging.getLogger(__name__)

LEAST_SCORED = 0.1  # share of hidden frames that a prediction with a margin should be asked for


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
    agreement: AgreementConfig | None = None  # of clips of one track; published models have none
    predictor: PredictorConfig | None = None  # of a second step; without, the encoder guesses, as published
    transposition: TranspositionConfig | None = None  # of an encoder that hears a constant-Q half
    guard: GaussianGuardConfig | None = None  # against states that vary in few directions
    watched_layers: tuple[LayerNumber, ...] = ()  # whose ranks are told in validation; none if empty
    spectra_mixing: SpectraMixingConfig | None = None  # of an encoder that takes spectra; in training
    # Of an encoder whose stored codes are predicted, if that is not free; filled in at the start of a run.
    license: str = field(default="", metadata=LATER)


@dataclass(frozen=True)
class Seen:
    """What an encoder, and perhaps a predictor behind it, made of clips that are partly hidden."""

    states: Float[Tensor, "clip longer dim"]  # last hidden states of the encoder
    answers: Float[Tensor, "clip as_long width"]  # what heads read, where frames are hidden
    shown: Bool[Tensor, "clip longer"]  # frames that were not hidden
    visible: Bool[Tensor, "clip longer"] | None = None  # frames that have a state; all if None
    penalties: Float[Tensor, " clip"] | None = None  # of each clip, for loud features


class MaskedPrediction(Objective):
    """Predict the targets of the hidden frames from the frames around them.

    In one step, the encoder itself sees something in place of hidden frames, and heads read its states there.
    In two, it is given the visible frames only, and heads read the states of a predictor that comes after.

    Source:
        MuQ, arXiv:2501.01108; MERT, arXiv:2306.00107; HuBERT, arXiv:2106.07447.
    """

    def __init__(self, config: MaskedPredictionConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder)
        self.sample_rate = self.encoder.sample_rate
        stand_in_dim = None if config.predictor else self.encoder.dim  # of what stands for a hidden frame
        self.masking = build_masking(config.masking, self.encoder.grid, stand_in_dim)
        self._check_spectra()
        self.mixing = config.mixing and BatchMixing(config.mixing, self.encoder.grid)
        self.spectra_mixing = self._build_spectra_mixing()
        self.feature_penalty = config.feature_penalty and FeaturePenalty(config.feature_penalty, self.encoder)
        self.predictor = config.predictor and Predictor(config.predictor, self.encoder.dim)
        dim = self.predictor.dim if self.predictor else self.encoder.dim
        self.heads = nn.ModuleList(build_head(p.head, dim, p.target.shape) for p in config.predictions)
        seconds = [prediction.margin_seconds for prediction in config.predictions]
        self.margins = [self.encoder.grid.seconds_to_frames(s) if s else 0 for s in seconds]  # frames
        self.agreement = config.agreement and build_agreement(config.agreement, self.encoder.dim)
        self.transposition = self._transposition(config.transposition)
        self.guard = config.guard and GaussianGuard(config.guard)
        self.watched_layers = [self.encoder.layer_number(layer) for layer in config.watched_layers]
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

    def _check_spectra(self) -> None:
        """Where the encoder is given spectra: refuse masks that hide nothing in them, and other spectra."""
        if not self._spectra:
            return
        for prediction in self.config.predictions:
            refuse_other_spectra(prediction.target, self._spectra.config.spectra)
        if not self.config.predictor and not self.masking.hides_frames:
            raise ArgumentError(
                f"{type(self.encoder).__name__} may be given stored spectra, in which noise among samples "
                "hides nothing. Hide frames: "
                '--set objective.masking=\'{"kind": "spread_span"}\', or give it a predictor.'
            )

    def _transposition(self, config: TranspositionConfig | None) -> Transposition | None:
        """The loss of transposed views, if it is wanted, of an encoder that hears constant-Q frames."""
        if config is None:
            return None
        if not self._spectra or "cqt" not in self._spectra.config.halves:
            raise ArgumentError(
                "Only an encoder that hears a constant-Q half can be shown it transposed. Train solfa_small "
                "with the half cqt, or set objective.transposition to null."
            )
        return Transposition(config, self.encoder.dim, self._spectra.config.spectra.log_cqt)

    def _build_spectra_mixing(self) -> SpectraMixing | None:
        """What mixes the encoder's spectra. Raises ArgumentError if it takes none."""
        config = self.config.spectra_mixing
        if config and not self._spectra:
            raise ArgumentError(
                f"{type(self.encoder).__name__} takes no spectra that could be mixed. Set "
                "objective.spectra_mixing to null, and objective.mixing in its place."
            )
        return SpectraMixing(config, self._spectra.config.spectra) if config and self._spectra else None

    @property
    def _spectra(self) -> SpectraFrontend | None:
        """The encoder's frontend, if it takes spectra in place of audio."""
        return self.encoder.frontend if isinstance(self.encoder.frontend, SpectraFrontend) else None

    @property
    def model(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    def layers_to_shard(self) -> list[nn.Module]:
        """Layers of the encoder; none where ranks whose clips differ go through them unequally often."""
        return [] if self.predictor or self.transposition else self.layers_to_recompute()

    def layers_to_recompute(self) -> list[nn.Module]:
        """Layers of the encoder."""
        return list(self.encoder.context.layers)

    def layers_to_compile(self) -> list[nn.Module]:
        """Layers of the encoder, and of the predictor."""
        return [*self.encoder.context.layers, *(self.predictor.transformer.layers if self.predictor else ())]

    def train(self, mode: bool = True) -> "MaskedPrediction":
        """Train encoder and heads; targets are frozen and stay in eval mode."""
        super().train(mode)
        self.targets.eval()
        return self

    def start(self, clips: Clips) -> None:
        """Fetch the targets' fitted parts, and refuse codes that carry no information."""
        clips = self._with_spectra(clips)
        for target in cast(list[Target], list(self.targets)):
            target.load_fitted()
            expected = target.with_context(clips)
            if isinstance(expected, Codes):
                refuse_collapsed(expected)
            if 0 < clips.context_samples < target.context_samples:
                log.warning(
                    "%s hears %d samples to each side, and data.context_seconds gives it %d: at the ends of "
                    "clips its answer depends on where they are cut. Raise data.context_seconds.",
                    type(target).__name__, target.context_samples, clips.context_samples,
                )  # fmt: skip
        if any(self.margins):
            self._warn_of_margins(clips, expected.n_frames)

    def _warn_of_margins(self, clips: Clips, n_frames: int) -> None:
        """Say it aloud if a prediction is hardly ever asked: its loss would be zero, in silence."""
        mask = self.masking.sample(clips, n_frames)
        for prediction, margin in zip(self.config.predictions, self.margins, strict=True):
            share = float(inner_frames(mask, margin).sum() / mask.sum().clamp(min=1))
            if margin and share < LEAST_SCORED:
                log.warning(
                    "Only %.1f %% of hidden frames lie %g s inside a hidden span, and %s is predicted for no "
                    "others. Lower margin_seconds of that prediction, or hide longer spans.",
                    100 * share, prediction.margin_seconds, prediction.target.kind,
                )  # fmt: skip

    def forward(self, clips: Clips) -> StepOutput:
        """Loss over the hidden frames of clips."""
        clips = self._with_spectra(clips)
        targets = cast(list[Target], list(self.targets))
        expected: list[Any] = [target.with_context(clips) for target in targets]  # from the clean waveform
        spectra, n_samples = clips.spectra, clips.waveform.shape[1]
        n_heard = self.encoder.frontend.n_frames(n_samples) if spectra is None else spectra.n_frames
        n_frames = min(n_heard, *(e.n_frames for e in expected))
        mask = self.masking.sample(clips, n_frames)
        mask = with_something_visible(mask) if self.predictor else mask
        asked = self._asked(clips, mask)
        seen = self._see(self._mixed(clips), mask, asked)
        heads = cast(list[LinearCodeHead | LinearValueHead], list(self.heads))
        answers = seen.answers[:, :n_frames]
        states = answers[mask if asked is None else asked]
        steps = [
            head.loss(states, e.cut(n_frames), mask)
            if asked is None and not margin
            else self._predicted(head, margin, answers, e.cut(n_frames), mask, asked)
            for head, margin, e in zip(heads, self.margins, expected, strict=True)
        ]
        weights = [prediction.weight for prediction in self.config.predictions]
        for weight, step in self._steps_of_clips(seen, clips, mask):
            weights.append(weight)
            steps.append(step)
        step = _combine(steps, weights)
        watched = states if seen.visible is None else seen.states[seen.visible]  # what outlives training
        statistics = step.statistics | {"hidden_moments": hidden_moments(watched)}
        if self.watched_layers and not self.training:
            statistics |= moments_of_layers(self._whole(clips), self.watched_layers)
        return replace(step, statistics=statistics)

    def _steps_of_clips(
        self, seen: Seen, clips: Clips, mask: Bool[Tensor, "clip frame"]
    ) -> Iterator[tuple[float, StepOutput]]:
        """Weights and losses of what is said of whole clips."""
        clip_weights = self.masking.clip_weights(mask)
        if self.feature_penalty and seen.penalties is not None:
            step = step_of_clips("feature_penalty", seen.penalties, clip_weights, mask)
            yield self.feature_penalty.config.weight, step
        if self.agreement:
            # The published one takes the mean of all states that there are, of hidden frames too.
            visible = seen.visible if isinstance(self.agreement, TrackAgreement) else seen.shown
            losses = self.agreement(seen.states, clips.tracks, visible)
            step = step_of_clips("agreement_loss", losses, clip_weights, mask)
            yield self.agreement.config.weight, step
        if self.guard:
            losses = self.guard(seen.states, seen.shown).expand(len(mask))
            yield self.guard.config.weight, step_of_clips("guard_loss", losses, clip_weights, mask)
        if self.transposition:
            yield self.transposition.config.weight, self._transposed(seen, clips, clip_weights, mask)

    def _transposed(
        self,
        seen: Seen,
        clips: Clips,
        clip_weights: Shaped[Tensor, " clip"],
        mask: Bool[Tensor, "clip frame"],
    ) -> StepOutput:
        """What transposed views of some clips say; each chosen clip stands for those that are not."""
        assert self.transposition is not None
        visible = torch.ones_like(seen.shown) if seen.visible is None else seen.visible
        spectra = cast(MelCQTFrames, clips.spectra)
        said = self.transposition(clips, spectra, visible, self._encode_views)
        weights = clip_weights[said.rows] * self.transposition.config.one_clip_in
        step = step_of_clips("transposition_loss", said.losses, weights, mask)
        right = (said.is_right * weights).sum()
        return replace(step, sums=step.sums | {"transposition_accuracy": right})

    def _encode_views(
        self, spectra: MelCQTFrames, visible: Bool[Tensor, "view frame"]
    ) -> Float[Tensor, "view frame dim"]:
        """Last hidden states of spectra whose mel half, which does not move, is withheld."""
        frontend = cast(SpectraFrontend, self._spectra)
        frames = frontend.embed(spectra, frontend.without("mel", len(spectra)))
        if self.predictor:
            return visible_states(self.encoder, frames, visible)
        return self.encoder.context(frames, None).last

    def _whole(self, clips: Clips) -> HiddenStates:
        """Hidden states of clips of which nothing is hidden, as users of the encoder have them."""
        if self._spectra:
            return self.encoder.context(self._spectra.embed(cast(MelCQTFrames, clips.spectra)), None)
        return self.encoder.context(*self.encoder.frontend(clips.waveform.float()))

    def _predicted(
        self,
        head: LinearCodeHead | LinearValueHead,
        margin_frames: int,
        hidden: Float[Tensor, "clip frame dim"],
        expected: Any,
        mask: Bool[Tensor, "clip frame"],
        asked: Bool[Tensor, "clip frame"] | None,
    ) -> StepOutput:
        """What a head says about frames well inside hidden spans, as if it were about all hidden ones."""
        scored = inner_frames(mask, margin_frames) if margin_frames else mask
        scored = scored if asked is None else scored & asked
        return as_of_all(head.loss(hidden[scored], expected, scored), scored, mask, is_training=self.training)

    def _mixed(self, clips: Clips) -> Clips:
        """Clips as the encoder hears them; targets are of the clips as they were."""
        if not self.training:
            return clips
        heard = self.mixing(clips) if self.mixing else clips
        return mixed_clips(self.spectra_mixing, self._with_spectra(heard)) if self.spectra_mixing else heard

    def _with_spectra(self, clips: Clips) -> Clips:
        """Clips with the spectra that the encoder takes, for it and for targets, where none were stored."""
        if clips.spectra is not None:
            refuse_other_stored(clips.spectra_are, self._spectra.config.spectra if self._spectra else None)
        if self._spectra is None or clips.spectra is not None:
            return clips
        check_waveform(clips.waveform, None, is_training=self.training)
        return replace(clips, spectra=self._spectra.spectra_of(clips.waveform.float()))

    def _asked(self, clips: Clips, mask: Bool[Tensor, "clip frame"]) -> Bool[Tensor, "clip frame"] | None:
        """Hidden frames that a training asks its predictor about; None if it asks about all."""
        predictor = self.predictor
        if not (self.training and isinstance(predictor, Predictor)) or predictor.config.asked_share == 1:
            return None
        return predictor.draw_asked(mask, clips.generators(ASK))

    def _see(
        self, heard: Clips, mask: Bool[Tensor, "clip frame"], asked: Bool[Tensor, "clip frame"] | None = None
    ) -> Seen:
        """States of the encoder, and what is to be read at hidden frames."""
        frames, n_frames, penalties = self._frames(heard, mask)
        shown = nn.functional.pad(~mask, (0, frames.shape[1] - mask.shape[1]))
        if self.predictor:
            states = visible_states(self.encoder, frames, shown)
            answers = self.predictor(states[:, : mask.shape[1]], mask, asked)
            return Seen(states, answers, shown, shown, penalties)
        hidden = self.encoder.context(self.masking.hide_frames(frames, mask), n_frames)
        if not self.training:  # a training has its own check, of the gradients
            check_finite(self.encoder, hidden.states, frames.flatten(1) if self._spectra else heard.waveform)
        return Seen(hidden.last, hidden.last, shown, penalties=penalties)

    def _frames(
        self, heard: Clips, mask: Bool[Tensor, "clip frame"]
    ) -> tuple[Float[Tensor, "clip longer dim"], Int[Tensor, " clip"] | None, Float[Tensor, " clip"] | None]:
        """Frames of the frontend and their numbers, and the feature penalty of each clip if there is one."""
        if self._spectra:
            spectra = cast(MelCQTFrames, self._with_spectra(heard).spectra)
            generators = heard.generators(WITHHOLD)
            withheld = self._spectra.draw_withheld(generators) if self.training else None
            return self._spectra.embed(spectra, withheld), None, None
        waveform = self.masking.hide_samples(heard, mask)
        check_waveform(waveform, None, is_training=self.training)
        if self.feature_penalty:
            return self.feature_penalty(waveform.float())
        return *self.encoder.frontend(waveform.float()), None


def step_of_clips(
    name: str,
    losses: Float[Tensor, " chosen"],
    weights: Shaped[Tensor, " chosen"],
    mask: Bool[Tensor, "clip frame"],
) -> StepOutput:
    """A clip's loss weighs as much as hidden frames, so that the sum is over frames here too."""
    loss = (losses * weights).sum()
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
