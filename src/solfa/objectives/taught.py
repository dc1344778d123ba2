"""TaughtPrediction: masked prediction beside lessons of stored teachers, which are learned on whole clips."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from solfa.data.clips import Clips
from solfa.data.seeds import derived_seed
from solfa.errors import ArgumentError
from solfa.models.encoder import HiddenStates
from solfa.objectives.base import StepOutput
from solfa.objectives.lessons import AnyLessonConfig, Lessons
from solfa.objectives.masked import MaskedPrediction, MaskedPredictionConfig, Seen
from solfa.objectives.masking import MaskingConfig, SpreadSpanMaskingConfig
from solfa.objectives.residual_kmeans_fit import fit_residual_kmeans
from solfa.precision import full_float32
from solfa.targets import TeacherCodes


@dataclass(frozen=True, kw_only=True)
class TaughtPredictionConfig(MaskedPredictionConfig):
    """Masked prediction, and lessons of the teachers of ``data.teachers``."""

    kind: Literal["taught_prediction"] = "taught_prediction"  # type: ignore[assignment]  # its own name
    masking: MaskingConfig = field(default_factory=lambda: SpreadSpanMaskingConfig(whole_share=0.5))
    lessons: tuple[AnyLessonConfig, ...] = ()
    taught_by: str = ""  # names and licences of the teachers; filled in at the start of a run
    license: str = ""  # of a teacher whose licence binds what learns from it; filled in


@dataclass(frozen=True)
class SeenLayers(Seen):
    """What an encoder made of clips, and every layer of those of which nothing was hidden."""

    layers: tuple[Float[Tensor, "whole frame dim"], ...] = ()


class TaughtPrediction(MaskedPrediction):
    """Masked prediction of most clips, and lessons on those that are left whole.

    Each lesson reads one layer, so that pitch can be asked of lower ones and meaning of higher ones. What is
    predicted may be joint codes of the teachers too, which the start of a run fits to its first clips.

    Source:
        Codes of other models' layers side by side as in MERT-v2; the weighing of many tasks by their running
        means is ours.
    """

    n_first_clips = 32  # that codes are fitted to

    def __init__(self, config: TaughtPredictionConfig) -> None:
        super().__init__(config)
        self.config: TaughtPredictionConfig = config
        masking = config.masking
        if not isinstance(masking, SpreadSpanMaskingConfig) or not masking.whole_share:
            raise ArgumentError(
                "Lessons are learned on whole clips, and masking leaves none. Set objective.masking to the "
                "kind spread_span with a whole_share above 0, such as 0.5."
            )
        for lesson in config.lessons:
            self.encoder.layer_number(lesson.layer)
        self.whole_share = masking.whole_share
        self.lessons = Lessons(config.lessons, self.encoder.dim)

    def start(self, clips: Clips) -> None:
        """Fit joint codes and lessons to the first clips, then do as any masked prediction."""
        seed = derived_seed(clips.seed, int(clips.numbers.min()))
        with full_float32(clips.waveform.device):
            self.lessons.fit(clips.taught)
            for target in self.targets:
                if isinstance(target, TeacherCodes):
                    target.fit_statistics(clips)
                    frames = target.frames_to_quantize(clips)
                    fit_residual_kmeans(target.quantizer, frames.flatten(0, 1), seed)
        super().start(clips)

    def finish_step(self) -> None:
        """Bring the running means of the lessons up to date."""
        super().finish_step()
        self.lessons.finish_step()

    def _see(
        self, heard: Clips, mask: Bool[Tensor, "clip frame"], asked: Bool[Tensor, "clip frame"] | None = None
    ) -> SeenLayers:
        """As ever, and every layer of whole clips, of the pass that had them."""
        with _passes(self.encoder.context) as passes:
            seen = super()._see(heard, mask, asked)
        is_whole, last = ~mask.any(1), passes[-1].states
        # Whole clips may have had a pass of their own, which is the last one then.
        taken = slice(None) if len(last[0]) < len(mask) else is_whole
        if not bool(is_whole.any()):
            taken = slice(0, 0)
        n_frames = mask.shape[1]
        return SeenLayers(**vars(seen), layers=tuple(layer[taken, :n_frames] for layer in last))

    def _steps_of_clips(
        self, seen: Seen, clips: Clips, mask: Bool[Tensor, "clip frame"]
    ) -> Iterator[tuple[float, StepOutput]]:
        yield from super()._steps_of_clips(seen, clips, mask)
        assert isinstance(seen, SeenLayers)
        is_whole = ~mask.any(1)
        taught = {name: replace(one, values=one.values[is_whole]) for name, one in clips.taught.items()}
        # Whole clips stand for the others as well: the sum is as long as if all were whole.
        weights = self.masking.clip_weights(mask)[is_whole] / self.whole_share
        for lesson in self.lessons(seen.layers, taught):
            figures = {f"{lesson.name} loss": (lesson.raw * weights).sum()}
            yield 1.0, StepOutput((lesson.scaled * weights).sum(), mask.sum().float(), figures)


@contextmanager
def _passes(context: nn.Module) -> Iterator[list[HiddenStates]]:
    """Hidden states of every pass through a context meanwhile."""
    found: list[HiddenStates] = []

    def keep(_: nn.Module, __: Any, hidden: HiddenStates) -> None:
        found.append(hidden)

    handle = context.register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()
