"""One library into another: tracks with their vectors, sources, playlists and likes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath

from solfa.retrieval.library import Library
from solfa.retrieval.playlists import LIKED, UnknownPlaylistError


@dataclass
class Merged:
    """What a merge has brought into a library."""

    n_tracks: int = 0
    n_known: int = 0  # tracks whose paths the library had already; they stay as they are
    n_playlists: int = 0


def merge_into(library: Library, other: Library, named: Callable[[Path], PurePath] | None = None) -> Merged:
    """Put into a library what another one of the same space holds and it does not.

    Playlists of the same name are joined: tracks that are in it already are not put in twice.

    Args:
        library: changes.
        other: stays as it is.
        named: where the files of the other library lie for this one; at their places if None.

    Raises:
        SpaceError: the other library's vectors are of another space.
    """
    library.space.check_same(other.space, other.path)
    merged = Merged()
    ids: dict[int, int] = {}  # of tracks in the other library -> here
    for track in other.tracks():
        path = Path(named(track.path)) if named else track.path
        known = library.at(path)
        merged.n_known += known is not None
        merged.n_tracks += known is None
        ids[track.id] = (known or library.take(other, track, path)).id
    if liked := other.shelf_likes():
        library.like_shelves(liked)
    library.remember_sources(Path(named(path)) if named else path for path in other.sources())
    for playlist in other.playlists():
        wanted = [ids[track.id] for track in other.playlist_tracks(playlist)]
        merged.n_playlists += 1
        if playlist.name == LIKED:
            library.like(wanted)
            continue
        try:
            before = library.playlist(playlist.name)
        except UnknownPlaylistError:
            library.make_playlist(playlist.name, wanted)
            continue
        there = [track.id for track in library.playlist_tracks(before)]
        library.fill_playlist(before, [*there, *(id for id in wanted if id not in there)])
    return merged
