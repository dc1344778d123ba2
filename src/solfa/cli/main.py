"""The command ``solfa``: its parts, its errors and its exit codes.

A command's rooms are imported when it is called: help and version need none of them.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from solfa.cli.runtime import keep_freed_memory, wait_without_spinning
from solfa.errors import SolfaError

COMMANDS = {  # name -> where it is, and what help says of it before it is imported
    "data": (
        "solfa.cli.data:app",
        "Lists of tracks, from your own or freely licensed music; and codes stored for them.",
    ),
    "codec": ("solfa.cli.codec:app", "A codec of one's own, fitted by 'solfa train rvq_vae'."),
    "export": ("solfa.cli.export:app", "A model in a form in which it can be passed on."),
    "library": (
        "solfa.cli.library:app",
        "What is in a library, its playlists and its map, and what other programs take from it.",
    ),
    "train": ("solfa.cli.train:train", "Train a quantizer or an encoder."),
    "embed": ("solfa.cli.embed:embed", "Embed tracks: one vector for each, and hidden states if wanted."),
    "probe": (
        "solfa.cli.probe:probe",
        "Probe encoders: fit small heads on frozen hidden states, and score them on test.",
    ),
    "compare": (
        "solfa.cli.compare:compare",
        "Compare encoders that were probed with one of them, by all tasks together.",
    ),
    "tag": (
        "solfa.cli.tag:tag",
        "Tag tracks: with any words, or with the labels that a model has learned by solfa train finetune.",
    ),
    "index": (
        "solfa.cli.index:index",
        "Make a library of tracks that can be searched, or bring one up to date.",
    ),
    "watch": (
        "solfa.cli.watch:watch",
        "Keep a library up to date while its folders change; Ctrl-C ends it.",
    ),
    "search": (
        "solfa.cli.search:search",
        "Find the tracks of a library that fit words, tracks, files or a sum of them.",
    ),
    "similar": (
        "solfa.cli.search:similar",
        "Find the tracks of a library that sound most like a file or a playlist.",
    ),
    "path": ("solfa.cli.journeys:path", "Find a path of tracks from one to another."),
    "serve": (
        "solfa.cli.serve:serve",
        "Serve a page on which a library is searched, heard and seen as a map; Ctrl-C ends it.",
    ),
    "models": ("solfa.cli.models:models", "List what --model and solfa.load accept here."),
    "doctor": (
        "solfa.cli.doctor:doctor",
        "Tell whether this machine decodes, loads and answers right.",
    ),
}
NOT_DONE = 3  # the exit code of what could not be done; 1 is that of --strict and of doctor, 2 of wrong usage


class Commands(Mapping[str, Any]):
    """The commands by name; looking one up imports it."""

    def __getitem__(self, name: str) -> Any:
        module, attribute = COMMANDS[name][0].split(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):  # a group, even where it has one command only
            _leave_brackets(command)
            made: Any = typer.main.get_group(command)
        else:
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(name)(command)
            made = typer.main.get_command(alone)
        made.name = name
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _leave_brackets(group: typer.Typer) -> None:
    """Have the help of a group print square brackets as they are: rich would take them for markup."""
    group.rich_markup_mode = None
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _leave_brackets(inner.typer_instance)


class CommandsOnDemand(TyperGroup):
    """A group whose commands are imported when one of them is called."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = Commands()  # type: ignore[assignment]

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """What may follow, without an import."""
        known: Any = self.commands
        self.commands = {name: TyperCommand(name, help=what) for name, (_, what) in COMMANDS.items()}
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self.commands = known

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, without an import."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A line for each command, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in COMMANDS.items()])


app = typer.Typer(
    name="solfa",
    cls=CommandsOnDemand,
    help="Learn, probe and search music.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def options(
    show_version: bool = typer.Option(False, "--version", help="Print the version and leave."),
    verbose: bool = typer.Option(
        False, "--verbose", help="Show tracebacks, and what the library logs besides."
    ),
) -> None:
    """Learn, probe and search music."""
    if show_version:
        from importlib.metadata import version  # takes longer to import than all else that is needed here

        typer.echo(f"solfa {version('solfa')}")
        raise typer.Exit
    keep_freed_memory()
    _log(verbose)


class Messages(logging.Handler):
    """Shows messages as rich does, which is imported with the first of them."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: logging.Handler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Show one."""
        if self._shown is None:
            from rich.logging import RichHandler

            from solfa.cli.progress import console

            self._shown = RichHandler(
                console=console, show_path=False, show_time=False, rich_tracebacks=False
            )
            self._shown.setFormatter(self.formatter)
        self._shown.emit(record)


def _log(verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(message)s", handlers=[Messages()]
    )
    for noisy in ("httpx", "urllib3", "matplotlib", "tensorboard", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def run() -> None:
    """Run a command; an error that was foreseen is one message and exit code 3."""
    wait_without_spinning()  # here, since the lookup of a command imports it, and PyTorch with it
    try:
        app()
    except Exception as error:
        # A fault of the program shows where it is; so does an error of another library that nobody foresaw.
        if "--verbose" in sys.argv or not isinstance(error, SolfaError | OSError | ImportError):
            traceback.print_exc()
            sys.exit(NOT_DONE)
        from solfa.cli.progress import console

        console.print(f"[bold red]solfa:[/] {type(error).__name__}", highlight=False)
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(NOT_DONE)
