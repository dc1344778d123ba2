"""One look for every picture: a figure without a window, quiet axes, and a file that is written whole."""

from pathlib import Path
from typing import Any

from solfa.errors import ArgumentError
from solfa.files import whole_file

INK, FAINT = "#22303c", "#d5dce2"


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches; no display is needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Any) -> None:
    """A faint grid, and no lines at the top and the right."""
    axes.grid(color=FAINT, lw=0.6)
    axes.tick_params(colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def save(figure: Any, out: Path, dpi: int = 120) -> Path:
    """Write a picture in the format that the end of its name says; PNG if it says none.

    Raises:
        ValueError: there is no such format.
        WriteError: the disk is full or does not take the file; what was there is as it was.
    """
    kind = out.suffix[1:].lower() or "png"
    if kind not in (known := figure.canvas.get_supported_filetypes()):
        raise ArgumentError(
            f"{out.name} ends as no picture does that can be drawn. Known are {', '.join(known)}."
        )
    with whole_file(out) as partial:
        figure.savefig(partial, dpi=dpi, format=kind)
    return out
