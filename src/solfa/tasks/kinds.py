"""Kinds of label: how one is written, what a head should answer for it, and the head's loss.

Everything that depends on the kind of label is here. A new kind is a class below, and a task that has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from solfa.errors import ArgumentError

IGNORED = -1  # class of a frame that no label covers
WIDENED = {0: 1.0, 1: 0.5, 2: 0.25}  # targets of frames around an event while training, as in MARBLE v2
L = TypeVar("L")
Times = Float[np.ndarray, " row"]  # seconds at the middle of each row of features
Targets = Shaped[np.ndarray, "row ..."]


@dataclass(frozen=True)
class Span:
    """A span of time with a class."""

    start: float  # seconds from the beginning of the file
    end: float
    label: int


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each number in training."""

    mean: Float[np.ndarray, " number"]
    std: Float[np.ndarray, " number"]


@dataclass(frozen=True)
class LabelKind(Generic[L]):
    """What labels of a task are."""

    names: tuple[str, ...]  # of what a head answers, one output each

    is_timed: ClassVar[bool] = False  # a head answers at every moment, and not for the whole item
    reads_frames: ClassVar[bool] = False  # and not means over clips
    head: ClassVar[Literal["rows", "masks"]] = "rows"  # a row of features -> logits; a mixture -> its parts
    taught_as: ClassVar[Literal["classes", "tags", "numbers", ""]] = ""  # by fine-tuning, if at all
    metric_of_one: ClassVar[str] = ""  # metric that is reported for each name as well: r2 gives r2_NAME

    def scale(self, labels: Sequence[L]) -> Scale | None:
        """What numbers are divided by while heads learn; None where a label is no number."""
        return None

    def targets(self, label: L, times: Times, scale: Scale | None = None) -> Targets:
        """What a head should answer for each row of an item.

        Args:
            label: of the item.
            times: of the rows.
            scale: of the labels in training.
        """
        raise ArgumentError(f"{type(self).__name__} cannot be probed. Leave the task out.")

    def losses(
        self, logits: Float[Tensor, "head row output"], targets: Shaped[Tensor, "head row ..."]
    ) -> Float[Tensor, " head"]:
        """The loss of each head: mean over its rows that have a target."""
        raise ArgumentError(f"{type(self).__name__} cannot be probed. Leave the task out.")

    def within(self, label: L, start: float, end: float) -> L:
        """The part of a label that falls into a span of time, in seconds."""
        return label

    def words(self, label: L) -> tuple[str, ...]:
        """A label as a table has it."""
        raise ArgumentError(f"{type(self).__name__} cannot be written in a table. Leave the task out.")

    def unscored(self, labels: Sequence[L]) -> tuple[str, ...]:
        """Names of which no metric can be computed."""
        return ()


@dataclass(frozen=True)
class Classes(LabelKind[int]):
    """One of several classes; a label is its number."""

    taught_as = "classes"

    def targets(self, label: int, times: Times, scale: Scale | None = None) -> Targets:
        """The class, in every row."""
        return np.full(len(times), label, np.int64)

    def losses(
        self, logits: Float[Tensor, "head row output"], targets: Shaped[Tensor, "head row ..."]
    ) -> Float[Tensor, " head"]:
        """Cross-entropy."""
        return _cross_entropy(logits, targets)

    def words(self, label: int) -> tuple[str, ...]:
        """The name of the class."""
        return (self.names[label],)


@dataclass(frozen=True)
class Tags(LabelKind[tuple[int, ...]]):
    """Any number of tags; a label is the tuple of their numbers."""

    taught_as = "tags"

    def targets(self, label: tuple[int, ...], times: Times, scale: Scale | None = None) -> Targets:
        """One for each tag that is there, in every row."""
        row = np.zeros(len(self.names), np.float32)
        row[list(label)] = 1.0
        return np.tile(row, (len(times), 1))

    def losses(
        self, logits: Float[Tensor, "head row output"], targets: Shaped[Tensor, "head row ..."]
    ) -> Float[Tensor, " head"]:
        """Binary cross-entropy, mean over tags."""
        return _mean_of_counted(logits, targets, F.binary_cross_entropy_with_logits)

    def words(self, label: tuple[int, ...]) -> tuple[str, ...]:
        """The names of the tags."""
        return tuple(self.names[number] for number in label)

    def unscored(self, labels: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
        """Tags that no track, or every track, carries: no area under a curve is defined for them."""
        n_tagged = [sum(number in label for label in labels) for number in range(len(self.names))]
        return tuple(name for name, n in zip(self.names, n_tagged, strict=True) if n in (0, len(labels)))


@dataclass(frozen=True)
class Numbers(LabelKind[tuple[float, ...]]):
    """Real numbers; a label is a tuple with one for each name."""

    taught_as = "numbers"
    metric_of_one = "r2"

    def scale(self, labels: Sequence[tuple[float, ...]]) -> Scale | None:
        """That of ``labels``; a number that never changes keeps its size."""
        values = np.array(labels, np.float64)
        std = values.std(0)
        return Scale(values.mean(0), np.where(std > 0, std, 1.0)) if len(labels) else None

    def targets(self, label: tuple[float, ...], times: Times, scale: Scale | None = None) -> Targets:
        """Deviations from the mean, in every row."""
        assert scale is not None
        row = ((np.array(label) - scale.mean) / scale.std).astype(np.float32)
        return np.tile(row, (len(times), 1))

    def losses(
        self, logits: Float[Tensor, "head row output"], targets: Shaped[Tensor, "head row ..."]
    ) -> Float[Tensor, " head"]:
        """Squared error, mean over numbers."""
        return _mean_of_counted(logits, targets, F.mse_loss)

    def words(self, label: tuple[float, ...]) -> tuple[str, ...]:
        """The numbers, to their last digit."""
        return tuple(repr(float(number)) for number in label)


@dataclass(frozen=True)
class FrameClasses(LabelKind[tuple[Span, ...]]):
    """A class at every moment; a label is a tuple of ``Span``. Moments in no span are not counted."""

    is_timed = reads_frames = True

    def targets(self, label: tuple[Span, ...], times: Times, scale: Scale | None = None) -> Targets:
        """The class at each moment; -1 where there is none."""
        return classes_at(label, times)

    def losses(
        self, logits: Float[Tensor, "head row output"], targets: Shaped[Tensor, "head row ..."]
    ) -> Float[Tensor, " head"]:
        """Cross-entropy of the moments that have a class."""
        return _cross_entropy(logits, targets)

    def within(self, label: tuple[Span, ...], start: float, end: float) -> tuple[Span, ...]:
        """The spans, cut."""
        return tuple(
            Span(max(span.start, start), min(span.end, end), span.label)
            for span in label
            if span.start < end and span.end > start
        )


@dataclass(frozen=True)
class FrameEvents(LabelKind[tuple[tuple[float, ...], ...]]):
    """Moments of several kinds, such as beats; a label is a tuple of tuples of seconds, one for each name."""

    is_timed = reads_frames = True

    def targets(
        self, label: tuple[tuple[float, ...], ...], times: Times, scale: Scale | None = None
    ) -> Targets:
        """One at the frame nearest to an event, less around it."""
        targets = np.zeros((len(times), len(self.names)), np.float32)
        for kind, moments in enumerate(label):
            for moment in moments:
                nearest = int(np.abs(times - moment).argmin())
                for distance, value in WIDENED.items():
                    for frame in {nearest - distance, nearest + distance}:
                        if 0 <= frame < len(times):
                            targets[frame, kind] = max(targets[frame, kind], value)
        return targets

    def losses(
        self, logits: Float[Tensor, "head row output"], targets: Shaped[Tensor, "head row ..."]
    ) -> Float[Tensor, " head"]:
        """Binary cross-entropy, mean over kinds of event."""
        return _mean_of_counted(logits, targets, F.binary_cross_entropy_with_logits)

    def within(
        self, label: tuple[tuple[float, ...], ...], start: float, end: float
    ) -> tuple[tuple[float, ...], ...]:
        """The moments inside."""
        return tuple(tuple(moment for moment in moments if start <= moment < end) for moments in label)


@dataclass(frozen=True)
class Stems(LabelKind[tuple[Path, ...]]):
    """Parts of a mixture, to be separated; a label is a tuple of paths, one for each name."""

    reads_frames = True
    head = "masks"
    metric_of_one = "sdr"


def classes_at(spans: Sequence[Span], times: Times) -> Int[np.ndarray, " row"]:
    """The class of the span in which each moment lies; -1 where there is none."""
    classes = np.full(len(times), IGNORED, np.int64)
    for span in spans:
        classes[(times >= span.start) & (times < span.end)] = span.label
    return classes


def _cross_entropy(
    logits: Float[Tensor, "head row output"], targets: Shaped[Tensor, "head row"]
) -> Float[Tensor, " head"]:
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED)
    n_counted = (targets != IGNORED).sum(1)
    return losses.reshape(targets.shape).sum(1) / n_counted.clamp(min=1)


def _mean_of_counted(
    logits: Float[Tensor, "head row output"], targets: Shaped[Tensor, "head row output"], loss: Any
) -> Float[Tensor, " head"]:
    """Mean of a loss over the targets that are numbers: NaN fills up stretches."""
    is_counted = torch.isfinite(targets)
    losses = loss(logits, torch.where(is_counted, targets, torch.zeros_like(targets)), reduction="none")
    return (losses * is_counted).sum((1, 2)) / is_counted.sum((1, 2)).clamp(min=1)
