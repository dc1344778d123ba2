"""Progress of long work: a bar on a terminal, a plain line a minute elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=True)
SECONDS_BETWEEN_LINES = 60.0


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
        TextColumn("{task.fields[note]}"), console=console,
    )  # fmt: skip


def _lines(what: str, total: int | None) -> Callable[[int, str], None]:
    last = time.monotonic() - SECONDS_BETWEEN_LINES

    def tell(done: int, note: str) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES or done == total:
            last = time.monotonic()
            console.print(f"{what}: {done} of {total if total is not None else '?'}  {note}", highlight=False)

    return tell
