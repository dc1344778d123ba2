"""Features and labels of a split, side by side: rows for a head, and the truth about tracks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from solfa.errors import ArgumentError
from solfa.probing.context import FramesInContext
from solfa.probing.features import Features
from solfa.tasks.base import Split, Task
from solfa.tasks.kinds import IGNORED, LabelKind, Scale

CPU = torch.device("cpu")
Kept = Literal["single rows", "one piece"]  # of a track that is too long
Rows = Float[np.ndarray, "row layer dim"] | FramesInContext
SHORTEST_SECONDS = 5.0  # of a track that is cropped: several beats must be heard
BLOCK_ROWS = 1024  # looked at in one go when a head is scored
MOST_IN_MEMORY = 2**26  # numbers of a split that is looked at again and again


@dataclass(frozen=True)
class Predictions:
    """Labels of tracks, and a head's logits for them.

    ``reference`` and ``estimated`` have an entry for each track: for labels of whole items a label and its
    logits ``(output)``; for labels in time a label and its logits ``(frame output)`` at ``times``.
    """

    kind: LabelKind[Any]
    reference: Sequence[Any]
    estimated: Sequence[np.ndarray]
    times: Sequence[Float[np.ndarray, " frame"]] = ()

    def take(self, numbers: Int[np.ndarray, " chosen"]) -> "Predictions":
        """Those about some tracks."""
        return replace(
            self,
            reference=[self.reference[n] for n in numbers],
            estimated=[self.estimated[n] for n in numbers],
            times=[self.times[n] for n in numbers] if self.times else (),
        )


class Examples:
    """A split as stretches of rows, to be drawn for training, and as tracks, to be scored.

    Args:
        task: what the labels are.
        features: of items of any split.
        split: the one wanted.
        scale: of numbers, in training.
        stretch_rows: rows that lie in one piece; 1 for clips.
        n_most_rows: of all tracks together, where labels are in time; all if None. About as many are kept,
            evenly over tracks.
        keeps: which of a track's rows. Each one by itself: every second, third ... from beginning to end. In
            one piece: its middle, though never less than 5 s of it.
        device: where heads are fitted, and so what they are given lies.
        reach: neighbours on each side that stand beside a frame, where labels are in time.

    Raises:
        ValueError: nothing of the split is left, or a track has two labels.
    """

    def __init__(
        self,
        task: Task,
        features: Features,
        split: Split,
        scale: Scale | None,
        stretch_rows: int,
        n_most_rows: int | None = None,
        keeps: Kept = "one piece",
        device: torch.device = CPU,
        reach: int = 0,
    ) -> None:
        self.device = device
        self.kind, self.scale, self.stretch_rows = task.kind, scale, stretch_rows
        self.averages = task.averages
        kept = [(item, key) for item, key in features.kept if item.split == split]
        if not kept:
            raise ArgumentError(
                f"{task.name} has no {split} items with features. Check its folder, and refused.jsonl."
            )
        self.items = [item for item, _ in kept]
        self.is_timed = task.kind.is_timed
        arrays = [features.array(key) for _, key in kept]
        self.arrays: list[Rows] = (
            [FramesInContext.of(rows, reach) for rows in arrays] if self.is_timed and reach else [*arrays]
        )
        self.times = [features.frame_times(len(rows)) for rows in self.arrays] if self.is_timed else []
        if self.is_timed and n_most_rows is not None:
            n_each = n_most_rows // len(kept)
            if keeps == "single rows":
                self._thin(max(1, n_each))
            else:
                self._crop(max(features.config.grid.seconds_to_frames(SHORTEST_SECONDS), n_each))
        self.targets = [self._targets(n) for n in range(len(self.items))]
        self.n_rows = [len(rows) for rows in self.arrays]
        if not self.is_timed:  # small, and drawn row by row: one array
            self.arrays = [np.concatenate([np.asarray(rows) for rows in self.arrays])]
            self.targets = [np.concatenate(self.targets)]
        self._starts = [
            (n, start) for n, rows in enumerate(self.arrays) for start in range(0, len(rows), stretch_rows)
        ]
        self._track_of_item = self._number_tracks()
        self._blocks: list[Tensor] | None = None

    def __len__(self) -> int:
        return len(self._starts)

    def take(
        self, numbers: Int[np.ndarray, " stretch"]
    ) -> tuple[Float[Tensor, "layer row dim"], Shaped[Tensor, "row ..."]]:
        """Features and targets of some stretches; a row without a target has the class -1, or NaN."""
        if self.stretch_rows == 1 and len(self.arrays) == 1:
            rows, targets = self.arrays[0][numbers], self.targets[0][numbers]
        else:
            pieces = []
            for n, start in (self._starts[number] for number in numbers):
                piece = slice(start, start + self.stretch_rows)
                pieces.append((self.arrays[n][piece], self.targets[n][piece]))
            rows, targets = (self._filled(list(parts)) for parts in zip(*pieces, strict=True))
        return _by_layer(rows).to(self.device), torch.from_numpy(targets).to(self.device)

    def blocks(self) -> Iterable[Float[Tensor, "layer row dim"]]:
        """All features in order, some rows at a time; they stay in memory where they are few."""
        if sum(rows.size for rows in self.arrays) > MOST_IN_MEMORY:
            return self._made_blocks()
        if self._blocks is None:
            self._blocks = list(self._made_blocks())
        return self._blocks

    def _made_blocks(self) -> Iterator[Float[Tensor, "layer row dim"]]:
        """Blocks of as many rows each, from one array or from several."""
        parts: list[np.ndarray] = []
        n_missing = BLOCK_ROWS
        for rows in self.arrays:
            start = 0
            while start < len(rows):
                parts.append(rows[start : start + n_missing])
                start, n_missing = start + len(parts[-1]), n_missing - len(parts[-1])
                if not n_missing:
                    yield _by_layer(np.concatenate(parts)).to(self.device)
                    parts, n_missing = [], BLOCK_ROWS
        if parts:
            yield _by_layer(np.concatenate(parts)).to(self.device)

    def answers(self, logits: Float[np.ndarray, "row output"]) -> Predictions:
        """A head's logits of all rows, beside the labels of tracks."""
        of_items = np.split(logits, np.cumsum(self.n_rows)[:-1])
        if self.is_timed:
            return Predictions(self.kind, [item.label for item in self.items], of_items, self.times)
        return Predictions(self.kind, self._references, self._averaged(logits))

    @property
    def tracks(self) -> list[str]:
        """Names of the tracks, in the order of the answers."""
        named = (item.path.stem for item in self.items) if self.is_timed else self._names
        return list(named)

    def _thin(self, n_rows: int) -> None:
        """Keep rows of each track at even distances, ``n_rows`` at most."""
        for n, rows in enumerate(self.arrays):
            step = -(-len(rows) // n_rows)
            self.arrays[n], self.times[n] = _some(rows, slice(None, None, step)), self.times[n][::step]

    def _crop(self, n_rows: int) -> None:
        """Keep the middle of each track, and what its label says of that."""
        for n, (item, rows, times) in enumerate(zip(self.items, self.arrays, self.times, strict=True)):
            if len(rows) > n_rows:
                first = (len(rows) - n_rows) // 2
                end = times[first + n_rows]
                self.arrays[n] = _some(rows, slice(first, first + n_rows))
                self.times[n] = times[first : first + n_rows]
                self.items[n] = replace(item, label=self.kind.within(item.label, self.times[n][0], end))

    def _averaged(self, logits: Float[np.ndarray, "row output"]) -> list[np.ndarray]:
        """Mean over the rows of each track."""
        if self.averages == "probabilities":
            logits = np.exp(logits - logits.max(1, keepdims=True))
            logits = logits / logits.sum(1, keepdims=True)
        track_of_row = np.repeat(self._track_of_item, self.n_rows)
        total = torch.zeros(len(self._names), logits.shape[1], dtype=torch.float64)
        total.index_add_(0, torch.from_numpy(track_of_row), torch.from_numpy(logits).double())
        means = total.numpy() / np.bincount(track_of_row)[:, None]
        if self.scale:
            means = means * self.scale.std + self.scale.mean
        return list(means)

    def _number_tracks(self) -> np.ndarray:
        labels: dict[str, Any] = {}
        for item in self.items:
            if not self.is_timed and labels.setdefault(item.track, item.label) != item.label:
                raise ArgumentError(
                    f"The track {item.track} has the labels {labels[item.track]} and {item.label}: its items "
                    "cannot be averaged. Give them tracks of their own."
                )
        self._names, self._references = list(labels), list(labels.values())
        numbers = {name: n for n, name in enumerate(labels)}
        return np.array([numbers.get(item.track, 0) for item in self.items])

    def _targets(self, number: int) -> np.ndarray:
        """A target for each row of an item."""
        item, n_rows = self.items[number], len(self.arrays[number])
        times = self.times[number] if self.is_timed else np.zeros(n_rows)
        scale = self.scale or self.kind.scale([item.label for item in self.items])
        return self.kind.targets(item.label, times, scale)

    def _filled(self, pieces: list[np.ndarray]) -> np.ndarray:
        """Pieces one after the other, each filled up to the length of a stretch with what is not counted."""
        first = pieces[0]
        if all(len(piece) == self.stretch_rows for piece in pieces):
            return np.concatenate(pieces)
        missing = IGNORED if first.dtype == np.int64 else np.nan if first.ndim == 2 else 0.0
        rows = np.full((len(pieces), self.stretch_rows, *first.shape[1:]), missing, first.dtype)
        for row, piece in zip(rows, pieces, strict=True):
            row[: len(piece)] = piece
        return rows.reshape(-1, *first.shape[1:])


def _some(rows: Rows, chosen: slice) -> Float[np.ndarray, "chosen layer dim"] | FramesInContext:
    """Some of the rows; frames keep the neighbours that they have in the whole track."""
    return rows.some(chosen) if isinstance(rows, FramesInContext) else rows[chosen]


def _by_layer(rows: Float[np.ndarray, "row layer dim"]) -> Float[Tensor, "layer row dim"]:
    """In memory, contiguous and in single precision."""
    return torch.from_numpy(rows).transpose(0, 1).to(torch.float32, memory_format=torch.contiguous_format)
