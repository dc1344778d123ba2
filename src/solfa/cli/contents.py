"""What is in a library: solfa library info, roots, refused, remove and merge."""

from pathlib import Path
from typing import Annotated, Any

import typer

from solfa.cli.help import examples
from solfa.cli.journeys import clusters, duplicates
from solfa.cli.options import JsonOption
from solfa.cli.place import LibraryArgument, LibraryOption, place_of
from solfa.cli.playlists import app as playlists
from solfa.cli.reports import show_json, shown
from solfa.data.manifest import absolute
from solfa.retrieval import Library, LibraryTrack
from solfa.retrieval.export import moved
from solfa.retrieval.merging import merge_into

SECONDS_PER_HOUR = 3_600


def add_commands(app: typer.Typer) -> None:
    """Add what tells of a library, and what people keep in it, to the commands of a library."""
    for command in (info, roots, refused, remove, merge, clusters, duplicates):
        app.command()(command)
    app.add_typer(playlists, name="playlists")


@examples("solfa library info", "solfa library info music.sqlite --json")
def info(library: LibraryArgument = None, named: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Tell what is in a library, and by which model."""
    place = place_of(library, named)
    with Library(place) as opened:
        values = _about(opened)
    if as_json:
        show_json(values)
        return
    for name, value in values.items():
        words = ", ".join(map(str, value)) if isinstance(value, list) else value
        typer.echo(f"{name.replace('_', ' '):<12}{'-' if words in ('', None) else words}")


def _about(library: Library) -> dict[str, Any]:
    space, seconds = library.space, sum(track.seconds for track in library.tracks())
    return {
        "library": str(library.path), "tracks": len(library), "hours": round(seconds / SECONDS_PER_HOUR, 2),
        "megabytes": round(library.path.stat().st_size / 1e6, 1),
        "roots": [str(path) for path in library.sources()],
        "refused": len(library.refused()), "damaged": len(library.damaged()),
        "playlists": len([playlist for playlist in library.playlists() if not playlist.is_of_likes]),
        "liked": len(library.likes()), "model": space.model, "layer": space.layer, "pool": space.pool,
        "precision": space.precision, "dim": space.dim, "licence": space.license,
    }  # fmt: skip


@examples("solfa library roots", "solfa library roots --forget ~/Old")
def roots(
    library: LibraryArgument = None,
    named: LibraryOption = None,
    forget: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Remember it no longer; its tracks stay. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell which folders and manifests a library remembers: what solfa index brings up to date by itself."""
    with Library(place_of(library, named)) as opened:
        if forget and opened.forget_sources(forget) < len({absolute(path) for path in forget}):
            raise typer.BadParameter(
                "The library does not remember that. solfa library roots lists what it does."
            )
        known = [(path, opened.count_in(path), path.exists()) for path in opened.sources()]
    if as_json:
        show_json(
            {"roots": [{"path": str(path), "tracks": n, "is_there": there} for path, n, there in known]}
        )
        return
    for path, n_tracks, is_there in known:
        typer.echo(f"{n_tracks:>8} tracks  {shown(path)}{'' if is_there else '  (not there now)'}")
    if not known:
        typer.echo("It remembers none. Name them once: solfa index MUSIC")


@examples("solfa library refused", "solfa library refused --json")
def refused(
    library: LibraryArgument = None, named: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """List the files that could not be used, and why."""
    with Library(place_of(library, named)) as opened:
        found = opened.refused()
    if as_json:
        values = [{"path": str(item.path), "reason": item.reason} for item in found]
        show_json({"refused": values})
        return
    for item in found:
        typer.echo(f"{shown(item.path)}: {item.reason}")
    if not found:
        typer.echo("None was refused.")


@examples("solfa library remove 12 30", "solfa library remove ~/Music/Old")
def remove(
    tracks: Annotated[
        list[str], typer.Argument(metavar="TRACK...", help="Numbers of tracks, files, or folders.")
    ],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove tracks from a library; their files stay.

    A folder is also forgotten as a root. Files below another root come back with the next solfa index.
    """
    with Library(place_of(library)) as opened:
        found = {track.id: track for name in tracks for track in _named(opened, name)}
        n_removed = opened.remove(list(found.values()))
        n_forgotten = opened.forget_sources([Path(name) for name in tracks if not name.isdecimal()])
    if as_json:
        show_json({"removed": n_removed, "roots_forgotten": n_forgotten})
    else:
        typer.echo(f"{n_removed} tracks removed, {n_forgotten} roots forgotten")


def _named(library: Library, name: str) -> list[LibraryTrack]:
    """The tracks that a word means: one by number, one by file, or those below a folder."""
    if name.isdecimal():
        return [library.track(int(name))]
    path = absolute(Path(name).expanduser())
    found = [track for track in library.tracks() if track.path == path or path in track.path.parents]
    if not found and path not in library.sources():
        raise typer.BadParameter(
            f"No track lies at {name!r}. Name a number, a file or a folder of the library."
        )
    return found


@examples(
    "solfa library merge attic.sqlite --library music.sqlite",
    "solfa library merge nas.sqlite --prefix /volume1/music=/mnt/music",
)
def merge(
    others: Annotated[list[Path], typer.Argument(metavar="OTHER...", help="Libraries of the same model.")],
    library: LibraryOption = None,
    prefix: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Where files of the others lie here. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put into a library what others hold: tracks with their vectors, roots, playlists and likes.

    Tracks whose files the library has already stay as they are. Nothing is embedded.
    """
    totals = {"tracks": 0, "known": 0, "playlists": 0}
    with Library(place_of(library)) as opened:
        for path in others:
            with Library(path) as other:
                named = moved(prefix, other.tracks()) if prefix else None
                merged = merge_into(opened, other, named)
            totals["tracks"] += merged.n_tracks
            totals["known"] += merged.n_known
            totals["playlists"] += merged.n_playlists
        n_tracks = len(opened)
    if as_json:
        show_json({"n_tracks": n_tracks, **totals})
    else:
        typer.echo(
            f"{totals['tracks']} tracks and {totals['playlists']} playlists came in, "
            f"{totals['known']} tracks were there already; {n_tracks} in all"
        )
