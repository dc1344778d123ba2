"""Progress of long work: a bar on a terminal, a plain line a minute elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=True)
SECONDS_BETWEEN_LINES = 60.0
SECONDS_OF_SPEED = 600.0  # over which the time left is reckoned; one track can take minutes


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """Gives a function to be told how many are done, with a word about the newest."""
    from solfa import distributed  # here, since it imports torch, and not every command needs that

    if not distributed.is_main():
        yield lambda done, note: None
    elif console.is_terminal:
        with _bar() as bar:
            task = bar.add_task(what, total=total, note="")
            yield lambda done, note: bar.update(task, completed=done, note=note)
    else:
        yield _lines(what, total)


@contextmanager
def training_progress(n_steps: int) -> Iterator[Callable[[int, dict[str, Any]], None]]:
    """Gives a function to be told of every step and what was logged there."""
    words: dict[str, str] = {}

    with progress("training", n_steps) as tell:

        def on_step(step: int, figures: dict[str, Any]) -> None:
            words.update(_words(figures))
            tell(step, "  ".join(words.values()))

        yield on_step


def _words(figures: dict[str, Any]) -> dict[str, str]:
    shown = {
        "loss": "loss {:.3f}",
        "accuracy": "accuracy {:.1%}",
        "valid_loss": "held-out loss {:.3f}",
        "valid_accuracy": "held-out accuracy {:.1%}",
        "explained_variance": "explained {:.1%}",
        "valid_explained_variance": "held-out explained {:.1%}",
        "audio_hours_per_hour": "{:.0f} h/h",
    }
    return {name: form.format(figures[name]) for name, form in shown.items() if name in figures}


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"), console=console, speed_estimate_period=SECONDS_OF_SPEED,
    )  # fmt: skip


def _lines(what: str, total: int | None) -> Callable[[int, str], None]:
    last = time.monotonic() - SECONDS_BETWEEN_LINES
    # How many were done, and when, as something was told first: what went before is no work.
    first: tuple[int, float] | None = None

    def tell(done: int, note: str) -> None:
        nonlocal last, first
        now = time.monotonic()
        n_before, begun = first = first or (done, now)
        if now - last < SECONDS_BETWEEN_LINES and done != total:
            return
        last, words = now, [f"{what}: {done} of {total if total is not None else '?'}", note]
        if total and n_before < done < total:
            words.insert(1, time_left((now - begun) / (done - n_before) * (total - done)))
        console.print("  ".join(words), highlight=False)

    return tell


def time_left(seconds: float) -> str:
    """About how long something will take, in words: no more is known."""
    if seconds < 90:
        return "about a minute left" if seconds > 30 else "less than half a minute left"
    if seconds < 5_400:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3_600:.{1 if seconds < 36_000 else 0}f} h left"
