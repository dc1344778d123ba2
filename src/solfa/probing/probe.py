"""A task and an encoder -> scores: features, the grid of heads, the choice on validation, then the test."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from solfa.config import Config
from solfa.models import AudioEncoder
from solfa.probing.answers import KeptAnswers, choices_by_reading, keep_answers
from solfa.probing.baselines import Baseline
from solfa.probing.context import FramesInContext
from solfa.probing.features import Features, extract, has_frames
from solfa.probing.grid import Fit, ProbeConfig, Shape, all_logits, chosen, fit_grid, list_heads, restore
from solfa.probing.heads import WEIGHTED, Head
from solfa.probing.rhythm import RhythmFeatures
from solfa.probing.scoring import metric, metric_names, score, score_seeds
from solfa.probing.separation import SeparationData, fit_separation
from solfa.probing.splits import CPU, Examples, Kept, Predictions
from solfa.tasks.base import Item, Task
from solfa.tasks.kinds import Scale

Progress = Callable[[int, str], None]
SURE = 0.95  # probability of the intervals


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
        return float(stats.t.ppf((1 + SURE) / 2, n - 1) * np.std(self.by_seed, ddof=1)) / math.sqrt(n)


@dataclass(frozen=True, kw_only=True)
class LayerScore(Config):
    """Score of a layer, or a mix of them, on validation, at its best rate."""

    layer: int | str
    lr: float
    by_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.by_seed))


@dataclass(frozen=True, kw_only=True)
class ProbeResult(Config):
    """Result of a probe."""

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
    data_version: str = ""  # of data that are made anew; empty of published ones


def probe(
    task: Task,
    items: Sequence[Item],
    encoder: AudioEncoder | Baseline,
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
        ValueError: a split without items.
    """
    features = features_for(task, items, encoder, folder, config, layers=layers, progress=encoding)
    return probe_features(task, features, model, config, fitting, device_of(encoder))


def features_for(
    task: Task,
    items: Sequence[Item],
    encoder: AudioEncoder | Baseline,
    folder: Path,
    config: ProbeConfig,
    *,
    layers: Sequence[int] | None = None,
    progress: Progress = lambda done, note: None,
) -> Features:
    """The features of items as heads read them; see ``extract``."""
    has_rhythm = config.has_rhythm and not has_frames(task)
    features = extract(
        task, items, encoder, folder,
        layers=layers, pool=config.stored_pool, keeps_frames=has_rhythm, progress=progress,
    )  # fmt: skip
    if not has_rhythm:
        return features
    return RhythmFeatures(
        features.folder, features.config, features.kept, features.refused, features.n_computed
    )


def device_of(encoder: AudioEncoder | Baseline) -> torch.device:
    """Where an encoder computes; heads do so there too."""
    module = encoder.clips if isinstance(encoder, Baseline) else encoder
    return next(chain(module.parameters(), module.buffers()), torch.zeros(())).device


def probe_features(
    task: Task,
    features: Features,
    model: str,
    config: ProbeConfig,
    fitting: Progress,
    device: torch.device = CPU,
) -> ProbeResult:
    """As ``probe``, on features that are there already; heads are fitted on ``device``."""
    return probe_and_keep(task, features, model, config, fitting, device)[0]


def probe_and_keep(
    task: Task,
    features: Features,
    model: str,
    config: ProbeConfig,
    fitting: Progress,
    device: torch.device = CPU,
) -> tuple[ProbeResult, KeptAnswers | None]:
    """As ``probe_features``, with what was said of each test track; None where that is not worth keeping."""
    begun = time.monotonic()
    ask = _separate if task.kind.head == "masks" else _fit_heads
    found = ask(task, features, config, fitting, device)
    counts = Counter(item.split for item, _ in features.kept)
    names = metric_names(task.metrics, task.kind)
    kept = keep_answers(task.metrics, found.tracks, found.others, found.readings) if found.others else None
    result = ProbeResult(
        task=task.name, title=task.title, model=model, weights=features.config.weights,
        layer=found.layer, lr=found.lr, epochs=found.epochs,
        scores=tuple(_scored(name, found.answers, config) for name in names),
        layers=found.layers,
        n_items=(counts["train"], counts["valid"], counts["test"]),
        n_test_tracks=len(found.answers[0].reference),
        n_refused=len(features.refused),
        left_out=task.kind.unscored(found.answers[0].reference),
        faults=task.faults, probe=config, seconds=time.monotonic() - begun,
    )  # fmt: skip
    return result, kept


def heads_of(task: Task, features: Features, config: ProbeConfig) -> list[Head]:
    """The heads that a probe fits: the grid, or for sources one for each seed."""
    layers = features.config.layers
    if task.kind.head == "rows":
        return list_heads(layers, config)
    layer = WEIGHTED if len(layers) > 1 else layers[0]
    return [Head(layer, config.separation.lr, seed) for seed in config.seeds]


@dataclass(frozen=True)
class _Found:
    """The heads that were chosen, and their answers on test, for each seed."""

    layer: int | str
    lr: float
    epochs: tuple[int, ...]
    layers: tuple[LayerScore, ...]
    answers: tuple[Predictions, ...]
    tracks: tuple[str, ...] = ()  # in their order
    others: dict[str, Sequence[Predictions]] = field(
        default_factory=dict
    )  # of each layer that a reading took
    readings: dict[str, int | str] = field(default_factory=dict)  # to the layer that each took


def _fit_heads(
    task: Task, features: Features, config: ProbeConfig, fitting: Progress, device: torch.device
) -> _Found:
    scale = _scale(task, features)
    is_timed = task.kind.is_timed
    stretch = config.stretch_frames if is_timed else 1
    keeps: Kept = "single rows" if metric(task.metrics[0]).is_of_single_frames else "one piece"
    reach = config.reach_frames if is_timed else 0
    train = Examples(task, features, "train", scale, stretch, device=device, reach=reach)
    valid = Examples(task, features, "valid", scale, stretch, config.valid_frames, keeps, device, reach)
    test = Examples(task, features, "test", scale, stretch, device=device, reach=reach)
    if config.is_standardised or features.config.is_raw:
        standardise(train, (train, valid, test))
    dim = train.arrays[0].shape[2]
    state_dim = dim // (2 * reach + 1) if is_timed else features.state_dim(dim)
    shape = Shape(
        features.config.layers, dim, state_dim, len(task.kind.names), task.kind, task.metrics[0],
        device,
    )  # fmt: skip
    fits = fit_grid(
        heads_of(task, features, config), train, valid, shape, config, fitting,
        wanted=lambda fits: set(choices_by_reading(fits).values()),
    )  # fmt: skip
    layer, lr = chosen(fits)
    said = {}
    for choice in dict.fromkeys(choices_by_reading(fits).values()):
        best = [fit for fit in fits if (fit.head.layer, fit.head.lr) == choice]
        said[choice] = [test.answers(logits) for logits in all_logits(restore(best, shape, config), test)]
    epochs = tuple(fit.epoch for fit in fits if (fit.head.layer, fit.head.lr) == (layer, lr))
    return _Found(
        layer, lr, epochs, tuple(layer_scores(fits)), tuple(said[layer, lr]), tuple(test.tracks),
        {str(one): answers for (one, _), answers in said.items()},
        {reading: one for reading, (one, _) in choices_by_reading(fits).items()},
    )  # fmt: skip


def _separate(
    task: Task, features: Features, config: ProbeConfig, fitting: Progress, device: torch.device
) -> _Found:
    """One head for each seed, on the learned sum of all layers."""
    data, found = SeparationData(task, features, config.separation, device), []
    heads = heads_of(task, features, config)
    for n, head in enumerate(heads, 1):
        found.append(fit_separation(data, head.seed))
        fitting(n, f"epoch {found[-1].epoch} was best")
    layer, lr = heads[0].layer, heads[0].lr
    by_seed = tuple(score(task.metrics[0], one.valid) for one in found)
    layers = (LayerScore(layer=layer, lr=lr, by_seed=by_seed),)
    return _Found(layer, lr, tuple(one.epoch for one in found), layers, tuple(one.test for one in found))


def layer_scores(fits: Sequence[Fit]) -> list[LayerScore]:
    """For each layer its best rate, by the mean over seeds on validation."""
    scores = []
    for layer in dict.fromkeys(fit.head.layer for fit in fits):
        of_layer = [fit for fit in fits if fit.head.layer == layer]
        _, lr = chosen(of_layer)
        by_seed = tuple(fit.score for fit in of_layer if fit.head.lr == lr)
        scores.append(LayerScore(layer=layer, lr=lr, by_seed=by_seed))
    return scores


def standardise(train: Examples, splits: Sequence[Examples]) -> None:
    """Give every dimension of each layer mean 0 and deviation 1 in training; frames come into memory."""
    of_training = [rows.frames if isinstance(rows, FramesInContext) else rows for rows in train.arrays]
    n_rows = sum(len(rows) for rows in of_training)
    mean = sum(rows.sum(0, dtype=np.float64) for rows in of_training) / n_rows
    square = sum(np.square(rows, dtype=np.float64).sum(0) for rows in of_training) / n_rows
    std = np.sqrt(np.maximum(square - mean**2, 1e-12))

    def scaled(rows: np.ndarray) -> np.ndarray:
        return ((rows - mean) / std).astype(np.float32)

    for split in splits:
        split.arrays = [
            rows.changed(scaled) if isinstance(rows, FramesInContext) else scaled(rows)
            for rows in split.arrays
        ]


def _scale(task: Task, features: Features) -> Scale | None:
    return task.kind.scale([item.label for item, _ in features.kept if item.split == "train"])


def _scored(name: str, answers: Sequence[Predictions], config: ProbeConfig) -> Score:
    by_seed, resampled = score_seeds(name, answers, config.n_resamples)
    low, high = np.quantile(resampled, [(1 - SURE) / 2, (1 + SURE) / 2])
    return Score(metric=name, by_seed=tuple(by_seed), low=float(low), high=float(high))
