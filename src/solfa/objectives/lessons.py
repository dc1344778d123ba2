"""Lessons: what stored teachers say of whole clips, answered from a chosen layer of the encoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa import distributed
from solfa.config import Config, CountFromZero, LayerNumber, NotNegative, Width
from solfa.data.stored_teachers import ClipTeaching
from solfa.errors import ArgumentError
from solfa.models.layers.pooling import mean_and_deviation
from solfa.targets import TargetError

KEPT = 0.98  # of a running mean, at each step

Said = Float[Tensor, "clip frame column"]  # NaN where nothing is said
Losses = tuple[Float[Tensor, " clip"], Bool[Tensor, " clip"]]  # of each clip, and whether there is one


@dataclass(frozen=True, kw_only=True)
class LessonConfig(Config):
    """Columns of stored teachers that are learned on whole clips, from one layer."""

    teachers: tuple[str, ...]  # the first that says something of a clip is believed
    column: str
    width: Width  # of the answer: numbers of the column, or classes
    layer: LayerNumber = -1
    weight: NotNegative = 1.0  # of its loss, divided by its running mean, in the sum


@dataclass(frozen=True, kw_only=True)
class ClipVectorConfig(LessonConfig):
    """The mean of vectors over a clip, by the cosine of both."""

    kind: Literal["clip_vector"] = "clip_vector"


@dataclass(frozen=True, kw_only=True)
class ClipTagsConfig(LessonConfig):
    """Probabilities of a clip, by binary cross-entropy."""

    kind: Literal["clip_tags"] = "clip_tags"
    pooled: Literal["mean", "most"] = "mean"  # of those of its frames


@dataclass(frozen=True, kw_only=True)
class ClipClassConfig(LessonConfig):
    """The class of a clip all of whose frames have the same."""

    kind: Literal["clip_class"] = "clip_class"


@dataclass(frozen=True, kw_only=True)
class FrameTagsConfig(LessonConfig):
    """Probabilities of each frame, by binary cross-entropy."""

    kind: Literal["frame_tags"] = "frame_tags"
    softened_frames: CountFromZero = 0  # on each side, at half the probability


@dataclass(frozen=True, kw_only=True)
class FrameClassConfig(LessonConfig):
    """The class of each frame, by cross-entropy."""

    kind: Literal["frame_class"] = "frame_class"


AnyLessonConfig = ClipVectorConfig | ClipTagsConfig | ClipClassConfig | FrameTagsConfig | FrameClassConfig


class Lesson(nn.Module):
    """States of whole clips -> answers by a linear map, and how far they are from what a teacher says.

    Args:
        config: what is asked.
        dim: width of the states.
    """

    def __init__(self, config: AnyLessonConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        is_of_frames = isinstance(config, FrameTagsConfig | FrameClassConfig)
        self.linear = nn.Linear(dim if is_of_frames else 2 * dim, config.width)

    @property
    def name(self) -> str:
        """For the log."""
        return f"{'+'.join(self.config.teachers)} {self.config.column}"

    def fit(self, said: Said) -> None:
        """Take down, once and at the start of a run, what is to be known about what is said."""

    def said(self, taught: Mapping[str, ClipTeaching]) -> Said:
        """What the first teacher that knows a clip says of it.

        Raises:
            TargetError: clips carry nothing of a teacher, or its columns are of another width.
        """
        missing = [teacher for teacher in self.config.teachers if teacher not in taught]
        if missing:
            raise TargetError(
                f"A lesson is {self.name}, and clips carry nothing of {missing[0]}. Store what it says with "
                f"'solfa data teach MANIFEST --teacher {missing[0]} --out STORE' and set "
                "data.teachers=STORE, or leave the lesson out of objective.lessons."
            )
        parts = [taught[teacher].column(self.config.column) for teacher in self.config.teachers]
        n_columns = 1 if isinstance(self.config, ClipClassConfig | FrameClassConfig) else self.config.width
        for teacher, part in zip(self.config.teachers, parts, strict=True):
            if part.shape[2] != n_columns:
                raise TargetError(
                    f"{teacher} gives {part.shape[2]} numbers of {self.config.column}, and the lesson asks "
                    f"for {n_columns}. Make its width agree."
                )
        found = parts[0]
        for part in parts[1:]:
            is_silent = found.isnan().flatten(1).all(1)
            found = torch.where(is_silent[:, None, None], part, found)
        return found

    def forward(self, states: Float[Tensor, "clip frame dim"], said: Said) -> Losses:
        """The loss of each clip, zero where there is none, and whether there is one."""
        raise NotImplementedError

    def _of_clips(self, states: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip answer"]:
        return self.linear(mean_and_deviation(states, None))


class ClipVector(Lesson):
    """The loss is 1 less the cosine of both; what is said is taken by mean and deviation over first clips.

    Source:
        Distillation by cosines of clips alone, arXiv:2604.24933.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ClipVectorConfig, dim: int) -> None:
        super().__init__(config, dim)
        self.register_buffer("mean", torch.zeros(config.width))
        self.register_buffer("deviation", torch.ones(config.width))

    @torch.no_grad()
    def fit(self, said: Said) -> None:
        """Mean and deviation over the clips that are known; without them all would point alike."""
        vectors = said.mean(1)
        vectors = vectors[~vectors.isnan().any(1)]
        if len(vectors) > 1:
            deviation = vectors.std(0, unbiased=False)
            self.mean.copy_(vectors.mean(0))
            self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, states: Float[Tensor, "clip frame dim"], said: Said) -> Losses:
        """Of clips of which every frame is known."""
        vectors = (said.mean(1) - self.mean) / self.deviation
        is_known = ~vectors.isnan().any(1)
        losses = 1 - F.cosine_similarity(self._of_clips(states), vectors.nan_to_num(), dim=1)
        return _where_known(losses, is_known)


class ClipTags(Lesson):
    """Binary cross-entropy at probabilities, the mean over tags."""

    config: ClipTagsConfig

    def forward(self, states: Float[Tensor, "clip frame dim"], said: Said) -> Losses:
        """Of clips of which every frame is known."""
        wanted = said.mean(1) if self.config.pooled == "mean" else said.amax(1)
        is_known = ~said.isnan().flatten(1).any(1)
        losses = _binary(self._of_clips(states), wanted.nan_to_num()).mean(1)
        return _where_known(losses, is_known)


class ClipClass(Lesson):
    """Cross-entropy of clips that keep to one class; frames of which nothing is said do not count."""

    def forward(self, states: Float[Tensor, "clip frame dim"], said: Said) -> Losses:
        """Of clips with one class."""
        numbers, is_silent = said[:, :, 0], said[:, :, 0].isnan()
        lowest = numbers.masked_fill(is_silent, torch.inf).amin(1)
        is_known = lowest == numbers.masked_fill(is_silent, -torch.inf).amax(1)
        classes = _classes(lowest, is_known, self.config.width)
        losses = F.cross_entropy(self._of_clips(states), classes, reduction="none")
        return _where_known(losses, is_known)


class FrameTags(Lesson):
    """Binary cross-entropy of each frame that is known, the mean over tags and frames."""

    config: FrameTagsConfig

    def forward(self, states: Float[Tensor, "clip frame dim"], said: Said) -> Losses:
        """Of clips of which some frame is known."""
        is_known = ~said.isnan().any(2)
        wanted = softened(said.nan_to_num(), self.config.softened_frames)
        return _mean_of_known(_binary(self.linear(states), wanted).mean(2), is_known)


class FrameClass(Lesson):
    """Cross-entropy of each frame that is known, the mean over them."""

    def forward(self, states: Float[Tensor, "clip frame dim"], said: Said) -> Losses:
        """Of clips of which some frame is known."""
        is_known = ~said[:, :, 0].isnan()
        classes = _classes(said[:, :, 0], is_known, self.config.width)
        logits = self.linear(states).transpose(1, 2)
        return _mean_of_known(F.cross_entropy(logits, classes, reduction="none"), is_known)


@dataclass(frozen=True)
class LessonLosses:
    """Losses of one lesson; zero of clips of which nothing is said."""

    name: str
    scaled: Float[Tensor, " clip"]  # by running mean and weight
    raw: Float[Tensor, " clip"]


class Lessons(nn.Module):
    """Several lessons, the loss of each divided by its running mean, so that weights alone decide.

    Running means are over the clips of all ranks of which something was said, of whole steps, and are part of
    the weights of a run: one that goes on divides as one that never stopped. In the first step nothing is
    divided.
    """

    means: Tensor

    def __init__(self, configs: tuple[AnyLessonConfig, ...], dim: int) -> None:
        super().__init__()
        if not configs:
            raise ArgumentError("There are no lessons. Add one to objective.lessons, or train solfa_small.")
        self.lessons = nn.ModuleList(_build(config, dim) for config in configs)
        self.register_buffer("means", torch.zeros(len(configs)))
        self._seen: Tensor | None = None  # sums of losses and of clips since the last step

    def fit(self, taught: Mapping[str, ClipTeaching]) -> None:
        """Take down at the start of a run what lessons need to know."""
        for lesson in self._each():
            lesson.fit(lesson.said(taught))

    def forward(
        self, layers: tuple[Float[Tensor, "clip longer dim"], ...], taught: Mapping[str, ClipTeaching]
    ) -> list[LessonLosses]:
        """What each lesson says of clips.

        Args:
            layers: all hidden states of whole clips.
            taught: what teachers say of these clips.
        """
        said, sums = [], []
        for number, lesson in enumerate(self._each()):
            values = lesson.said(taught)
            states = layers[lesson.config.layer][:, : values.shape[1]].float()
            with torch.autocast(states.device.type, enabled=False):
                losses, is_known = lesson(states, values[:, : states.shape[1]])
            sums.append(torch.stack([losses.detach().sum(), is_known.sum()]))
            mean = self.means[number]
            scaled = losses * lesson.config.weight / torch.where(mean > 0, mean, 1.0)
            said.append(LessonLosses(lesson.name, scaled, losses.detach()))
        if self.training:
            seen = torch.stack(sums).double()
            self._seen = seen if self._seen is None else self._seen + seen
        return said

    @torch.no_grad()
    def finish_step(self) -> None:
        """Bring the running means up to date. A call is collective: every rank makes it."""
        if self._seen is None:
            return
        losses, n_clips = distributed.all_reduce_sum(self._seen).unbind(1)
        self._seen = None
        now = (losses / n_clips.clamp(min=1)).to(self.means.dtype)
        moved = torch.where(self.means > 0, KEPT * self.means + (1 - KEPT) * now, now)
        is_told = (
            n_clips > 0
        ) & now.isfinite()  # half precision may overflow, and the step is not taken then
        self.means.copy_(torch.where(is_told, moved, self.means))

    def _each(self) -> list[Lesson]:
        return [lesson for lesson in self.lessons if isinstance(lesson, Lesson)]


def softened(wanted: Float[Tensor, "clip frame tag"], n_frames: int) -> Float[Tensor, "clip frame tag"]:
    """Probabilities that reach ``n_frames`` further on each side, at half their size."""
    if not n_frames:
        return wanted
    around = F.max_pool1d(wanted.transpose(1, 2), 2 * n_frames + 1, stride=1, padding=n_frames)
    return torch.maximum(wanted, around.transpose(1, 2) / 2)


def _build(config: AnyLessonConfig, dim: int) -> Lesson:
    match config:
        case ClipVectorConfig():
            return ClipVector(config, dim)
        case ClipTagsConfig():
            return ClipTags(config, dim)
        case ClipClassConfig():
            return ClipClass(config, dim)
        case FrameTagsConfig():
            return FrameTags(config, dim)
        case FrameClassConfig():
            return FrameClass(config, dim)


def _binary(logits: Float[Tensor, "*axes tag"], wanted: Float[Tensor, "*axes tag"]) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, wanted.clamp(0, 1), reduction="none")


def _classes(
    numbers: Float[Tensor, "*axes"], is_known: Bool[Tensor, "*axes"], n: int
) -> Int[Tensor, "*axes"]:
    """Known classes as whole numbers, 0 elsewhere. Raises TargetError for one beyond the last."""
    classes = numbers.masked_fill(~is_known, 0).long()
    if classes.numel() and int(classes.max()) >= n:
        raise TargetError(f"A teacher names class {int(classes.max())}, of {n}. Raise width of that lesson.")
    return classes


def _where_known(losses: Float[Tensor, " clip"], is_known: Bool[Tensor, " clip"]) -> Losses:
    return torch.where(is_known, losses, 0.0), is_known


def _mean_of_known(losses: Float[Tensor, "clip frame"], is_known: Bool[Tensor, "clip frame"]) -> Losses:
    sums = torch.where(is_known, losses, 0.0).sum(1)
    return sums / is_known.sum(1).clamp(min=1), is_known.any(1)
