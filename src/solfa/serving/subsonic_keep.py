"""What players keep: playlists, and likes of songs, albums and artists.

Source:
    OpenSubsonic API 1.16.1: https://opensubsonic.netlify.app/docs
"""

from collections.abc import Callable, Sequence

from solfa.retrieval import Library
from solfa.retrieval.playlists import Playlist
from solfa.serving.state import Desk
from solfa.serving.subsonic_albums import album_of, artist_of
from solfa.serving.subsonic_form import GENERIC, MISSING, NOT_ALLOWED, Asked, PlayerError, Values
from solfa.serving.subsonic_items import Item, album_folder, album_item, artist_item, playlist_item, songs

NOTHING_KEPT = (
    "Nothing is kept here. Who keeps the server allows that: over a network by solfa serve --editable "
    "with --password-file"
)


def _check_may_keep(desk: Desk) -> None:
    if not desk.config.lets_players_keep:
        raise PlayerError(NOT_ALLOWED, NOTHING_KEPT)


def _playlists(desk: Desk, asked: Asked) -> Values:
    with Library(desk.searcher.path) as library:
        lines = [playlist_item(known, library.playlist_tracks(known)) for known in library.playlists()]
    return {"playlists": {"playlist": lines}}


def _playlist_of(desk: Desk, asked: Asked) -> Values:
    with Library(desk.searcher.path) as library:
        return {"playlist": _whole(desk, library, library.playlist(asked.id()))}


def _whole(desk: Desk, library: Library, playlist: Playlist) -> Item:
    tracks = library.playlist_tracks(playlist)
    return {**playlist_item(playlist, tracks), "entry": songs(library, tracks, desk.collection())}


def _create_playlist(desk: Desk, asked: Asked) -> Values:
    """A new playlist; or, with the id of one, its songs in the place of those before."""
    _check_may_keep(desk)
    if "playlistId" not in asked and "name" not in asked:
        raise PlayerError(MISSING, "One of the parameters name and playlistId is missing.")
    with Library(desk.searcher.path) as library:
        if "playlistId" in asked:
            known = _renamed(library, library.playlist(asked.id("playlistId")), asked)
            known = library.fill_playlist(known, asked.ids("songId"))
        else:
            known = library.make_playlist(asked.text("name"), asked.ids("songId"))
        return {"playlist": _whole(desk, library, known)}


def _update_playlist(desk: Desk, asked: Asked) -> Values:
    """Another name, songs away by their places as they are before, and further ones at the end."""
    _check_may_keep(desk)
    with Library(desk.searcher.path) as library:
        known = library.playlist(asked.id("playlistId"))
        before = [track.id for track in library.playlist_tracks(known)]
        gone = set(_places(asked, len(before)))
        added = [track.id for track in library.tracks_of(asked.ids("songIdToAdd"))]
        known = _renamed(library, known, asked)
        if gone or added:
            left = [id for place, id in enumerate(before) if place not in gone]
            library.fill_playlist(known, [*left, *added])
    return {}


def _places(asked: Asked, n: int) -> Sequence[int]:
    """Places in a playlist of ``n`` songs, from 0. Raises PlayerError if there is nothing at one."""
    texts = asked.all("songIndexToRemove")
    wrong = [
        text
        for text in texts
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < n)
    ]
    if wrong:
        raise PlayerError(
            GENERIC, f"There is no song at {wrong[0]!r:.50}: the playlist has {n}, counted from 0."
        )
    return [int(text) for text in texts]


def _renamed(library: Library, playlist: Playlist, asked: Asked) -> Playlist:
    if "name" not in asked or asked.text("name") == playlist.name:
        return playlist
    return library.rename_playlist(playlist, asked.text("name"))


def _delete_playlist(desk: Desk, asked: Asked) -> Values:
    _check_may_keep(desk)
    with Library(desk.searcher.path) as library:
        library.remove_playlist(library.playlist(asked.id()))
    return {}


def _starred(name: str) -> Callable[[Desk, Asked], Values]:
    make = album_item if name == "starred2" else album_folder

    def work(desk: Desk, asked: Asked) -> Values:
        collection = desk.collection()
        with Library(desk.searcher.path) as library:
            likes = library.shelf_likes()
            liked = songs(library, library.tracks_of(library.likes()), collection)
        albums = [album for id in likes if (album := collection.album(id))]
        artists = [artist for id in likes if (artist := collection.artist(id))]
        return {
            name: {
                "artist": [artist_item(artist, likes) for artist in artists],
                "album": [make(album, likes) for album in albums],
                "song": liked,
            }
        }

    return work


def _star(likes: bool) -> Callable[[Desk, Asked], Values]:
    def work(desk: Desk, asked: Asked) -> Values:
        _check_may_keep(desk)
        shelves, numbers = _shelves(desk, asked), _numbers(asked)
        with Library(desk.searcher.path) as library:
            tracks = [track.id for track in library.tracks_of(numbers)]
            if tracks:
                library.like(tracks, likes=likes)
            if shelves:
                library.like_shelves(shelves, likes=likes)
        return {}

    return work


def _shelves(desk: Desk, asked: Asked) -> Sequence[str]:
    """Ids of the albums and artists of a request; those who know folders alone send them as ``id``."""
    albums = [*asked.all("albumId"), *(id for id in asked.all("id") if id.startswith("al-"))]
    artists = [*asked.all("artistId"), *(id for id in asked.all("id") if id.startswith("ar-"))]
    if not (albums or artists):
        return []
    collection = desk.collection()
    return [
        *(album_of(collection, id).id for id in albums), *(artist_of(collection, id).id for id in artists)
    ]  # fmt: skip


def _numbers(asked: Asked) -> Sequence[int]:
    """The numbers of the songs of a request. Raises PlayerError if it names nothing at all."""
    if not any(name in asked for name in ("id", "albumId", "artistId")):
        raise PlayerError(MISSING, "One of the parameters id, albumId and artistId is missing.")
    return [asked.number(text) for text in asked.all("id") if not text.startswith(("al-", "ar-"))]


READING_METHODS: dict[str, Callable[[Desk, Asked], Values]] = {
    "getPlaylists": _playlists,
    "getPlaylist": _playlist_of,
    "getStarred": _starred("starred"),
    "getStarred2": _starred("starred2"),
}
KEEPING_METHODS: dict[str, Callable[[Desk, Asked], Values]] = {
    "createPlaylist": _create_playlist,
    "updatePlaylist": _update_playlist,
    "deletePlaylist": _delete_playlist,
    "star": _star(True),
    "unstar": _star(False),
}
