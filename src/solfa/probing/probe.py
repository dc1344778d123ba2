"""A task and an encoder -> scores: features, the grid of heads, the choice on validation, then the test."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solfa.config import Config
from solfa.models import AudioEncoder
from solfa.probing.examples import Answers, Examples, Scale
from solfa.probing.features import Features, extract
from solfa.probing.grid import Fit, ProbeConfig, Shape, all_logits, chosen, fit_grid, list_heads, restore
from solfa.probing.scoring import metric_names, score_seeds, tags_left_out
from solfa.tasks.base import FrameClasses, FrameEvents, Item, Numbers, Stems, Tags, Task

Progress = Callable[[int, str], None]
SURE = 0.95  # probability of the intervals
# Student's t at that probability, for 1 to 9 degrees of freedom; the last serves for more, on the safe side.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True, kw_only=True)
class Score(Config):
    """A metric on test."""

    metric: str
    by_seed: tuple[float, ...]
    low: float  # 95 % of drawings of the test tracks lie between these two
    high: float

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.by_seed))

    @property
    def seed_margin(self) -> float:
        """Half of the 95 % interval of the mean over seeds (Student's t); NaN for one seed."""
        n = len(self.by_seed)
        if n < 2:
            return math.nan
        return STUDENT[min(n - 2, len(STUDENT) - 1)] * float(np.std(self.by_seed, ddof=1)) / math.sqrt(n)


@dataclass(frozen=True, kw_only=True)
class LayerScore(Config):
    """How well a layer, or a mix of them, does on validation, at its best rate."""

    layer: int | str
    lr: float
    by_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.by_seed))


@dataclass(frozen=True, kw_only=True)
class ProbeResult(Config):
    """What a probe found."""

    task: str
    title: str
    model: str  # as it was named
    weights: str  # SHA-256 of its configuration and weights
    layer: int | str  # chosen on validation, as are rate and epochs
    lr: float
    epochs: tuple[int, ...]  # of each seed
    scores: tuple[Score, ...]
    layers: tuple[LayerScore, ...]  # by the first metric; on validation, never on test
    n_items: tuple[int, int, int]  # train, valid, test
    n_test_tracks: int
    n_refused: int  # items without features
    left_out: tuple[str, ...]  # tags for which no area under a curve is defined on test
    faults: str  # of the data
    probe: ProbeConfig
    seconds: float  # of fitting, without features


def probe(
    task: Task,
    items: Sequence[Item],
    encoder: AudioEncoder,
    model: str,
    folder: Path,
    config: ProbeConfig,
    *,
    layers: Sequence[int] | None = None,
    encoding: Progress = lambda done, note: None,
    fitting: Progress = lambda done, note: None,
) -> ProbeResult:
    """Ask what ``encoder`` knows of a task.

    Args:
        task: what to ask.
        items: its data.
        encoder: put into eval mode, and never changed.
        model: its name in the result.
        folder: keeps features; a second run takes them from there.
        config: how heads are fitted.
        layers: numbers of layers to look at; all if omitted.
        encoding: is told how many items have features.
        fitting: is told how many heads are done.

    Raises:
        ValueError: a kind of label that has no probe, or a split without items.
    """
    check_can_be_probed(task)
    features = extract(task, items, encoder, folder, layers=layers, progress=encoding)
    return probe_features(task, features, model, config, fitting)


def probe_features(
    task: Task, features: Features, model: str, config: ProbeConfig, fitting: Progress
) -> ProbeResult:
    """As ``probe``, on features that are there already."""
    check_can_be_probed(task)
    begun = time.monotonic()
    scale = _scale(task, features)
    stretch = config.stretch_frames if isinstance(task.kind, FrameClasses | FrameEvents) else 1
    train, valid, test = (
        Examples(task, features, split, scale, stretch) for split in ("train", "valid", "test")
    )
    if config.is_standardised:
        standardise(train, (train, valid, test))
    shape = Shape(
        features.config.layers, train.arrays[0].shape[2], len(task.kind.names), task.kind, task.metrics[0]
    )
    fits = fit_grid(list_heads(shape.layers, config), train, valid, shape, config, fitting)
    layer, lr = chosen(fits)
    best = [fit for fit in fits if (fit.head.layer, fit.head.lr) == (layer, lr)]
    answers = [test.answers(logits) for logits in all_logits(restore(best, shape, config), test)]
    is_tags = isinstance(task.kind, Tags)
    return ProbeResult(
        task=task.name, title=task.title, model=model, weights=features.config.weights,
        layer=layer, lr=lr, epochs=tuple(fit.epoch for fit in best),
        scores=tuple(
            _scored(name, answers, config) for name in metric_names(task.metrics, task.kind)
        ),
        layers=tuple(layer_scores(fits)),
        n_items=(len(train.items), len(valid.items), len(test.items)),
        n_test_tracks=len(answers[0].reference),
        n_refused=len(features.refused),
        left_out=tuple(tags_left_out(answers[0])) if is_tags else (),
        faults=task.faults, probe=config, seconds=time.monotonic() - begun,
    )  # fmt: skip


def layer_scores(fits: Sequence[Fit]) -> list[LayerScore]:
    """For each layer its best rate, by the mean over seeds on validation."""
    scores = []
    for layer in dict.fromkeys(fit.head.layer for fit in fits):
        of_layer = [fit for fit in fits if fit.head.layer == layer]
        _, lr = chosen(of_layer)
        by_seed = tuple(fit.score for fit in of_layer if fit.head.lr == lr)
        scores.append(LayerScore(layer=layer, lr=lr, by_seed=by_seed))
    return scores


def check_can_be_probed(task: Task) -> None:
    """Refuse a kind of label for which there is no head."""
    if isinstance(task.kind, Stems):
        raise ValueError(f"{task.name} needs a head that separates sources, and there is none. Leave it out.")


def standardise(train: Examples, splits: Sequence[Examples]) -> None:
    """Give every dimension of each layer mean 0 and deviation 1 in training; frames come into memory."""
    n_rows = sum(len(rows) for rows in train.arrays)
    mean = sum(rows.sum(0, dtype=np.float64) for rows in train.arrays) / n_rows
    square = sum(np.square(rows, dtype=np.float64).sum(0) for rows in train.arrays) / n_rows
    std = np.sqrt(np.maximum(square - mean**2, 1e-12))
    for split in splits:
        split.arrays = [((rows - mean) / std).astype(np.float32) for rows in split.arrays]


def _scale(task: Task, features: Features) -> Scale | None:
    training = [item for item, _ in features.kept if item.split == "train"]
    return Scale.of(training) if isinstance(task.kind, Numbers) and training else None


def _scored(name: str, answers: Sequence[Answers], config: ProbeConfig) -> Score:
    by_seed, resampled = score_seeds(name, answers, config.n_resamples)
    low, high = np.quantile(resampled, [(1 - SURE) / 2, (1 + SURE) / 2])
    return Score(metric=name, by_seed=tuple(by_seed), low=float(low), high=float(high))
