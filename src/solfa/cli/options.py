"""Checks that options of several commands share."""

import math

import typer


def finite(value: float | None) -> float | None:
    """A callback: refuses NaN and infinity, which older versions of typer find within any bounds."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number of seconds or hours. Give a finite one.")
    return value
