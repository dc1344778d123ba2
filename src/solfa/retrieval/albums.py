"""Albums and artists of a library, by the tags of its tracks, or by folders where these say nothing."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from solfa.data.tags import values_of
from solfa.retrieval.contents import LibraryContents, LibraryTrack
from solfa.retrieval.names import folders_below, has_all, words_of

DISC = re.compile(
    r"(cd|dis[ck]|side|vinyl)[\s_.-]*([0-9]{1,2}|[a-d])\b.*", re.IGNORECASE
)  # a folder of an album
ARTICLE = re.compile(r"^(the|an?|el|la|los|las|le|les|der|die|das)\s+", re.IGNORECASE)
ARTICLES = "The An A El La Los Las Le Les Der Die Das"  # that do not count where artists are sorted
VARIOUS, UNKNOWN = "Various Artists", "Unknown Artist"
NO_ALBUM = "Without an Album"
FIRST_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True, eq=False)
class Album:
    """Tracks that belong together, in their order."""

    id: str  # of the same album as long as its name, and its artist or folder, are as they are
    name: str
    artists: Sequence[str]  # of all of it
    tracks: Sequence[LibraryTrack]
    changed: float  # when the newest of its files was changed, in seconds since 1970

    @property
    def artist(self) -> str:
        """All of its artists as one text."""
        return ", ".join(self.artists)

    @cached_property
    def words(self) -> Sequence[str]:
        """Of its name and its artists, to be searched."""
        return words_of(f"{self.name} {self.artist}")

    @cached_property
    def year(self) -> int | None:
        """The earliest that its tracks state."""
        years = [year for track in self.tracks if (year := year_of(track))]
        return min(years, default=None)

    @cached_property
    def genres(self) -> Sequence[str]:
        """Of its tracks, each once."""
        return list(
            dict.fromkeys(genre for track in self.tracks for genre in values_of(track.tags.get("genre", "")))
        )


@dataclass(frozen=True, eq=False)
class Artist:
    """Somebody whose name stands on albums, or on some of their tracks."""

    id: str
    name: str
    albums: Sequence[Album]  # by year

    @cached_property
    def words(self) -> Sequence[str]:
        """Of the name, to be searched."""
        return words_of(self.name)


class Collection:
    """A library as shelves have it.

    Args:
        library: as it is now.
    """

    def __init__(self, library: LibraryContents) -> None:
        tracks, roots, changed = library.tracks(), library.roots(), library.changed()
        parts: dict[tuple[str, ...], list[LibraryTrack]] = {}
        for track in tracks:
            parts.setdefault(_key(track, roots), []).append(track)
        albums = [_album(key, part, roots, changed) for key, part in parts.items()]
        self.albums: Sequence[Album] = sorted(albums, key=lambda album: (sorted_as(album.name), album.id))
        self.artists: Sequence[Artist] = _artists(self.albums)
        self.album_of: Mapping[int, Album] = {
            track.id: album for album in self.albums for track in album.tracks
        }
        self._albums = {album.id: album for album in self.albums}
        self._artists = {artist.id: artist for artist in self.artists}

    def album(self, id: str) -> Album | None:
        """The album of an id, if there is one."""
        return self._albums.get(id)

    def artist(self, id: str) -> Artist | None:
        """The artist of an id, if there is one."""
        return self._artists.get(id)

    def albums_named(self, text: str) -> list[Album]:
        """Albums whose names, or those of their artists, have all words of a text; all for no words."""
        wanted = words_of(text)
        return [album for album in self.albums if has_all(album.words, wanted)]

    def artists_named(self, text: str) -> list[Artist]:
        """Artists whose names have all words of a text; all for no words."""
        wanted = words_of(text)
        return [artist for artist in self.artists if has_all(artist.words, wanted)]

    @cached_property
    def genres(self) -> Mapping[str, Sequence[LibraryTrack]]:
        """Tracks by their genres, these by name."""
        found: dict[str, list[LibraryTrack]] = {}
        for album in self.albums:
            for track in album.tracks:
                for genre in values_of(track.tags.get("genre", "")):
                    found.setdefault(genre, []).append(track)
        return dict(sorted(found.items(), key=lambda pair: pair[0].casefold()))


def artist_id(name: str) -> str:
    """The id of the artist of a name."""
    return f"ar-{_digest(('artist', name.casefold()))}"


def artists_of(track: LibraryTrack) -> list[str]:
    """The artists of a track; somebody unknown where it has none."""
    return values_of(track.artist) or [UNKNOWN]


def year_of(track: LibraryTrack) -> int | None:
    """The year of a track, if it states one."""
    digits = track.tags.get("year", "").strip()[:4]
    return int(digits) if len(digits) == 4 and digits.isascii() and digits.isdigit() else None


def sorted_as(name: str) -> str:
    """A name as it is sorted: without case, accents and a leading article."""
    letters = unicodedata.normalize("NFKD", name.strip().casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return ARTICLE.sub("", plain, count=1)


def _key(track: LibraryTrack, roots: Sequence[Path]) -> tuple[str, ...]:
    """What tracks of one album share: its name, and who made it or else where it lies."""
    name, artist = track.tags.get("album", "").strip(), track.tags.get("albumartist", "").strip()
    if name and artist:
        return ("made", name.casefold(), artist.casefold())
    return ("lies", name.casefold(), *_folders_of_album(track, roots))


def _folders_of_album(track: LibraryTrack, roots: Sequence[Path]) -> Sequence[str]:
    """The way to the folder of an album, whose discs may have folders of their own below it."""
    folders = list(folders_below(track.path, roots))
    return folders[:-1] if folders and DISC.fullmatch(folders[-1]) else folders


def _album(
    key: tuple[str, ...],
    tracks: Sequence[LibraryTrack],
    roots: Sequence[Path],
    changed: Mapping[int, float],
) -> Album:
    first, folders = tracks[0], _folders_of_album(tracks[0], roots)
    name = first.tags.get("album", "").strip() or (folders[-1] if folders else NO_ALBUM)
    stated = {track.artist.casefold() for track in tracks}
    artists = values_of(first.tags.get("albumartist", "")) or (
        artists_of(first) if len(stated) == 1 else [VARIOUS]
    )
    ordered = sorted(tracks, key=lambda track: (_number(track, "disc"), _number(track, "track")))
    newest = max(changed.get(track.id, 0.0) for track in tracks)
    return Album(f"al-{_digest(key)}", name, artists, ordered, newest)


def _artists(albums: Iterable[Album]) -> list[Artist]:
    """All artists by name, with the albums on which they stand or play."""
    names: dict[str, str] = {}
    found: dict[str, dict[str, Album]] = {}
    for album in albums:
        for name in (*album.artists, *(name for track in album.tracks for name in artists_of(track))):
            id = artist_id(name)
            names.setdefault(id, name)
            found.setdefault(id, {}).setdefault(album.id, album)
    artists = [
        Artist(id, names[id], sorted(of.values(), key=lambda album: (album.year or 0, sorted_as(album.name))))
        for id, of in found.items()
    ]
    return sorted(artists, key=lambda artist: (sorted_as(artist.name), artist.id))


def _number(track: LibraryTrack, tag: str) -> int:
    match = FIRST_NUMBER.match(track.tags.get(tag, "").strip())
    return int(match[0][:9]) if match else 0


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
