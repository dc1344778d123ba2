"""Score against layer for each task, and layer against task as a heat map."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from solfa.probing.heads import CONCATENATED, WEIGHTED
from solfa.probing.probe import LayerScore, ProbeResult
from solfa.probing.scoring import metric

INK, FAINT, MIX = "#22303c", "#d5dce2", "#7d8a94"
COLOURS = ("#2a6f97", "#d1495b", "#3a7d44", "#b36a1e", "#6a4c93", "#1b8a8f")
STYLES: dict[int | str, str] = {WEIGHTED: "--", CONCATENATED: ":"}
PANEL_INCHES, MOST_IN_ROW = (4.2, 3.1), 3


def draw_layers(results: Sequence[ProbeResult], out: Path) -> Path:
    """Draw a panel for each task: validation against layer for each encoder, its best layer marked.

    Mixes of all layers are lines across: dashed the weighted sum, dotted the concatenation.
    """
    figure, panels = _panels(len({result.task for result in results}))
    for axes, task in zip(panels, dict.fromkeys(result.task for result in results), strict=True):
        of_task = [result for result in results if result.task == task]
        for number, result in enumerate(of_task):
            _draw_curve(axes, result, COLOURS[number % len(COLOURS)])
        axes.set_title(of_task[0].title, color=INK, fontsize=11, loc="left")
        axes.set_ylabel(f"{metric(of_task[0].scores[0].metric).title}, validation")
        axes.set_xlabel("layer")
        _tidy(axes)
    for mix in (mix for mix in STYLES if any(mix == e.layer for r in results for e in r.layers)):
        panels[0].plot([], [], color=MIX, ls=STYLES[mix], lw=1.0, label=f"all layers, {mix}")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(out, dpi=120)
    return out


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
    figure, axes = _figure((2.6 + 0.52 * len(layers), 1.5 + 0.42 * len(results)))
    low = np.nanmin(values, 1, keepdims=True)
    spread = np.nanmax(values, 1, keepdims=True) - low
    shades = (values - low) / np.where(spread > 0, spread, 1.0)
    axes.imshow(shades, cmap="YlGnBu", vmin=-0.1, vmax=1.25, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if not math.isnan(value):
            is_best = shades[row, column] == np.nanmax(shades[row])
            axes.text(
                column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8,
                color="white" if shades[row, column] > 0.75 else INK, weight="bold" if is_best else "normal",
            )  # fmt: skip
    axes.set_xticks(range(len(layers)), layers)
    axes.set_yticks(range(len(results)), [result.title for result in results])
    axes.set_xlabel("layer")
    axes.set_title(f"{results[0].model}: score on validation (x 100)", color=INK, fontsize=11, loc="left")
    axes.tick_params(length=0, colors=INK, labelsize=9)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.savefig(out, dpi=120)
    return out


def _draw_curve(axes: Any, result: ProbeResult, colour: str) -> None:
    single = sorted(_single(result), key=lambda entry: entry.layer)
    if single:
        layers, means = [entry.layer for entry in single], np.array([entry.mean for entry in single])
        spread = np.array([np.std(entry.by_seed) for entry in single])
        best = int(means.argmax())
        axes.fill_between(layers, means - spread, means + spread, color=colour, alpha=0.15, lw=0)
        axes.plot(layers, means, "o-", color=colour, ms=3.5, lw=1.6, label=result.model)
        axes.plot(layers[best], means[best], "*", color=colour, ms=15, mec="white", mew=1.0, zorder=5)
        axes.xaxis.get_major_locator().set_params(integer=True)
    for entry in result.layers:
        if isinstance(entry.layer, str):
            axes.axhline(entry.mean, color=colour, ls=STYLES[entry.layer], lw=1.0, alpha=0.8)


def _single(result: ProbeResult) -> list[LayerScore]:
    return [entry for entry in result.layers if isinstance(entry.layer, int)]


def _panels(n: int) -> tuple[Any, list[Any]]:
    n_columns = min(n, MOST_IN_ROW)
    n_rows = -(-n // n_columns)
    figure, _ = _figure((PANEL_INCHES[0] * n_columns, PANEL_INCHES[1] * n_rows), has_axes=False)
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for empty in panels[n:]:
        empty.remove()
    return figure, panels[:n]


def _figure(size: tuple[float, float], *, has_axes: bool = True) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots() if has_axes else None


def _tidy(axes: Any) -> None:
    axes.grid(color=FAINT, lw=0.6)
    axes.tick_params(colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
