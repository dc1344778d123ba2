"""Which library a command means: the one that is named, else that of SOLFA_LIBRARY, else the user's own."""

import os
from pathlib import Path
from typing import Annotated

import typer
from platformdirs import user_data_path

VARIABLE = "SOLFA_LIBRARY"
FILE = "music.sqlite"

LibraryOption = Annotated[
    Path | None,
    typer.Option(
        "--library",
        metavar="FILE",
        help=f"The library: one file. Default: that of {VARIABLE}, else {FILE} in your data folder.",
    ),
]
LibraryArgument = Annotated[Path | None, typer.Argument(metavar="[LIBRARY]", help="As --library.")]


def default_library() -> Path:
    """Where a library is that nobody has named."""
    return user_data_path("solfa", appauthor=False) / FILE


def place_of(*given: Path | None) -> Path:
    """The library that is meant, of what was given as an argument and as an option."""
    named = list(dict.fromkeys(path for path in given if path is not None))
    if len(named) > 1:
        raise typer.BadParameter(f"Two libraries are named: {named[0]} and {named[1]}. Name one.")
    if named:
        return named[0]
    return Path(of_user).expanduser() if (of_user := os.environ.get(VARIABLE)) else default_library()
