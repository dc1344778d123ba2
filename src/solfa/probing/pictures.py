"""Score against layer for each task, and layer against task as a heat map."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from solfa.drawing import INK, new_figure, save, tidy
from solfa.probing.heads import CONCATENATED, WEIGHTED
from solfa.probing.probe import LayerScore, ProbeResult
from solfa.probing.scoring import metric

MIX = "#7d8a94"
COLOURS = (
    "#2a6f97", "#d1495b", "#3a7d44", "#b36a1e", "#6a4c93", "#1b8a8f",
    "#c74b9b", "#7f8c1f", "#5b4636", "#8a9299",
)  # fmt: skip
LETTER_INCHES, HANDLE_INCHES, LINE_INCHES = 0.075, 0.65, 0.2  # of a legend, at its size of letters
MIXES = {WEIGHTED: ("D", "sum"), CONCATENATED: ("s", "all")}  # marker, and name below it
PANEL_INCHES, MOST_IN_ROW = (4.2, 3.1), 3
MIX_GAP = 1.4  # layers between the last one and the first mix
BENCHMARK = "Free benchmark: "  # left out of titles: it stands in front of every one


def draw_layers(results: Sequence[ProbeResult], out: Path) -> Path:
    """Draw a panel for each task: validation against layer for each encoder, its best layer marked.

    Mixes of all layers stand behind the layers: a diamond the weighted sum, a square the concatenation. What
    has one layer only, as most baselines, is a line across.
    """
    tasks, models = (list(dict.fromkeys(getattr(r, name) for r in results)) for name in ("task", "model"))
    figure, panels = _panels(len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        of_task = [result for result in results if result.task == task]
        last = max((int(entry.layer) for result in of_task for entry in _single(result)), default=0)
        for result in of_task:
            _draw_curve(axes, result, COLOURS[models.index(result.model) % len(COLOURS)], last)
        _name_columns(axes, of_task, last)
        axes.set_xlabel("layer")
        axes.set_title(_title(of_task[0]), color=INK, fontsize=11, loc="left", pad=18)
        asked = of_task[0].scores[0].metric
        told = f"{metric(metric(asked).quick or asked).title}, validation"  # what chose the layer
        axes.text(0, 1.02, told, transform=axes.transAxes, color=MIX, fontsize=8.5, va="bottom")
        tidy(axes)
    named: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    width, height = figure.get_size_inches()
    n_columns = max(1, int(width / (HANDLE_INCHES + LETTER_INCHES * max(map(len, named), default=0))))
    figure.set_size_inches(width, height + LINE_INCHES * -(-len(named) // n_columns))
    figure.legend(
        named.values(), named.keys(), loc="outside lower center", ncols=n_columns, frameon=False, fontsize=9
    )
    return save(figure, out)


def draw_heat_map(results: Sequence[ProbeResult], out: Path) -> Path:
    """Draw a row for each task of one encoder and a column for each layer.

    Colours run from the worst to the best layer of a task, since tasks have different metrics; figures are
    the scores on validation.
    """
    layers = sorted({entry.layer for result in results for entry in _single(result)})
    values = np.full((len(results), len(layers)), np.nan)
    for row, result in enumerate(results):
        for entry in _single(result):
            values[row, layers.index(entry.layer)] = entry.mean
    figure = new_figure(2.6 + 0.52 * len(layers), 1.5 + 0.42 * len(results))
    axes = figure.subplots()
    low = np.nanmin(values, 1, keepdims=True)
    spread = np.nanmax(values, 1, keepdims=True) - low
    shades = (values - low) / np.where(spread > 0, spread, 1.0)
    axes.imshow(shades, cmap="YlGnBu", vmin=-0.1, vmax=1.25, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if not math.isnan(value):
            is_best = shades[row, column] == np.nanmax(shades[row])
            axes.text(
                column, row, str(round(100 * value)), ha="center", va="center", fontsize=8,
                color="white" if shades[row, column] > 0.75 else INK, weight="bold" if is_best else "normal",
            )  # fmt: skip
    axes.set_xticks(range(len(layers)), layers)
    axes.set_yticks(range(len(results)), [_title(result) for result in results])
    axes.set_xlabel("layer")
    axes.set_title(f"{results[0].model}: score on validation (x 100)", color=INK, fontsize=11, loc="left")
    axes.tick_params(length=0, colors=INK, labelsize=9)
    for side in axes.spines.values():
        side.set_visible(False)
    return save(figure, out)


def _draw_curve(axes: Any, result: ProbeResult, colour: str, last: int) -> None:
    single = sorted(_single(result), key=lambda entry: entry.layer)
    layers, means = [entry.layer for entry in single], np.array([entry.mean for entry in single])
    spread = np.array([np.std(entry.by_seed) for entry in single])
    if len(single) == 1:
        axes.axhline(means[0], color=colour, ls=(0, (6, 2)), lw=1.3, label=result.model)
    elif single:
        best = int(means.argmax())
        axes.fill_between(layers, means - spread, means + spread, color=colour, alpha=0.15, lw=0)
        axes.plot(layers, means, "o-", color=colour, ms=3.5, lw=1.6, label=result.model)
        axes.plot(layers[best], means[best], "*", color=colour, ms=15, mec="white", mew=1.0, zorder=5)
    for entry in result.layers:
        if isinstance(entry.layer, str):
            marker, _ = MIXES[entry.layer]
            place = _place_of_mix(entry.layer, last)
            axes.plot(place, entry.mean, marker, color=colour, ms=6, mec="white", mew=0.8, zorder=4)


def _place_of_mix(layer: str, last: int) -> float:
    return last + MIX_GAP + 1.2 * list(MIXES).index(layer)


def _name_columns(axes: Any, results: Sequence[ProbeResult], last: int) -> None:
    """Some of the layers by their numbers, and the mixes."""
    step = max(1, round(last / 8))
    ticks: dict[float, str] = {layer: str(layer) for layer in range(0, last + 1, step)}
    mixes = {entry.layer for result in results for entry in result.layers if isinstance(entry.layer, str)}
    ticks |= {_place_of_mix(mix, last): MIXES[mix][1] for mix in MIXES if mix in mixes}
    axes.set_xticks(list(ticks), list(ticks.values()))


def _title(result: ProbeResult) -> str:
    title = result.title.removeprefix(BENCHMARK)
    return title[:1].upper() + title[1:]


def _single(result: ProbeResult) -> list[LayerScore]:
    return [entry for entry in result.layers if isinstance(entry.layer, int)]


def _panels(n: int) -> tuple[Any, list[Any]]:
    n_columns = min(n, MOST_IN_ROW)
    n_rows = -(-n // n_columns)
    figure = new_figure(PANEL_INCHES[0] * n_columns, PANEL_INCHES[1] * n_rows)
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for empty in panels[n:]:
        empty.remove()
    return figure, panels[:n]
