"""Songs, albums, artists and playlists as players take them.

Source:
    OpenSubsonic API 1.16.1, responses Child, AlbumID3, ArtistID3 and Playlist:
    https://opensubsonic.netlify.app/docs
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from solfa.data.tags import values_of
from solfa.embedding.outcomes import Stamp
from solfa.retrieval import Library, LibraryTrack
from solfa.retrieval.albums import Album, Artist, Collection, artist_id, artists_of, sorted_as
from solfa.retrieval.playlists import Playlist
from solfa.serving.places import below
from solfa.serving.schemas import media_type, readable

Item = dict[str, Any]
Likes = Mapping[str, float]  # ids of albums and artists that are liked, and since when
NUMBER = re.compile(r"[1-9]\d{0,8}", re.ASCII)


def songs(library: Library, tracks: Sequence[LibraryTrack], collection: Collection) -> list[Item]:
    """Tracks with the album of each, and when they were liked."""
    roots = library.roots()
    liked = {playlist.is_of_likes: playlist.changed for playlist in library.playlists()}.get(True)
    likes = set(library.likes()) if liked else set()
    stamps = library.stamps_of([track.id for track in tracks])
    # The library does not remember when a track was liked: the last change of all likes stands for it.
    return [
        _song(track, roots)
        | (_file(stamps[track.id], track.seconds) if track.id in stamps else {})
        | _shelved(track, collection)
        | ({"starred": moment(liked)} if liked and track.id in likes else {})
        for track in tracks
    ]


def album_item(album: Album, likes: Likes) -> Item:
    """An album, without its songs."""
    item: Item = {
        "id": album.id, "name": readable(album.name), "artist": readable(album.artist),
        "artistId": artist_id(album.artists[0]), "artists": _artists(album.artists),
        "displayArtist": readable(album.artist), "coverArt": album.id, "songCount": len(album.tracks),
        "duration": round(sum(track.seconds for track in album.tracks)), "created": moment(album.changed),
        "sortName": readable(sorted_as(album.name)),
    }  # fmt: skip
    if album.year:
        item["year"] = album.year
    return item | _genres(album.genres) | _since(album.id, likes)


def album_folder(album: Album, likes: Likes) -> Item:
    """An album as a folder, for players that know no albums."""
    item = album_item(album, likes)
    return item | {"isDir": True, "isVideo": False, "title": item["name"], "album": item["name"],
                   "parent": item["artistId"], "mediaType": "album"}  # fmt: skip


def artist_item(artist: Artist, likes: Likes) -> Item:
    """An artist, without the albums. There are no pictures of artists: the first album lends its own."""
    return {
        "id": artist.id, "name": readable(artist.name), "albumCount": len(artist.albums),
        "coverArt": artist.albums[0].id, "sortName": readable(sorted_as(artist.name)),
        **_since(artist.id, likes),
    }  # fmt: skip


def artists_by_letter(artists: Iterable[Artist], likes: Likes) -> list[Item]:
    """All artists below the letters that their names begin with; # where that is none."""
    letters: dict[str, list[Item]] = {}
    for artist in artists:
        first = sorted_as(artist.name)[:1].upper()
        letters.setdefault(first if first.isalpha() else "#", []).append(artist_item(artist, likes))
    return [{"name": letter, "artist": letters[letter]} for letter in sorted(letters)]


def playlist_item(playlist: Playlist, tracks: Sequence[LibraryTrack]) -> Item:
    """A playlist, without its songs. The library does not remember when it was made."""
    changed = moment(playlist.changed)
    return {
        "id": str(playlist.id), "name": readable(playlist.name), "owner": "solfa", "public": True,
        "created": changed, "changed": changed, "songCount": len(tracks),
        "duration": round(sum(track.seconds for track in tracks)),
    }  # fmt: skip


def moment(seconds: float) -> str:
    """A moment in seconds since 1970, as players take it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _song(track: LibraryTrack, roots: Sequence[Path]) -> Item:
    kind = media_type(track.path)
    item: Item = {
        "id": str(track.id), "isDir": False, "isVideo": False, "type": "music", "mediaType": "song",
        "title": readable(track.title), "duration": round(track.seconds), "samplingRate": track.sample_rate,
        "channelCount": track.n_channels, "suffix": readable(track.path.suffix.lower().lstrip(".")),
        "contentType": kind.split(";")[0] or "audio/wav", "path": readable(str(below(track.path, roots))),
    }  # fmt: skip
    for name, tag in (("track", "track"), ("discNumber", "disc"), ("year", "year")):
        if number := NUMBER.match(track.tags.get(tag, "")):
            item[name] = int(number[0])
    return item | _genres(values_of(track.tags.get("genre", "")))


def _file(stamp: Stamp, seconds: float) -> Item:
    """What players show of a file; it was new when it was changed last, as the library knows it."""
    item: Item = {"size": stamp.n_bytes, "created": moment(stamp.modified_ns / 1e9)}
    return item | ({"bitRate": round(8 * stamp.n_bytes / seconds / 1000)} if seconds else {})


def _shelved(track: LibraryTrack, collection: Collection) -> Item:
    """Where a song stands; nothing of one that came just now."""
    names = artists_of(track)
    item: Item = {
        "artist": readable(", ".join(names)), "artistId": artist_id(names[0]), "artists": _artists(names),
        "displayArtist": readable(", ".join(names)),
    }  # fmt: skip
    if (album := collection.album_of.get(track.id)) is None:
        return item
    return item | {
        "album": readable(album.name), "albumId": album.id, "parent": album.id,
        "coverArt": album.id if "album" in track.tags else str(track.id),
        "albumArtists": _artists(album.artists), "displayAlbumArtist": readable(album.artist),
    }  # fmt: skip


def _since(id: str, likes: Likes) -> Item:
    return {"starred": moment(likes[id])} if id in likes else {}


def _artists(names: Sequence[str]) -> list[Item]:
    return [{"id": artist_id(name), "name": readable(name)} for name in names]


def _genres(genres: Sequence[str]) -> Item:
    if not genres:
        return {}
    return {"genre": readable(genres[0]), "genres": [{"name": readable(genre)} for genre in genres]}
