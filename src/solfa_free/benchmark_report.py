"""solfa data render free: all parts of the free benchmark in one folder, counted and checked for leaks."""

from collections import Counter
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from solfa.cli.progress import progress
from solfa.cli.reports import exit_code
from solfa.cli.results import results, say
from solfa.tasks import SPLITS, TaskError, find_leaks
from solfa_free.free_benchmark import Sources, make_benchmark
from solfa_free.tasks import FREE_TASKS
from solfa_free.tasks_of_renderings import free_version

SHOWN = 20  # failures on the screen


def render_free(out: Path, sources: Sources, strict: bool) -> None:
    """Make the benchmark in ``out``, say what is in it, and leave with the exit code."""
    with progress("making", None) as tell:
        done = make_benchmark(
            out, sources, progress=lambda folder, n_done, n: tell(n_done, f"{folder}, {n} in all")
        )
    for name, why in done.left_out.items():
        say(f"[yellow]left out[/yellow] {escape(name)}: {escape(why)}")
    for name, why in list(done.failures.items())[:SHOWN]:
        say(f"[yellow]not there[/yellow] {escape(name)}: {escape(why)}")
    n_leaks = _show_tasks(out)
    say(f"{len(done.failures)} pieces and recordings are not there; {n_leaks} leaks")
    say(f"Version {free_version(out)} in {escape(str(out))}. Probe it with: solfa probe free --model MODEL")
    raise typer.Exit(3 if n_leaks else exit_code(len(done.left_out) + len(done.failures), strict))


def _show_tasks(out: Path) -> int:
    """A line for every task; gives the number of leaks in all of them."""
    table = Table("task", "train", "valid", "test", "leaks")
    n_leaks = 0
    for task in FREE_TASKS:
        try:
            items = task.load(out)
        except TaskError:  # its part was left out, which is said above
            items = []
        leaks = find_leaks(items)
        n_leaks += len(leaks)
        for name, splits in list(leaks.items())[:SHOWN]:
            say(f"[red]leak[/red] {task.name}: {escape(name)} stands in {', '.join(sorted(splits))}")
        counts = Counter(item.split for item in items)
        table.add_row(task.name, *(str(counts[split]) for split in SPLITS), str(len(leaks)))
    results.print(table)
    return n_leaks
