"""The log of a run as a picture: loss, what was learned, and how the codes are used."""

import math
from pathlib import Path
from typing import Any

from solfa import checkpoint
from solfa.drawing import new_figure, save, tidy
from solfa.errors import SolfaError
from solfa.json_files import readable_lines

LEARNED, HELD_OUT, BASELINE = "#2a6f97", "#d1495b", "#7d8a94"
Line = dict[str, Any]


class CurvesError(SolfaError, ValueError):
    """A run without a log to draw; the message names the cure."""


def draw_curves(run: Path, out: Path | None = None) -> Path:
    """Draw ``log.jsonl`` of a run as three panels and return the PNG that was written.

    Args:
        run: a run folder.
        out: the picture; ``curves.png`` in the run folder if omitted.

    Raises:
        CurvesError: nothing has been logged yet.
    """
    lines = _read(run / checkpoint.LOG)
    figure = new_figure(13.0, 3.9)
    left, middle, right = figure.subplots(1, 3)
    if {"accuracy", "unigram_accuracy"} <= lines[-1].keys():
        _draw(left, lines, "code_loss", "loss of a hidden code (nats)")
        _draw(left, lines, "unigram_loss", "loss of a hidden code (nats)", baseline="code frequencies alone")
        _draw(middle, lines, "accuracy", "masked accuracy (%)", scale=100.0)
        _draw(
            middle, lines, "unigram_accuracy", "masked accuracy (%)", baseline="commonest code", scale=100.0
        )
    else:
        _draw(left, lines, "loss", "loss")
        _draw_what_was_learned(middle, lines)
    if "perplexity_by_codebook" in lines[-1]:
        _draw_codebooks(right, lines)
    else:
        _draw(right, lines, "gradient_norm", "length of the gradient")
    for axes in (left, middle, right):
        tidy(axes)
        axes.set_xlabel("step")
    left.legend(frameon=False)
    middle.legend(frameon=False)
    return save(figure, out or run / "curves.png", dpi=110)


def _read(log: Path) -> list[Line]:
    whole = (line for line in readable_lines(log) if _is_number(line.get("step")))
    lines = [_with_code_loss(line) for line in whole if _is_number(line.get("loss"))]
    if not lines:
        raise CurvesError(f"{log} holds no step yet. Train a little longer, or lower log_every.")
    return lines


def _with_code_loss(line: Line) -> Line:
    """The loss of the codes alone, which is what their frequencies can be compared with, as ``code_loss``."""
    for prefix in ("", "valid_"):
        if losses := line.get(f"{prefix}loss_by_codebook"):
            line[f"{prefix}code_loss"] = sum(losses) / len(losses)
    return line


def _draw(
    axes: Any, lines: list[Line], name: str, label: str, baseline: str = "", scale: float = 1.0
) -> None:
    """A figure while training, and the same on held-out tracks where it was looked at."""
    steps, values = _curve(lines, name, scale)
    if baseline:
        axes.plot(steps, values, color=BASELINE, ls=":", label=baseline)
    else:
        axes.plot(steps, values, color=LEARNED, label="training")
        steps, values = _curve(lines, f"valid_{name}", scale)
        if steps:
            axes.plot(steps, values, "o-", color=HELD_OUT, ms=4, label="held-out tracks")
    axes.set_ylabel(label)


def _curve(lines: list[Line], name: str, scale: float) -> tuple[list[int], list[float]]:
    """The steps at which a figure was looked at, and its values."""
    seen = [line for line in lines if _is_number(line.get(name))]
    return [line["step"] for line in seen], [scale * line[name] for line in seen]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _draw_what_was_learned(axes: Any, lines: list[Line]) -> None:
    """The figure that tells most about a run which predicts no codes."""
    if "explained_variance" in lines[-1]:
        _draw(axes, lines, "explained_variance", "explained variance (%)", scale=100.0)
        axes.set_ylim(bottom=0)
    elif "log_mel" in lines[-1]:
        _draw(axes, lines, "log_mel", "distance of mel bands (dB)", scale=20 / math.log(10))
        axes.set_ylim(bottom=0)
    elif "accuracy" in lines[-1]:
        _draw(axes, lines, "accuracy", "clips whose likeliest label is right (%)", scale=100.0)
    elif "squared_error" in lines[-1]:
        _draw(axes, lines, "squared_error", "squared error")
        _draw(axes, lines, "squared_error_of_mean", "squared error", baseline="mean of every value")


def _draw_codebooks(axes: Any, lines: list[Line]) -> None:
    """Perplexity of every codebook: how many codes it uses as if all were equally frequent."""
    n_books = len(lines[-1]["perplexity_by_codebook"])
    lines = [line for line in lines if len(line.get("perplexity_by_codebook", ())) == n_books]
    steps = [line["step"] for line in lines]
    books = list(zip(*(line["perplexity_by_codebook"] for line in lines), strict=True))
    for number, values in enumerate(books):
        shade = 0.25 + 0.75 * number / max(1, len(books) - 1)
        axes.plot(steps, values, color=LEARNED, alpha=1.15 - shade, label=f"codebook {number + 1}")
    if len(books) > 1:
        axes.legend(frameon=False, fontsize=7, ncols=2)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("perplexity of the codes")
