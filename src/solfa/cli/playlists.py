"""solfa library playlists: what people keep of a library, for the page and for other players."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from solfa.cli.help import examples
from solfa.cli.options import JsonOption
from solfa.cli.place import LibraryArgument, LibraryOption, place_of
from solfa.cli.reports import show_json, shown
from solfa.retrieval import Library, LibraryTrack
from solfa.retrieval.export import Named, moved, relative_to, write_playlist
from solfa.retrieval.playlists import LIKED, Playlist

app = typer.Typer(help="Playlists and likes, which are kept in the library.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help=f"Of a playlist; {LIKED} for what is liked.")
]
TracksArgument = Annotated[list[int], typer.Argument(metavar="TRACK...", help="Numbers of tracks.")]
RelativeOption = Annotated[
    bool,
    typer.Option("--relative", help="Paths from the folder of the playlist on, so that both can be moved."),
]
PrefixOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OLD=NEW", help="A folder here, and the same one on another machine. May be repeated."
    ),
]
UNSUITED = re.compile(r"[^\w .-]+")  # for the name of a file


@app.command("list")
@examples("solfa library playlists list")
def list_all(
    library: LibraryArgument = None, named: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """List the playlists."""
    with Library(place_of(library, named)) as opened:
        found = opened.playlists()
    if as_json:
        show_json({"playlists": [_values(playlist) for playlist in found]})
        return
    for playlist in found:
        typer.echo(f"{playlist.n_tracks:>6} tracks  {playlist.name}")
    if not found:
        typer.echo("There are none yet. Make one: solfa library playlists make NAME TRACK...")


@app.command()
@examples("solfa library playlists show 'rainy evening'", f"solfa library playlists show {LIKED} --json")
def show(name: NameArgument, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List the tracks of a playlist."""
    with Library(place_of(library)) as opened:
        playlist = opened.playlist(name)
        tracks = opened.playlist_tracks(playlist)
    n_missing = playlist.n_tracks - len(tracks)
    if as_json:
        values = [{"id": track.id, "path": str(track.path), "title": track.title} for track in tracks]
        show_json({**_values(playlist), "n_missing": n_missing, "tracks": values})
        return
    for track in tracks:
        typer.echo(f"{track.id:>6}  {shown(track.path)}")
    if n_missing:
        typer.echo(f"{n_missing} more have left the library; solfa index brings them back with their files.")


@app.command()
@examples("solfa library playlists make 'rainy evening' 12 30 7")
def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the new playlist.")],
    tracks: TracksArgument,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep some tracks as a playlist, in their order."""
    with Library(place_of(library)) as opened:
        _tell(opened.make_playlist(name, tracks), as_json)


@app.command()
@examples("solfa library playlists add 'rainy evening' 41", f"solfa library playlists add {LIKED} 12")
def add(
    name: NameArgument, tracks: TracksArgument, library: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """Add tracks at the end of a playlist; to what is liked, those that are not liked yet."""
    with Library(place_of(library)) as opened:
        if name == LIKED:
            opened.like(tracks)
            playlist = opened.playlist(LIKED)
        else:
            playlist = opened.playlist(name)
            before = [track.id for track in opened.playlist_tracks(playlist)]
            playlist = opened.fill_playlist(playlist, [*before, *tracks])
    _tell(playlist, as_json)


@app.command()
@examples("solfa library playlists take 'rainy evening' 41")
def take(
    name: NameArgument, tracks: TracksArgument, library: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """Take tracks out of a playlist."""
    with Library(place_of(library)) as opened:
        playlist = opened.playlist(name)
        ids = [track.id for track in opened.playlist_tracks(playlist)]
        _tell(opened.fill_playlist(playlist, [id for id in ids if id not in tracks]), as_json)


@app.command()
@examples("solfa library playlists rename 'rainy evening' 'rainy night'")
def rename(
    name: NameArgument,
    new: Annotated[str, typer.Argument(metavar="NEW")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a playlist another name."""
    with Library(place_of(library)) as opened:
        _tell(opened.rename_playlist(opened.playlist(name), new), as_json)


@app.command()
@examples("solfa library playlists remove 'rainy evening'")
def remove(name: NameArgument, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Remove a playlist; its tracks stay in the library."""
    with Library(place_of(library)) as opened:
        playlist = opened.playlist(name)
        opened.remove_playlist(playlist)
    if as_json:
        show_json({"removed": playlist.name})
    else:
        typer.echo(f"{playlist.name}: removed")


@app.command()
@examples(
    "solfa library playlists export 'rainy evening' --out rain.m3u8 --relative",
    "solfa library playlists export --all --out playlists --prefix ~/Music=/mnt/music",
)
def export(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Of a playlist.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: NAME.m3u8 here; of --all a folder.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All playlists, a file for each.")] = False,
    relative: RelativeOption = False,
    prefix: PrefixOption = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write playlists for other programs, as extended M3U in UTF-8."""
    if every == (name is not None):
        raise typer.BadParameter("Name a playlist, or say --all.")
    written = []
    with Library(place_of(library)) as opened:
        for playlist in opened.playlists() if every else [opened.playlist(name or "")]:
            file = f"{UNSUITED.sub(' ', playlist.name).strip() or playlist.id}.m3u8"
            target = (out or Path()) / file if every else out or Path(file)
            tracks = opened.playlist_tracks(playlist)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_playlist(tracks, target, naming(relative, prefix, target, tracks))
            written.append({"name": playlist.name, "n_tracks": len(tracks), "out": str(target)})
    if as_json:
        show_json({"written": written})
        return
    for item in written:
        typer.echo(f"{item['n_tracks']} tracks: {item['out']}")


def naming(
    relative: bool, prefix: Sequence[str] | None, out: Path, tracks: Sequence[LibraryTrack]
) -> Named | None:
    """How a playlist names its files, by the options of a command; absolute paths if they say nothing."""
    if relative and prefix:
        raise typer.BadParameter("--relative and --prefix exclude each other. Give one of them.")
    if relative:
        return relative_to(out.parent)
    return moved(prefix, tracks) if prefix and tracks else None


def _values(playlist: Playlist) -> dict[str, Any]:
    return {
        "id": playlist.id,
        "name": playlist.name,
        "n_tracks": playlist.n_tracks,
        "is_of_likes": playlist.is_of_likes,
    }


def _tell(playlist: Playlist, as_json: bool) -> None:
    if as_json:
        show_json(_values(playlist))
    else:
        typer.echo(f"{playlist.name}: {playlist.n_tracks} tracks")
