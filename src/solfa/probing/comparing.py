"""Encoders compared over tasks: means of normalised scores, and differences on the same drawn tracks.

A score is normalised as (score - chance) / (100 - chance), per cent. Intervals are 95 % of drawings of the
test tracks, which are the same for both models: what makes tracks easy or hard cancels out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from solfa.errors import ArgumentError
from solfa.probing.answers import CHOSEN, READINGS, KeptAnswers, load_answers
from solfa.probing.probe import SURE, ProbeResult
from solfa.probing.report import answers_path, in_task_order, load_result, result_paths
from solfa.probing.scoring import ScoringError

N_RESAMPLES = 500  # of the test tracks of every task


class Row(NamedTuple):
    """Whose answers they are, and how they were read out."""

    model: str
    readout: str


@dataclass(frozen=True)
class Interval:
    """A figure, and where it lies in 95 % of the drawings; per cent, or points of per cent."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, drawn: Float[np.ndarray, " sample"]) -> "Interval":
        """Of a figure and the same on drawn tracks."""
        low, high = np.quantile(drawn, [(1 - SURE) / 2, (1 + SURE) / 2])
        return cls(value, float(low), float(high))

    @property
    def sign(self) -> int:
        """1 or -1 if all of it lies above or below zero; 0 otherwise."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Compared:
    """A model's layer or mix beside that of the model it is compared with."""

    row: Row
    reading: str
    mean: Interval  # of normalised scores over tasks
    scores: dict[str, float]  # of each task, not normalised
    layers: dict[str, str]  # that were taken for each task
    difference: Interval | None  # of the means; None for the other model itself
    by_task: dict[str, Interval]  # differences of normalised scores
    n_won: int
    n_lost: int

    @property
    def n_tied(self) -> int:
        """Tasks in whose interval zero lies."""
        return len(self.by_task) - self.n_won - self.n_lost


@dataclass(frozen=True)
class Comparison:
    """Models of one readout beside a named one, by the tasks that all of them have."""

    against: str
    readout: str
    tasks: tuple[str, ...]
    metrics: dict[str, str]  # of each task
    chance: dict[str, float]  # of each task, per cent
    n_tracks: dict[str, int]  # of each task's test
    compared: tuple[Compared, ...]
    notes: tuple[str, ...]  # what was left out, and why


@dataclass(frozen=True)
class _Found:
    """Results with their answers; later ones of the same row and task stand for earlier ones."""

    results: dict[Row, dict[str, ProbeResult]]
    answers: dict[Row, dict[str, KeptAnswers]]


def compare(folders: Sequence[Path], against: str, n_resamples: int = N_RESAMPLES) -> list[Comparison]:
    """Compare all models in some folders of ``solfa probe`` with one of them.

    Models are compared where they were read out alike, and so there is a comparison for each readout of that
    model. It is over the tasks that all models of that readout have; a task counts by its first metric, if
    that has a chance.

    Args:
        folders: of results.
        against: name of the model, as it was probed.
        n_resamples: drawings of the test tracks.

    Raises:
        ArgumentError: that model is not there, or no task is left.
    """
    found, notes = _load(folders)
    readouts = [row.readout for row in found.answers if row.model == against]
    if not readouts:
        known = ", ".join(dict.fromkeys(row.model for row in found.answers)) or "none"
        raise ArgumentError(f"No answers of {against} are kept there. Those of others are: {known}.")
    comparisons = [_of_readout(found, Row(against, readout), n_resamples, notes) for readout in readouts]
    if not any(comparison.tasks for comparison in comparisons):
        said = " ".join(note for comparison in comparisons for note in comparison.notes)
        raise ArgumentError(f"There is no task by which all models could be compared. {said}")
    return [comparison for comparison in comparisons if comparison.tasks]


def _of_readout(found: _Found, base: Row, n_resamples: int, notes: Sequence[str]) -> Comparison:
    rows = [row for row in found.answers if row.readout == base.readout]
    tasks, left_out = _common_tasks(found, rows)
    drawn, compared = _Drawn(n_resamples), list[Compared]()
    for row in sorted(rows, key=lambda row: row != base) if tasks else ():
        compared += _compared(found, row, base, tasks, drawn)
    own = found.answers[base]
    metrics = {task: own[task].metrics[0] for task in tasks}
    return Comparison(
        against=base.model,
        readout=base.readout,
        tasks=tasks,
        metrics=metrics,
        chance={task: 100 * (own[task].chance[metrics[task]] or 0.0) for task in tasks},
        n_tracks={task: len(own[task].tracks) for task in tasks},
        compared=tuple(compared),
        notes=tuple(dict.fromkeys([*notes, *left_out])),
    )


def _load(folders: Sequence[Path]) -> tuple[_Found, list[str]]:
    results: dict[Row, dict[str, ProbeResult]] = {}
    answers: dict[Row, dict[str, KeptAnswers]] = {}
    notes = []
    paths = [path for folder in folders for path in result_paths(folder)]
    for result, path in ((load_result(path), path) for path in paths):
        row = Row(result.model, result.probe.readout)
        if not answers_path(path).is_file():
            notes.append(
                f"{result.model}, {result.task}: no answers are kept, since an older version probed it, or "
                "they cannot be kept. Probe it again to compare it."
            )
            continue
        results.setdefault(row, {})[result.task] = result
        answers.setdefault(row, {})[result.task] = load_answers(answers_path(path))
    return _Found(results, answers), notes


def _common_tasks(found: _Found, rows: Sequence[Row]) -> tuple[tuple[str, ...], list[str]]:
    """Tasks that all rows have with the same data, by a metric that has a chance; and what is left out."""
    everything = in_task_order([one for row in rows for one in found.results[row].values()])
    common, notes = [], []
    for task in dict.fromkeys(one.task for one in everything):
        having = [row for row in rows if task in found.answers[row]]
        kept = [found.answers[row][task] for row in having]
        versions = {found.results[row][task].data_version for row in having}
        metric = kept[0].metrics[0]
        if len(having) < len(rows):
            lacking = ", ".join(row.model for row in rows if row not in having)
            notes.append(f"{task} is left out: {lacking} was not asked.")
        elif len(versions) > 1 or len({one.tracks for one in kept}) > 1:
            notes.append(f"{task} is left out: not all were asked about the same tracks.")
        elif (chance := kept[0].chance[metric]) is None:
            notes.append(f"{task} is left out: {metric} has no chance.")
        elif chance >= 1:
            notes.append(
                f"{task} is left out: all of its test tracks are answered by one and the same answer."
            )
        else:
            common.append(task)
    return tuple(common), notes


class _Drawn:
    """Normalised scores of all tracks and of drawn ones, each computed once."""

    def __init__(self, n_resamples: int) -> None:
        self.n_resamples = n_resamples
        self._known: dict[tuple[Row, str, str], tuple[float, np.ndarray]] = {}

    def scores(
        self, row: Row, task: str, answers: KeptAnswers, reading: str
    ) -> tuple[float, Float[np.ndarray, " sample"]]:
        """Of a row's task: the score, and those of the drawings, which are the same for every row."""
        key = (row, task, answers.layers[reading])
        if key not in self._known:
            metric = answers.metrics[0]
            chance = answers.chance[metric] or 0.0
            score, drawn = answers.score(metric, reading), self._of_draws(answers, metric, reading)
            self._known[key] = tuple(100 * (one - chance) / (1 - chance) for one in (score, drawn))  # type: ignore[assignment]
        return self._known[key]

    def _of_draws(self, answers: KeptAnswers, metric: str, reading: str) -> Float[np.ndarray, " sample"]:
        drawn = []
        for numbers in _draws(len(answers.tracks), self.n_resamples):
            try:
                drawn.append(answers.score(metric, reading, numbers))
            except ScoringError:  # the drawn tracks leave nothing to count: as all of them
                drawn.append(answers.score(metric, reading))
        return np.array(drawn)


def _draws(n_tracks: int, n_resamples: int) -> Int[np.ndarray, "sample track"]:
    """Numbers of tracks, with replacement; the same at each call."""
    return np.random.default_rng(0).integers(0, n_tracks, (n_resamples, n_tracks))


def _compared(found: _Found, row: Row, base: Row, tasks: Sequence[str], drawn: _Drawn) -> list[Compared]:
    """Each reading of a row that it has on all tasks, beside the same reading of the other."""
    own, other = found.answers[row], found.answers[base]
    rows = []
    for reading in READINGS:
        mine = {task: _reading(own[task], reading) for task in tasks}
        theirs = {task: _reading(other[task], reading) for task in tasks}
        if reading != CHOSEN and all(_is_of_one_layer(own[task]) for task in tasks):
            continue
        taken = [name for name in (*mine.values(), *theirs.values()) if name is None]
        if not taken:
            rows.append(_beside(found, row, base, reading, drawn, mine, theirs))  # type: ignore[arg-type]
    return rows


def _reading(answers: KeptAnswers, reading: str) -> str | None:
    """The reading; that of the one layer where there is no other; None where it was not fitted."""
    if reading in answers.layers:
        return reading
    return CHOSEN if _is_of_one_layer(answers) else None


def _is_of_one_layer(answers: KeptAnswers) -> bool:
    return len(set(answers.layers.values())) == 1 and not {"concatenated", "weighted"} & set(answers.layers)


def _beside(
    found: _Found,
    row: Row,
    base: Row,
    reading: str,
    drawn: _Drawn,
    mine: dict[str, str],
    theirs: dict[str, str],
) -> Compared:
    own, other = found.answers[row], found.answers[base]
    here = {task: drawn.scores(row, task, own[task], name) for task, name in mine.items()}
    there = {task: drawn.scores(base, task, other[task], name) for task, name in theirs.items()}
    mean = _mean(list(here.values()))
    by_task: dict[str, Interval] = {}
    difference = None
    if row != base:
        less = {task: (here[task][0] - there[task][0], here[task][1] - there[task][1]) for task in here}
        by_task = {task: Interval.of(*values) for task, values in less.items()}
        difference = _mean(list(less.values()))
    signs = [interval.sign for interval in by_task.values()]
    scores = {task: 100 * own[task].score(own[task].metrics[0], name) for task, name in mine.items()}
    layers = {task: own[task].layers[name] for task, name in mine.items()}
    return Compared(row, reading, mean, scores, layers, difference, by_task, signs.count(1), signs.count(-1))


def _mean(of_tasks: Sequence[tuple[float, np.ndarray]]) -> Interval:
    """Over tasks, whose tracks are drawn independently of each other."""
    return Interval.of(
        float(np.mean([value for value, _ in of_tasks])), np.mean([drawn for _, drawn in of_tasks], axis=0)
    )
