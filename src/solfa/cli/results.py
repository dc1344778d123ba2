"""What solfa data prints: hours of manifests, refused files."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from solfa.cli.reports import show_refused
from solfa.data.manifest import Track
from solfa.data.prepare import Refused

results = Console()  # not the progress's: that one is for people, this one may be a pipe


def show_hours(parts: dict[Path, list[Track]]) -> None:
    """A table of manifests with their tracks and hours."""
    table = Table("manifest", "tracks", "hours")
    for path, tracks in parts.items():
        seconds = sum(track.seconds for track in tracks)
        table.add_row(escape(path.name), str(len(tracks)), f"{seconds / 3600:.2f}")
    results.print(table)


def show_refused_of(refused: list[Refused], report: Path) -> None:
    """Refused files, and where all of them stand."""
    show_refused(refused)
    if refused:
        say(f"{len(refused)} files refused; all of them with reasons: {escape(str(report))}")


def say(line: str) -> None:
    """Print a line with markup."""
    results.print(line, highlight=False, soft_wrap=True)
