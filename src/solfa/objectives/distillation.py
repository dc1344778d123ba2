"""Distillation: a small encoder predicts codes of a frozen one's layers, and its mean and deviation."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, LayerNumber, NotNegative
from solfa.data.clips import Clips
from solfa.data.seeds import derived_seed
from solfa.errors import ArgumentError
from solfa.models.layers.pooling import mean_and_deviation
from solfa.objectives.base import StepOutput
from solfa.objectives.masked import (
    MaskedPrediction,
    MaskedPredictionConfig,
    PredictionConfig,
    Seen,
    step_of_clips,
)
from solfa.objectives.residual_kmeans_fit import fit_residual_kmeans
from solfa.objectives.teacher import Teacher, layers_to_teach, load_teacher
from solfa.precision import full_float32
from solfa.targets import TeacherCodes, TeacherCodesConfig

NO_TEACHER = (
    "No teacher is named. Name an encoder that solfa.load reads, '--set objective.teacher=MODEL', or a "
    "folder of its frames, '--set data.teacher=HIDDEN', made by 'solfa embed tracks.jsonl --model MODEL "
    "--frames --frame-layer L --out HIDDEN'."
)


@dataclass(frozen=True, kw_only=True)
class PooledTeachingConfig(Config):
    """Strength of what makes clips as a whole sound alike to both encoders."""

    weight: NotNegative = 0.5  # of its loss in the sum


@dataclass(frozen=True, kw_only=True)
class DistillationConfig(MaskedPredictionConfig):
    """Masked prediction, with a teacher: another encoder, or a folder of its frames (``data.teacher``)."""

    kind: Literal["distillation"] = "distillation"  # type: ignore[assignment]  # its own name
    predictions: tuple[PredictionConfig, ...] = field(
        default_factory=lambda: (PredictionConfig(target=TeacherCodesConfig()),)
    )
    teacher: str = ""  # a run, a folder or a published name; given on the command line
    teacher_layers: tuple[LayerNumber, ...] = ()  # its middle one and its default if empty
    pooled: PooledTeachingConfig | None = field(default_factory=PooledTeachingConfig)
    taught_by: str = ""  # the teacher's name without its place; filled in at the start of a run
    license: str = ""  # of its weights, if that is not free, and so of what is made of them; filled in


class PooledTeaching(nn.Module):
    """Visible states of a clip -> how far they are from saying what the teacher says of it as a whole.

    Mean and deviation of the visible states, by a linear map, shall point where mean and deviation of the
    teacher's frames do: the loss is 1 less the cosine of both. The teacher's are taken less their mean over
    the first clips and by their deviation, without which all clips would point alike.

    Source:
        Distillation by cosines of clips alone, arXiv:2604.24933.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: PooledTeachingConfig, dim: int, teacher_dim: int) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(2 * dim, 2 * teacher_dim)
        self.register_buffer("mean", torch.zeros(2 * teacher_dim))
        self.register_buffer("deviation", torch.ones(2 * teacher_dim))

    @torch.no_grad()
    def fit(self, frames: Float[Tensor, "clip frame dim"]) -> None:
        """Take mean and deviation over clips from some of them."""
        pooled = mean_and_deviation(frames, None)
        deviation = pooled.std(0, unbiased=False)
        self.mean.copy_(pooled.mean(0))
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(
        self,
        states: Float[Tensor, "clip longer dim"],
        shown: Bool[Tensor, "clip longer"],
        frames: Float[Tensor, "clip frame other"],
    ) -> Float[Tensor, " clip"]:
        """The loss of each clip, 0 to 2.

        Args:
            states: of the encoder that learns, at their places.
            shown: where nothing was hidden from it.
            frames: of the teacher, of the whole clip.
        """
        with torch.autocast(states.device.type, enabled=False):
            wanted = (mean_and_deviation(frames, None) - self.mean) / self.deviation
            said = self.linear(mean_and_deviation(states.float(), shown))
            return 1 - F.cosine_similarity(said, wanted, dim=1)


class Distillation(MaskedPrediction):
    """Masked prediction of the codes of a frozen teacher, which hears the clean clips.

    What is predicted beside them is predicted as ever. The start of a run fits codes to what the teacher
    makes of its first clips. The teacher is no part of the run's weights: it is loaded again by its name when
    a run goes on, and refused if it is not the same.

    Source:
        Codes of two models' layers as targets: MERT-v2. Departs from it: they are fitted as the run starts.
    """

    n_first_clips = 32  # that codes are fitted to

    def __init__(self, config: DistillationConfig) -> None:
        super().__init__(config)
        self.config: DistillationConfig = config
        self.teacher: Teacher | None = None  # loaded when it is first heard
        self.codes = [target for target in self.targets if isinstance(target, TeacherCodes)]
        if not self.codes:
            raise ArgumentError(
                "A distillation predicts codes of its teacher, and none of its predictions is of the kind "
                "teacher_codes. Add it, or train solfa_small, which needs no teacher."
            )
        width = self.codes[0].config.quantizer.dim
        self.pooled = config.pooled and PooledTeaching(config.pooled, self.encoder.dim, width)

    def start(self, clips: Clips) -> None:
        """Fit the codes to the first clips, then do as any masked prediction."""
        clips = self._taught(clips)
        seed = derived_seed(clips.seed, int(clips.numbers.min()))
        with full_float32(clips.waveform.device):
            for target in self.codes:
                target.fit_statistics(clips)
                frames = target.frames_to_quantize(clips)
                fit_residual_kmeans(target.quantizer, frames.flatten(0, 1), seed)
            if self.pooled:
                self.pooled.fit(self.codes[0].frames_to_quantize(clips))
        super().start(clips)

    def forward(self, clips: Clips) -> StepOutput:
        """Loss over the hidden frames of clips, and over clips as a whole."""
        return super().forward(self._taught(clips))

    def _steps_of_clips(
        self, seen: Seen, clips: Clips, mask: Bool[Tensor, "clip frame"]
    ) -> Iterator[tuple[float, StepOutput]]:
        yield from super()._steps_of_clips(seen, clips, mask)
        if self.pooled:
            losses = self.pooled(seen.states, seen.shown, self.codes[0].frames_to_quantize(clips))
            weights = self.masking.clip_weights(mask)
            yield self.pooled.config.weight, step_of_clips("pooled_loss", losses, weights, mask)

    def _taught(self, clips: Clips) -> Clips:
        """Clips with the frames of the teacher, stored or just made."""
        if clips.hidden is not None:
            return clips
        if not self.config.teacher:
            raise ArgumentError(NO_TEACHER)
        if not clips.waveform.shape[1]:
            raise ArgumentError(
                "A teacher hears audio, and data.spectra stand in its place. Leave them out, or store its "
                "frames with 'solfa embed --frames', and name their folder in place of it: data.teacher."
            )
        return self._loaded().hear(clips)

    def _loaded(self) -> Teacher:
        if self.teacher is None:
            with torch.random.fork_rng(devices=[]):  # a run that goes on draws as one that never stopped
                encoder = load_teacher(self.config.teacher, self.sample_rate)
            self.teacher = Teacher(encoder, layers_to_teach(encoder, self.config.teacher_layers))
        return self.teacher
