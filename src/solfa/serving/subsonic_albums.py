"""What players browse by: artists, albums, genres and pictures.

The ids of artists and albums are made of their names, so that they outlive an update of the library. What a
player may ask besides, and nothing here knows (charts, biographies, bookmarks), is answered as empty.

Source:
    OpenSubsonic API 1.16.1: https://opensubsonic.netlify.app/docs
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from fastapi import Response

from solfa.retrieval import Library, LibraryTrack
from solfa.retrieval.albums import ARTICLES, Album, Artist, Collection, sorted_as, year_of
from solfa.serving.covers import Cover, find_cover
from solfa.serving.schemas import readable
from solfa.serving.state import Desk
from solfa.serving.subsonic_form import GENERIC, NOT_FOUND, Asked, PlayerError, Values
from solfa.serving.subsonic_items import (
    Likes,
    album_folder,
    album_item,
    artist_item,
    artists_by_letter,
    songs,
)

T = TypeVar("T")

MOST_SONGS = 500  # in one answer
MOST_ALBUMS = 500
MOST_TRIED = 3  # tracks of an album, for a picture
FOLDER = 1  # the one folder of music that players see
COVER_AGE = 86_400  # seconds for which a player may keep a picture
PRIVILEGES = ("settingsRole", "coverArtRole", "commentRole", "podcastRole", "shareRole",
              "adminRole", "uploadRole", "jukeboxRole", "videoConversionRole")  # fmt: skip


async def cover_answer(desk: Desk, asked: Asked) -> Response:
    """The picture of a song, an album or an artist. Raises PlayerError if there is none."""
    size = asked.count("size", 0, 10**6) or None
    cover = await desk.run(desk.decoders, lambda: _cover(desk, asked, size))
    headers = {"Cache-Control": f"private, max-age={COVER_AGE}"}
    return Response(cover.data, media_type=cover.media_type, headers=headers)


def shelf_of(desk: Desk, asked: Asked) -> Sequence[LibraryTrack] | None:
    """The tracks of an album or of an artist, if the id of one is given; None for the id of a song."""
    id, collection = asked.text("id"), desk.collection()
    if id.startswith("al-"):
        return album_of(collection, id).tracks
    if id.startswith("ar-"):
        return [track for album in artist_of(collection, id).albums for track in album.tracks]
    return None


def part(asked: Asked, kind: str, found: Sequence[T]) -> Sequence[T]:
    """The part of what was found that a search asks for: ``albumCount`` after ``albumOffset`` others."""
    n, offset = asked.count(f"{kind}Count", 20, MOST_ALBUMS), asked.count(f"{kind}Offset", 0, 10**9)
    return found[offset : offset + n]


def _cover(desk: Desk, asked: Asked, size: int | None) -> Cover:
    tracks = shelf_of(desk, asked)
    if tracks is None:
        tracks = [desk.searcher.track(asked.id())]
    cover = find_cover([track.path for track in tracks[:MOST_TRIED]], size)
    if cover is None:
        raise PlayerError(NOT_FOUND, "There is no picture of it.")
    return cover


def album_of(collection: Collection, id: str) -> Album:
    """The album of an id. Raises PlayerError if there is none."""
    if album := collection.album(id):
        return album
    raise PlayerError(NOT_FOUND, f"There is no album {id!r:.50} here.")


def artist_of(collection: Collection, id: str) -> Artist:
    """The artist of an id. Raises PlayerError if there is none."""
    if artist := collection.artist(id):
        return artist
    raise PlayerError(NOT_FOUND, f"There is no artist {id!r:.50} here.")


def _music_folders(desk: Desk, asked: Asked) -> Values:
    name = readable(desk.searcher.path.stem)
    return {"musicFolders": {"musicFolder": [{"id": FOLDER, "name": name}]}}


def _artists(name: str) -> Callable[[Desk, Asked], Values]:
    def work(desk: Desk, asked: Asked) -> Values:
        collection = desk.collection()
        newest = max((album.changed for album in collection.albums), default=0.0)
        values = {"ignoredArticles": ARTICLES, "index": artists_by_letter(collection.artists, _likes(desk))}
        return {name: values | ({"lastModified": int(1000 * newest)} if name == "indexes" else {})}

    return work


def _artist_of(desk: Desk, asked: Asked) -> Values:
    artist, likes = artist_of(desk.collection(), asked.text("id")), _likes(desk)
    albums = [album_item(album, likes) for album in artist.albums]
    return {"artist": artist_item(artist, likes) | {"album": albums}}


def _album_of(desk: Desk, asked: Asked) -> Values:
    collection = desk.collection()
    album = album_of(collection, asked.text("id"))
    with Library(desk.searcher.path) as library:
        item = album_item(album, library.shelf_likes())
        return {"album": item | {"song": songs(library, album.tracks, collection)}}


def _directory(desk: Desk, asked: Asked) -> Values:
    """An artist as a folder of albums, or an album as one of songs, for players that know folders alone."""
    id, collection = asked.text("id"), desk.collection()
    if id.startswith("ar-"):
        artist, likes = artist_of(collection, id), _likes(desk)
        children = [album_folder(album, likes) for album in artist.albums]
        return {"directory": {"id": id, "name": readable(artist.name), "child": children}}
    album = album_of(collection, id)
    with Library(desk.searcher.path) as library:
        children = songs(library, album.tracks, collection)
    return {"directory": {"id": id, "name": readable(album.name), "child": children}}


def _album_list(name: str) -> Callable[[Desk, Asked], Values]:
    def work(desk: Desk, asked: Asked) -> Values:
        n, offset = asked.count("size", 10, MOST_ALBUMS), asked.count("offset", 0, 10**9)
        likes = _likes(desk)
        albums = _albums_by(asked, desk.collection().albums, likes)[offset : offset + n]
        make = album_item if name == "albumList2" else album_folder
        return {name: {"album": [make(album, likes) for album in albums]}}

    return work


def _likes(desk: Desk) -> Likes:
    with Library(desk.searcher.path) as library:
        return library.shelf_likes()


def _albums_by(asked: Asked, albums: Sequence[Album], likes: Likes) -> Sequence[Album]:
    """Albums as a list of a type has them; nothing where it takes what nobody here remembers."""
    kind = asked.text("type")
    match kind:
        case "alphabeticalByName":
            return albums
        case "alphabeticalByArtist":
            return sorted(albums, key=lambda album: sorted_as(album.artist))
        case "newest":
            return sorted(albums, key=lambda album: -album.changed)
        case "random":
            return random.sample(albums, len(albums))
        case "byYear":
            first, last = asked.count("fromYear", 0, 9999), asked.count("toYear", 9999, 9999)
            least, most = sorted((first, last))
            among = [album for album in albums if album.year and least <= album.year <= most]
            return sorted(among, key=lambda album: album.year or 0, reverse=first > last)
        case "byGenre":
            genre = asked.text("genre").casefold()
            return [album for album in albums if genre in (one.casefold() for one in album.genres)]
        case "starred":
            return sorted(
                (album for album in albums if album.id in likes), key=lambda album: -likes[album.id]
            )
        case "highest" | "frequent" | "recent":
            return []
    raise PlayerError(GENERIC, f"There is no list of albums of the type {kind!r:.50}.")


def _genres(desk: Desk, asked: Asked) -> Values:
    collection = desk.collection()
    return {
        "genres": {
            "genre": [
                {
                    "value": readable(genre), "songCount": len(tracks),
                    "albumCount": len({collection.album_of[track.id].id for track in tracks}),
                }
                for genre, tracks in collection.genres.items()
            ]
        }
    }  # fmt: skip


def _songs_by_genre(desk: Desk, asked: Asked) -> Values:
    collection, wanted = desk.collection(), asked.text("genre").casefold()
    n, offset = asked.count("count", 10, MOST_SONGS), asked.count("offset", 0, 10**9)
    found = [
        track for genre, tracks in collection.genres.items() if genre.casefold() == wanted for track in tracks
    ]
    with Library(desk.searcher.path) as library:
        return {"songsByGenre": {"song": songs(library, found[offset : offset + n], collection)}}


def _random_songs(desk: Desk, asked: Asked) -> Values:
    collection = desk.collection()
    first, last = asked.count("fromYear", 0, 9999), asked.count("toYear", 9999, 9999)
    tracks = [track for album in collection.albums for track in album.tracks]
    if "genre" in asked:
        wanted = asked.text("genre").casefold()
        tracks = [
            track for name, some in collection.genres.items() if name.casefold() == wanted for track in some
        ]
    if "fromYear" in asked or "toYear" in asked:
        tracks = [track for track in tracks if (year := year_of(track)) and first <= year <= last]
    chosen = random.sample(tracks, min(asked.count("size", 10, MOST_SONGS), len(tracks)))
    with Library(desk.searcher.path) as library:
        return {"randomSongs": {"song": songs(library, chosen, collection)}}


def _user(desk: Desk, asked: Asked) -> Values:
    roles = {
        "streamRole": True, "downloadRole": True, "playlistRole": desk.config.lets_players_keep,
        **dict.fromkeys(PRIVILEGES, False),
    }  # fmt: skip
    name = readable(asked.all("username")[0]) if "username" in asked else "solfa"
    return {"user": {"username": name, "scrobblingEnabled": False, **roles, "folder": [FOLDER]}}


def _scan_status(desk: Desk, asked: Asked) -> Values:
    return {"scanStatus": {"scanning": False, "count": desk.searcher.count()}}


def _no_songs(desk: Desk, asked: Asked) -> Values:
    return {"topSongs": {"song": []}}


def _nothing(name: str) -> Callable[[Desk, Asked], Values]:
    return lambda desk, asked: {name: {}} if name else {}


ALBUM_METHODS: dict[str, Callable[[Desk, Asked], Values]] = {
    "getMusicFolders": _music_folders,
    "getIndexes": _artists("indexes"),
    "getArtists": _artists("artists"),
    "getArtist": _artist_of,
    "getAlbum": _album_of,
    "getMusicDirectory": _directory,
    "getAlbumList": _album_list("albumList"),
    "getAlbumList2": _album_list("albumList2"),
    "getGenres": _genres,
    "getSongsByGenre": _songs_by_genre,
    "getRandomSongs": _random_songs,
    "getUser": _user,
    "getScanStatus": _scan_status,
    "getArtistInfo": _nothing("artistInfo"),
    "getArtistInfo2": _nothing("artistInfo2"),
    "getAlbumInfo": _nothing("albumInfo"),
    "getAlbumInfo2": _nothing("albumInfo"),
    "getTopSongs": _no_songs,
    "getNowPlaying": _nothing("nowPlaying"),
    "getBookmarks": _nothing("bookmarks"),
    "getPodcasts": _nothing("podcasts"),
    "getInternetRadioStations": _nothing("internetRadioStations"),
    "scrobble": _nothing(""),
}
