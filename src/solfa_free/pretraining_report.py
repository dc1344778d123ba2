"""solfa data render pretraining: rendered music to pre-train on, its hours, and what is not there."""

from pathlib import Path

import typer
from rich.markup import escape

from solfa.cli.progress import progress
from solfa.cli.reports import SHOWN, exit_code
from solfa.cli.results import say, show_hours, show_refused_of
from solfa_free.free_benchmark import Sources
from solfa_free.pretraining import make_pretraining
from solfa_free.rendering import RenderingConfig


def render_pretraining(
    out: Path, sources: Sources, *, hours: float, seed: int, sample_rate: int, strict: bool
) -> None:
    """Fill ``out``, say what is in it, and leave with the exit code."""
    with progress("making", None) as tell:
        corpus = make_pretraining(
            out,
            sources,
            hours=hours,
            seed=seed,
            config=RenderingConfig(sample_rate=sample_rate),
            progress=lambda what, n_done, n: tell(n_done, f"{what}, {n} in all"),
        )
    for name, why in corpus.left_out.items():
        say(f"[yellow]left out[/yellow] {escape(name)}: {escape(why)}")
    for name, why in list(corpus.failures.items())[:SHOWN]:
        say(f"[yellow]not there[/yellow] {escape(name)}: {escape(why)}")
    show_refused_of(corpus.refused, out / "refused.jsonl")
    show_hours({Path(f"{name}.jsonl"): tracks for name, tracks in corpus.splits.items()})
    say(f"{len(corpus.failures)} pieces are not there; licences stand in {escape(str(out / 'README.md'))}")
    n_missing = len(corpus.left_out) + len(corpus.failures) + len(corpus.refused)
    raise typer.Exit(exit_code(n_missing, strict))
