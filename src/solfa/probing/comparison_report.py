"""A comparison of encoders as tables for a page, and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from solfa.files import write_text
from solfa.probing.answers import CHOSEN
from solfa.probing.comparing import Compared, Comparison, Interval
from solfa.probing.scoring import metric

NOTES = (
    "Scores are normalised: (score - chance) / (100 - chance), in per cent; the mean is over tasks.",
    "Intervals are 95 % of drawings of the test tracks, the same ones for both models; seeds are averaged.",
    "Won and lost are tasks whose interval lies above or below zero. With many tasks a few do by chance.",
    "Layers and rates were chosen on validation; a model of one layer stands as it is beside every reading.",
)
BOTH_MIXES = {"concatenated": "all layers side by side", "weighted": "weighted sum"}


def comparison_to_markdown(comparisons: Sequence[Comparison]) -> str:
    """Tables of means and of tasks, for each readout."""
    return "\n".join(line for one in comparisons for line in _lines(one))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"Readout {comparison.readout}, {len(comparison.tasks)} tasks, against {comparison.against}:"
    yield ""
    yield f"| model | layers | mean | less {comparison.against} | won, lost, tied |"
    yield "|---|---|---:|---:|---:|"
    for one in comparison.compared:
        cells = (one.row.model, reading_title(one.reading), _cell(one.mean), *_difference(one))
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield from _task_lines(comparison)
    yield ""
    yield from (f"- {note}" for note in (*NOTES, *comparison.notes))
    yield ""


def _difference(one: Compared) -> tuple[str, str]:
    if one.difference is None:
        return "", ""
    return _cell(one.difference, is_signed=True), f"{one.n_won}, {one.n_lost}, {one.n_tied}"


def _task_lines(comparison: Comparison) -> Iterator[str]:
    """Scores of what validation chose, as they are; behind them normalised differences."""
    shown = [one for one in comparison.compared if one.reading == CHOSEN]
    yield f"| task, metric | tracks | chance | {' | '.join(one.row.model for one in shown)} |"
    yield "|---|---:|---:|" + "---:|" * len(shown)
    for task in comparison.tasks:
        name, n_tracks = f"{task}, {metric(comparison.metrics[task]).title}", comparison.n_tracks[task]
        cells = (name, str(n_tracks), f"{comparison.chance[task]:.1f}", *(_score(one, task) for one in shown))
        yield f"| {' | '.join(cells)} |"


def _score(one: Compared, task: str) -> str:
    said = f"{one.scores[task]:.1f}"
    return f"{said} ({_cell(one.by_task[task], is_signed=True)})" if task in one.by_task else said


def _cell(interval: Interval, *, is_signed: bool = False) -> str:
    form = "+.1f" if is_signed else ".1f"
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def reading_title(reading: str) -> str:
    """A reading in words."""
    return BOTH_MIXES.get(reading, reading)


def comparison_to_json(comparisons: Sequence[Comparison]) -> str:
    """All that is known of them."""
    return json.dumps([_values(one) for one in comparisons], indent=2, allow_nan=False) + "\n"


def _values(comparison: Comparison) -> dict[str, Any]:
    values = asdict(comparison)
    for one, compared in zip(values["compared"], comparison.compared, strict=True):
        one |= {"model": compared.row.model, "readout": compared.row.readout, "n_tied": compared.n_tied}
        del one["row"]
    return values


def save_comparison(comparisons: Sequence[Comparison], folder: Path) -> None:
    """Write comparison.md and comparison.json."""
    write_text(folder / "comparison.md", comparison_to_markdown(comparisons))
    write_text(folder / "comparison.json", comparison_to_json(comparisons))
