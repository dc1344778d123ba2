"""Playlists, and likes of tracks, albums and artists: what people keep of a library, in its file.

A track is kept by its content and its path, so that it is found again after its file was moved, or tagged
anew, or left the library and came back.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from solfa.retrieval.contents import LibraryTrack, to_bytes
from solfa.retrieval.file import LibraryError
from solfa.retrieval.layout import storable
from solfa.retrieval.sources import LibrarySources

LIKED = "Liked"  # the playlist of what somebody likes
LONGEST_NAME = 200
TABLES = (  # made with the first that is kept
    """
    CREATE TABLE IF NOT EXISTS playlists (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        changed REAL NOT NULL            -- seconds since 1970
    )""",
    """
    CREATE TABLE IF NOT EXISTS playlist_tracks (
        playlist INTEGER NOT NULL REFERENCES playlists (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,         -- from 0
        content_hash TEXT NOT NULL,
        path BLOB NOT NULL,
        PRIMARY KEY (playlist, number)
    ) WITHOUT ROWID""",
    """
    CREATE TABLE IF NOT EXISTS liked_shelves (
        id TEXT PRIMARY KEY,             -- of an album or an artist, see ``albums``
        since REAL NOT NULL              -- seconds since 1970
    ) WITHOUT ROWID""",
)
# The track of an entry: the same file, or its content elsewhere, or what is at its place by now.
FOUND = """coalesce(
    (SELECT id FROM tracks WHERE path = kept.path AND content_hash = kept.content_hash),
    (SELECT min(id) FROM tracks WHERE content_hash = kept.content_hash),
    (SELECT id FROM tracks WHERE path = kept.path))"""


class PlaylistError(LibraryError):
    """A wish about playlists that cannot be fulfilled; the message names the cure."""


class UnknownPlaylistError(PlaylistError):
    """There is no playlist of that name or number."""


@dataclass(frozen=True, kw_only=True)
class Playlist:
    """A playlist, without its tracks."""

    id: int
    name: str
    n_tracks: int
    changed: float  # seconds since 1970

    @property
    def is_of_likes(self) -> bool:
        """Whether it holds what somebody likes."""
        return self.name == LIKED


class LibraryPlaylists(LibrarySources):
    """Tracks, their vectors, sources, and playlists; see ``LibraryFile`` for how it is opened."""

    def playlists(self) -> list[Playlist]:
        """All playlists: likes first, then by name."""
        if not self._has("playlist_tracks"):
            return []
        rows = self._rows(
            "SELECT id, name, changed, (SELECT count(*) FROM playlist_tracks WHERE playlist = id) "
            "FROM playlists ORDER BY name != ?, name COLLATE NOCASE, name",
            (LIKED,),
        )
        return [
            Playlist(id=id, name=name, changed=changed, n_tracks=n_tracks)
            for id, name, changed, n_tracks in rows
        ]

    def playlist(self, key: int | str) -> Playlist:
        """The playlist of a number or a name. Raises UnknownPlaylistError if there is none."""
        every = self.playlists()
        for playlist in every:
            if key in (playlist.id, playlist.name):
                return playlist
        names = ", ".join(repr(playlist.name) for playlist in every[:20]) or "none yet"
        raise UnknownPlaylistError(f"There is no playlist {key!r:.200} in {self.path.name}. It has: {names}.")

    def playlist_tracks(self, playlist: Playlist) -> list[LibraryTrack]:
        """Those of a playlist's tracks that are in the library, in their order."""
        return self.tracks_of(self._kept_ids(playlist.id))

    def make_playlist(self, name: str, ids: Sequence[int] = ()) -> Playlist:
        """A new playlist of the tracks of some numbers.

        Raises:
            PlaylistError: the name is none, or known already.
            UnknownTrackError: a track is not there.
        """
        named, tracks = _name_of(name), self.tracks_of(ids)
        with self._keeping() as database:
            _refuse_known(database, named, None)
            query = "INSERT INTO playlists (name, changed) VALUES (?, ?)"
            id = database.execute(query, (named, time.time())).lastrowid
            _put_entries(database, id, _entries(tracks))
        return self.playlist(named)

    def rename_playlist(self, playlist: Playlist, name: str) -> Playlist:
        """Give a playlist another name. Raises PlaylistError if that is none, or known already."""
        named = _name_of(name)
        if playlist.is_of_likes or named == LIKED:
            raise PlaylistError(f"{LIKED!r} is the playlist of what is liked, and stays so.")
        with self._keeping() as database:
            _refuse_known(database, named, playlist.id)
            database.execute("UPDATE playlists SET name = ? WHERE id = ?", (named, playlist.id))
        return self.playlist(named)

    def fill_playlist(self, playlist: Playlist, ids: Sequence[int]) -> Playlist:
        """Put other tracks into a playlist; entries whose files are not in the library now stay at its end.

        Raises:
            UnknownTrackError: a track is not there.
        """
        tracks = self.tracks_of(ids)
        with self._keeping() as database:
            missing = database.execute(
                "SELECT content_hash, path FROM playlist_tracks AS kept "
                f"WHERE playlist = ? AND {FOUND} IS NULL ORDER BY number",
                (playlist.id,),
            ).fetchall()
            _put_entries(database, playlist.id, [*_entries(tracks), *missing])
        return self.playlist(playlist.name)

    def remove_playlist(self, playlist: Playlist) -> None:
        """Remove a playlist; its tracks stay in the library."""
        with self._keeping() as database:
            database.execute("DELETE FROM playlists WHERE id = ?", (playlist.id,))

    def likes(self) -> list[int]:
        """Numbers of the tracks that are liked, the newest like last."""
        liked = [playlist for playlist in self.playlists() if playlist.is_of_likes]
        return self._kept_ids(liked[0].id) if liked else []

    def like(self, ids: Sequence[int], *, likes: bool = True) -> list[int]:
        """Like some tracks, or like them no longer; gives the numbers of all that are liked."""
        before = self.likes()
        others = [id for id in before if id not in ids]
        wanted = [*before, *(id for id in dict.fromkeys(ids) if id not in before)] if likes else others
        if wanted != before:
            known = [playlist for playlist in self.playlists() if playlist.is_of_likes]
            if known:
                self.fill_playlist(known[0], wanted)
            else:
                self.make_playlist(LIKED, wanted)
        return wanted

    def shelf_likes(self) -> dict[str, float]:
        """Ids of albums and artists that are liked, and since when: seconds since 1970, the newest last.

        They are those of ``Collection``; one that has left the library is liked again when it comes back.
        """
        if not self._has("liked_shelves"):
            return {}
        return dict(self._rows("SELECT id, since FROM liked_shelves ORDER BY since, id"))

    def like_shelves(self, ids: Iterable[str], *, likes: bool = True) -> None:
        """Like albums and artists as such, or like them no longer; their tracks stay as they are."""
        with self._keeping() as database:
            if likes:
                rows = [(id, time.time()) for id in ids]
                database.executemany("INSERT OR IGNORE INTO liked_shelves VALUES (?, ?)", rows)
            else:
                database.executemany("DELETE FROM liked_shelves WHERE id = ?", [(id,) for id in ids])

    def _kept_ids(self, playlist: int) -> list[int]:
        query = f"SELECT {FOUND} FROM playlist_tracks AS kept WHERE playlist = ? ORDER BY number"
        return [id for (id,) in self._rows(query, (playlist,)) if id is not None]

    def _has(self, table: str) -> bool:
        return bool(self._rows("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)))

    @contextmanager
    def _keeping(self) -> Iterator[sqlite3.Connection]:
        """A transaction in which the tables of playlists are there."""
        with self._transaction():
            for statement in TABLES:
                self._database.execute(statement)
            yield self._database


def _name_of(name: str) -> str:
    """A name as it is kept: on one line, with something to be seen."""
    named = " ".join(storable(name).split())
    if not named or len(named) > LONGEST_NAME:
        raise PlaylistError(f"The name of a playlist has 1 to {LONGEST_NAME} letters, not {len(named)}.")
    return named


def _refuse_known(database: sqlite3.Connection, name: str, but: int | None) -> None:
    if database.execute("SELECT 1 FROM playlists WHERE name = ? AND id IS NOT ?", (name, but)).fetchone():
        raise PlaylistError(f"There is a playlist {name!r} already. Give another name, or add to that one.")


def _entries(tracks: Iterable[LibraryTrack]) -> list[tuple[str, bytes]]:
    return [(track.content_hash, to_bytes(track.path)) for track in tracks]


def _put_entries(
    database: sqlite3.Connection, playlist: int | None, entries: Sequence[tuple[str, bytes]]
) -> None:
    database.execute("DELETE FROM playlist_tracks WHERE playlist = ?", (playlist,))
    rows = [(playlist, number, *entry) for number, entry in enumerate(entries)]
    database.executemany("INSERT INTO playlist_tracks VALUES (?, ?, ?, ?)", rows)
    database.execute("UPDATE playlists SET changed = ? WHERE id = ?", (time.time(), playlist))
