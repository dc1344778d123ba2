"""solfa search and solfa similar: what in a library fits words, tracks and files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from solfa.cli.help import examples
from solfa.cli.options import DeviceOption, JsonOption, OptionalModelOption, ThreadsOption
from solfa.cli.place import LibraryOption, place_of
from solfa.cli.playlists import PrefixOption, RelativeOption, naming
from solfa.cli.reports import (
    shown,
)
from solfa.data.manifest import damage_values
from solfa.retrieval import (
    Answer,
    ExactIndex,
    Filters,
    Index,
    Library,
    LibraryTrack,
    Match,
    Searcher,
    parse_query,
)
from solfa.retrieval.export import write_playlist
from solfa.retrieval.filters import FORMS
from solfa.retrieval.lance import LanceIndex
from solfa.retrieval.playlists import PlaylistError

IndexKind = Literal["exact", "lance"]
NumberOption = Annotated[int, typer.Option("--n", min=1, help="At most so many tracks.")]
FilterOption = Annotated[
    list[str] | None, typer.Option("--filter", metavar="NAME=VALUE", help=f"May be repeated: {FORMS}.")
]
PlaylistOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a playlist besides.")]
IndexOption = Annotated[
    IndexKind,
    typer.Option(help="lance: for more than a million tracks; keeps a folder LIBRARY.lance. Extra 'search'."),
]
CentredOption = Annotated[
    bool, typer.Option("--centred", help="Compare what differs from the library's mean vector.")
]


@examples(
    "solfa search 'calm solo piano' --library music.sqlite",
    "solfa search 'calm piano + choir - drums' --library music.sqlite",
    "solfa search 'calm piano + 0.5 * 12 - loud.mp3' --library music.sqlite --n 20",
    "solfa search 'named: kerberos' --library music.sqlite",
    "solfa search '12@1:35' --library music.sqlite --filter year=1990-1999 --filter artist=bach",
    "solfa search 'music for rain' --library music.sqlite --m3u rain.m3u8",
)
def search(
    query: Annotated[str, typer.Argument(help="Words, or terms joined by + and -; see above.")],
    library: LibraryOption = None,
    n: NumberOption = 10,
    filters: FilterOption = None,
    as_json: JsonOption = False,
    m3u: PlaylistOption = None,
    relative: RelativeOption = False,
    prefix: PrefixOption = None,
    centred: CentredOption = False,
    index: IndexOption = "exact",
    model: OptionalModelOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Find the tracks of a library that fit words, tracks, files or a sum of them.

    A query is words, which takes a library made by a music-text model, or terms with + and - between spaces:
    words, the number of a track (12), its segment at a time (12@1:35), an audio file; each with a weight if
    wanted (0.5 * 12). Words need quotes only where they could be something else: "1999". Printed are how
    well a track fits, its number, the time of the segment that fits best, and the file. A track is strong,
    fair or weak by how far it stands out for this query among other queries; where none is fair, that is
    said, and five are shown. Tracks that the query names are left out. Filters apply first: --n counts what
    passes them.

    Words are looked for in titles, artists, albums and folders, too: what is found there stands first.
    'named: ...' asks for names alone, 'sounds like: ...' for the sound alone.
    """
    chosen, asked = Filters.parse(filters or []), parse_query(query)
    _check_playlist(m3u)
    place = place_of(library)
    with open_searcher(place, lambda: _index(place, index, centred), model, device, threads) as searcher:
        answer = searcher.answer(query, n, chosen)
    _keep(answer, m3u, relative, prefix)
    _show(answer, as_json)
    if not answer.matches and not answer.named and not as_json:
        nothing = "There is nothing else in it." if asked.terms else "No name has these words."
        typer.echo("No track passes the filters." if filters else nothing)


@examples(
    "solfa similar song.mp3 --library music.sqlite",
    "solfa similar song.mp3 --library music.sqlite --n 3 --json",
    "solfa similar --playlist Liked --library music.sqlite",
)
def similar(
    file: Annotated[Path | None, typer.Argument(help="An audio file, in the library or not.")] = None,
    playlist: Annotated[
        str | None, typer.Option(metavar="NAME", help="A playlist in place of a file; Liked: what you like.")
    ] = None,
    library: LibraryOption = None,
    n: NumberOption = 10,
    filters: FilterOption = None,
    as_json: JsonOption = False,
    m3u: PlaylistOption = None,
    relative: RelativeOption = False,
    prefix: PrefixOption = None,
    centred: CentredOption = False,
    index: IndexOption = "exact",
    model: OptionalModelOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
) -> None:
    """Find the tracks of a library that sound most like a file or a playlist.

    A track is strong, fair or weak by how far it stands out among what other tracks find; the time is that
    of the segment that is most like the file. The file itself and copies of it are left out. A file that is
    not in the library is embedded first, by the model that made the library.
    """
    if (file is None) == (playlist is None):
        raise typer.BadParameter("Name a file, or a playlist by --playlist; not both.")
    chosen = Filters.parse(filters or [])
    _check_playlist(m3u)
    place = place_of(library)
    with open_searcher(place, lambda: _index(place, index, centred), model, device, threads) as searcher:
        if file:
            found = searcher.similar_to_file(file, n, chosen)
        else:
            found = searcher.similar_to_all(_ids_of(place, playlist or ""), n, chosen)
    _keep(Answer(matches=found), m3u, relative, prefix)
    _show(Answer(matches=found), as_json)
    if not found and not as_json:
        missing = f"There is nothing else in it. Add tracks: solfa index MUSIC --library {place}"
        typer.echo("No track passes the filters." if filters else missing)


def _ids_of(place: Path, playlist: str) -> list[int]:
    """The numbers of a playlist's tracks. Raises UnknownPlaylistError, and PlaylistError if it has none."""
    with Library(place) as library:
        ids = [track.id for track in library.playlist_tracks(library.playlist(playlist))]
    if not ids:
        raise PlaylistError(f"The playlist {playlist!r:.200} has no tracks in {place.name}.")
    return ids


def open_searcher(
    library: Path,
    index: Callable[[], Index],
    model: str | None,
    device: str,
    threads: int,
    *,
    reads_files: bool = True,
) -> Searcher:
    """The searcher of a library; whether there is one is found out before anything is loaded or made."""
    with Library(library):
        pass
    encoder = None
    if model:
        from solfa.cli.encoders import load_encoder  # brings PyTorch, which few queries need

        encoder = load_encoder(model, device, threads)
    return Searcher(library, encoder, index=index(), reads_files=reads_files)


def _check_playlist(m3u: Path | None) -> None:
    if m3u is not None and (not m3u.name or m3u.is_dir()):
        raise typer.BadParameter(f"--m3u names a file, not a folder ({m3u}). Give one, such as found.m3u8.")


def _index(library: Path, kind: IndexKind, centred: bool) -> Index:
    if kind == "exact":
        return ExactIndex(centred)
    if centred:
        raise typer.BadParameter("--centred takes --index exact: the other keeps vectors as they are.")
    return LanceIndex(library.with_name(f"{library.name}.lance"))


def _keep(answer: Answer, m3u: Path | None, relative: bool, prefix: list[str] | None) -> None:
    if m3u:
        every = [*answer.named, *(match.track for match in answer.matches)]
        tracks = list({track.id: track for track in every}.values())
        write_playlist(tracks, m3u, naming(relative, prefix, m3u, tracks))


def _show(answer: Answer, as_json: bool) -> None:
    if as_json:
        values = {
            "named": [_track_values(track) for track in answer.named],
            "matches": [_values(match) for match in answer.matches],
            "notices": list(answer.notices),
        }
        typer.echo(json.dumps(values, indent=2))
        return
    if answer.named:
        typer.echo("by name")
    for track in answer.named:
        typer.echo(f"{'':6}  {track.id:>4}  {_clock(track.seconds):>11}  {shown(track.path)}{_title(track)}")
    if answer.named and answer.matches:
        typer.echo("by sound")
    for match in answer.matches:
        time, track = f"{_clock(match.start)}-{_clock(match.end)}", match.track
        typer.echo(f"{match.fit or '':6}  {track.id:>4}  {time:>11}  {shown(track.path)}{_title(track)}")
    for notice in answer.notices:
        typer.echo(notice, err=True)


def _values(match: Match) -> dict[str, Any]:
    place = {"fit": match.fit, "stands_out": match.stands_out, "start": match.start, "end": match.end}
    return _track_values(match.track) | place


def _track_values(track: LibraryTrack) -> dict[str, Any]:
    return {
        "id": track.id, "path": str(track.path), "seconds": track.seconds, "tags": track.tags,
        "damage": damage_values(track.damage),
    }  # fmt: skip


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _title(track: LibraryTrack) -> str:
    words = [track.tags[name] for name in ("artist", "title") if name in track.tags]
    title = " - ".join(words)
    return f"  ({title if title.isprintable() else ascii(title)})" if words else ""
