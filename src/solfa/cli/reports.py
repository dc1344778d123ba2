"""What commands say of files that they did not take, on the screen and as JSON."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from solfa.data.folders import PassedOver
from solfa.data.manifest import Track, damage_values
from solfa.data.refused import Refused

SHOWN = 20  # refused files, and kinds of files passed over, on the screen; the report holds all
EXAMPLES = 3  # of each kind of files passed over


def show_refused(refused: Sequence[Refused]) -> None:
    """The first of the files that could not be used, and why."""
    for bad in refused[:SHOWN]:
        typer.echo(f"refused {shown(bad.path)}: {bad.reason}")
    if len(refused) > SHOWN:
        typer.echo(f"... and {len(refused) - SHOWN} more")


def show_damaged(tracks: Sequence[Track]) -> None:
    """The first of the files that were taken without what is damaged of them."""
    for track in tracks[:SHOWN]:
        typer.echo(f"damaged {shown(track.path)}: taken without {', '.join(map(str, track.damage))}")
    if len(tracks) > SHOWN:
        typer.echo(f"... and {len(tracks) - SHOWN} more")


def damaged_json(tracks: Iterable[Track]) -> list[dict[str, Any]]:
    """Files that were taken without what is damaged of them, as JSON."""
    return [{"path": str(track.path), "damage": damage_values(track.damage)} for track in tracks]


def show_passed_over(passed_over: Sequence[PassedOver]) -> None:
    """Numbers of files of each kind that were left out by their names, with examples."""
    for item in passed_over[:SHOWN]:
        examples = ", ".join(shown(path) for path in list(item.n_at)[:EXAMPLES])
        more = ", ..." if len(item.n_at) > EXAMPLES else ""
        typer.echo(f"passed over {item.n} {item.kind}: {examples}{more}")
    if len(passed_over) > SHOWN:
        n_files = sum(item.n for item in passed_over[SHOWN:])
        typer.echo(f"... and {n_files} files of {len(passed_over) - SHOWN} more kinds; --json names all")


def show_json(values: dict[str, Any]) -> None:
    """Print an object; any name of a file survives."""
    typer.echo(json.dumps(values, indent=2))


def refused_values(refused: Iterable[Refused]) -> list[dict[str, str]]:
    """Refused files as JSON."""
    return [{"path": str(item.path), "reason": item.reason} for item in refused]


def passed_over_values(passed_over: Iterable[PassedOver]) -> list[dict[str, Any]]:
    """Files that were passed over as JSON: all of them, by kind."""
    return [
        {"kind": item.kind, "n": item.n, "paths": [str(path) for path in item.n_at]} for item in passed_over
    ]


def exit_code(n_refused: int, strict: bool) -> int:
    """Of a command that did what it could: refused files are its result, unless somebody wants none."""
    return 1 if strict and n_refused else 0


def shown(path: Path) -> str:
    """A file name on one line of any terminal, relative to where the user is if it is below."""
    here = Path.cwd()
    name = str(path.relative_to(here) if path.is_relative_to(here) else path)
    return name if name.isprintable() else ascii(name)
