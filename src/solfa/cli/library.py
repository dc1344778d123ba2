"""solfa library: what is in a library, and what other programs take from it."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from solfa.cli.contents import add_commands
from solfa.cli.help import examples
from solfa.cli.options import (
    JsonOption,
)
from solfa.cli.place import LibraryArgument, LibraryOption, place_of
from solfa.cli.reports import (
    show_json,
)
from solfa.retrieval import Library, Searcher
from solfa.retrieval.export import export_json, export_parquet
from solfa.retrieval.pictures import draw_map

log = logging.getLogger(__name__)

app = typer.Typer(
    help="What is in a library, its playlists and its map, and what other programs take from it.",
    no_args_is_help=True,
)
add_commands(app)


@app.command()
@examples(
    "solfa library export music.sqlite --out music.jsonl",
    "solfa library export music.sqlite --out music.parquet",
)
def export(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Ends in .jsonl or .parquet.")],
    library: LibraryArgument = None,
    named: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write tracks, tags and vectors for other programs, one row for each track.

    Parquet takes pyarrow: pip install 'solfa[search]'.
    """
    writers = {".jsonl": export_json, ".parquet": export_parquet}
    if out.suffix not in writers:
        raise typer.BadParameter(f"--out ends in .jsonl or .parquet, not {out.name}.")
    with Library(place_of(library, named)) as opened:
        n_tracks = writers[out.suffix](opened, out)
    if as_json:
        show_json({"n_tracks": n_tracks, "out": str(out)})
    else:
        typer.echo(f"{n_tracks} tracks: {out}")


@app.command("map")
@examples("solfa library map music.sqlite", "solfa library map music.sqlite --out map.png")
def make_map(
    library: LibraryArgument = None,
    named: LibraryOption = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it: a .png, .svg or .pdf.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Place all tracks anew.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Place all tracks on a map, so that what sounds alike lies together, and keep it in the library.

    Nothing is computed if no tracks have come since the last time. The picture gives colours to the artists,
    or else the folders, with the most tracks, and names to the points of at most 60 tracks.
    """
    if out and out.suffix not in (".png", ".svg", ".pdf"):
        raise typer.BadParameter(f"--out ends in .png, .svg or .pdf, not {out.name}.")
    place = place_of(library, named)
    with Searcher(place) as searcher:
        points = searcher.map(anew=anew)
        tracks = {track.id: track for track in searcher.tracks()} if out else {}
    drawn = draw_map([(tracks[id], x, y) for id, x, y in points if id in tracks], out) if out else None
    if as_json:
        show_json({"library": str(place), "points": [{"id": id, "x": x, "y": y} for id, x, y in points]})
        return
    typer.echo(f"{len(points)} tracks are on the map of {place}")
    if drawn:
        typer.echo(drawn)
