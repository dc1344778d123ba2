"""The command ``solfa``: its parts, its errors and its exit codes."""

import logging
import sys
from importlib.metadata import version

import typer
from rich.logging import RichHandler

from solfa.checkpoint import CheckpointError
from solfa.cli import about, codec, data, embed, export, library, probe, search, serve, tag, train
from solfa.cli.memory import keep_freed_memory
from solfa.cli.progress import console
from solfa.config import ConfigError
from solfa.data.audio import AudioError
from solfa.data.manifest import ManifestError
from solfa.models import ModelError
from solfa.targets import TargetError
from solfa.training import Interrupted, TrainingError

app = typer.Typer(
    name="solfa",
    help="Learn, probe and search music.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")
app.add_typer(codec.app, name="codec")
app.add_typer(export.app, name="export")
app.add_typer(library.app, name="library")
for command in (
    train.train, embed.embed, probe.probe, tag.tag, library.index, search.search, search.similar,
    serve.serve, about.models, about.doctor,
):  # fmt: skip
    app.command()(command)

EXPECTED = (
    AudioError, CheckpointError, ConfigError, ImportError, Interrupted, ManifestError, ModelError,
    TargetError, TrainingError, OSError, ValueError,
)  # fmt: skip


@app.callback(invoke_without_command=True)
def options(
    show_version: bool = typer.Option(False, "--version", help="Print the version and leave."),
    verbose: bool = typer.Option(
        False, "--verbose", help="Show tracebacks, and what the library logs besides."
    ),
) -> None:
    """Learn, probe and search music."""
    keep_freed_memory()
    handler = RichHandler(console=console, show_path=False, show_time=False, rich_tracebacks=False)
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(message)s", handlers=[handler]
    )
    for noisy in ("httpx", "urllib3", "matplotlib", "tensorboard", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if show_version:
        typer.echo(f"solfa {version('solfa')}")
        raise typer.Exit


def run() -> None:
    """Run a command; an error that was foreseen is one message and exit code 1."""
    try:
        app()
    except EXPECTED as error:
        if "--verbose" in sys.argv:
            raise
        console.print(f"[bold red]solfa:[/] {type(error).__name__}", highlight=False)
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
