"""solfa path, solfa library clusters and duplicates: ways through a library, its groups, its doubles."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from solfa.cli.help import examples
from solfa.cli.options import JsonOption
from solfa.cli.place import LibraryArgument, LibraryOption, place_of
from solfa.cli.progress import progress
from solfa.cli.reports import show_json, shown
from solfa.retrieval import Library, LibraryTrack, QueryError, Searcher
from solfa.retrieval.duplicates import Duplicate, candidates, find_duplicates, groups
from solfa.retrieval.export import write_playlist
from solfa.retrieval.expression import TrackNumber, parse_terms
from solfa.retrieval.journeys import NamedCluster, clusters_of, path_between, tracks_and_vectors

KINDS = {"copy": "the same file as", "same": "the same recording as", "cut": "a part of"}


@examples(
    "solfa path 12 47 --library music.sqlite",
    "solfa path calm.mp3 loud.mp3 --library music.sqlite --n 20 --m3u evening.m3u8",
)
def path(
    start: Annotated[str, typer.Argument(help="The first track: its number, or its file.")],
    end: Annotated[str, typer.Argument(help="The last track.")],
    library: LibraryOption = None,
    n: Annotated[int, typer.Option("--n", min=0, max=500, help="At most so many tracks between.")] = 8,
    as_json: JsonOption = False,
    m3u: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a playlist besides.")] = None,
) -> None:
    """Find a path of tracks from one to another.

    Each sounds a little more like the last. Of all paths of that length it is the one of the smallest and
    most even steps, by the vectors of whole tracks less the library's mean.
    """
    with Library(place_of(library)) as opened:
        first, last = (_named(opened, text).id for text in (start, end))
        found = [stop.track for stop in path_between(opened, first, last, n)]
    if m3u:
        write_playlist(found, m3u)
    if as_json:
        show_json({"path": [_values(track) for track in found]})
        return
    for track in found:
        typer.echo(_line(track))


@examples(
    "solfa library clusters music.sqlite",
    "solfa library clusters music.sqlite --n 6 --m3u playlists",
)
def clusters(
    library: LibraryArgument = None,
    named: LibraryOption = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, max=500, help="Clusters.", show_default="by size")
    ] = None,
    as_json: JsonOption = False,
    m3u: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write a playlist of each cluster into a folder.")
    ] = None,
) -> None:
    """Divide a library into groups of tracks that sound alike, and name them.

    A name is of the words that fit the group more than the others, where the library's model knows words; of
    the artist or folder with the most tracks where it knows none.
    """
    place = place_of(library, named)
    with Searcher(place) as searcher:
        mulan = searcher.mulan()
    with Library(place) as opened:
        found = clusters_of(opened, mulan, n)
    if m3u:
        _write_playlists(found, m3u)
    if as_json:
        values = [
            {"name": cluster.name, "tracks": [_values(track) for track in cluster.tracks]}
            for cluster in found
        ]
        show_json({"clusters": values})
        return
    for cluster in found:
        typer.echo(f"{len(cluster.tracks):>5}  {cluster.name}")
        for track in cluster.tracks[:3]:
            typer.echo(f"       {_line(track)}")


@examples("solfa library duplicates music.sqlite", "solfa library duplicates music.sqlite --json")
def duplicates(
    library: LibraryArgument = None, named: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """Find recordings that a library has more than once: encoded anew, tagged anew, or cut.

    Tracks that sound alike are read from their files and compared by fingerprints. Nothing is removed.
    """
    with Library(place_of(library, named)) as opened:
        tracks, vectors = tracks_and_vectors(opened)
    n_pairs = len(candidates(vectors, [track.seconds for track in tracks]))
    with progress("comparing", n_pairs) as tell:
        pairs = find_duplicates(tracks, vectors, tell)
    if as_json:
        show_json({"duplicates": [_pair_values(pair) for pair in pairs]})
        return
    for pair in pairs:
        place = f", from {pair.offset:.1f} s on" if pair.kind == "cut" else ""
        typer.echo(_line(pair.second))
        typer.echo(f"      is {KINDS[pair.kind]} ({pair.agreement:.0%} of the fingerprint agrees{place})")
        typer.echo(_line(pair.first))
    sizes = [len(group) for group in groups(pairs)]
    recordings = "1 recording" if len(sizes) == 1 else f"{len(sizes)} recordings"
    typer.echo(f"{sum(sizes)} tracks are {recordings}" if pairs else "No duplicates.")


def _named(library: Library, text: str) -> LibraryTrack:
    """The track that a text names: by its number or its file."""
    meaning = parse_terms(text)[0].meaning
    if isinstance(meaning, TrackNumber):
        return library.track(meaning.id)
    track = library.at(meaning) if isinstance(meaning, Path) else None
    if track is None:
        raise QueryError(
            f"{text!r:.100} is no track of the library. Give its number, as solfa search prints it."
        )
    return track


def _write_playlists(clusters: Sequence[NamedCluster], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, cluster in enumerate(clusters, start=1):
        readable = re.sub(r"[^\w ,-]", "_", cluster.name)
        write_playlist(cluster.tracks, folder / f"{number:02d} {readable}.m3u8")


def _line(track: LibraryTrack) -> str:
    name = " - ".join(word for word in (track.artist, track.tags.get("title", "")) if word)
    seconds = f"{int(track.seconds) // 60}:{int(track.seconds) % 60:02d}"
    title = f"  ({name if name.isprintable() else ascii(name)})" if name else ""
    return f"{track.id:>4}  {seconds:>6}  {shown(track.path)}{title}"


def _values(track: LibraryTrack) -> dict[str, Any]:
    return {"id": track.id, "path": str(track.path), "seconds": track.seconds, "tags": track.tags}


def _pair_values(pair: Duplicate) -> dict[str, Any]:
    return {
        "kind": pair.kind, "first": _values(pair.first), "second": _values(pair.second),
        "agreement": round(pair.agreement, 4), "offset": round(pair.offset, 2),
    }  # fmt: skip
