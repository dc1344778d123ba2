"""What is in a library: tracks, vectors, segments and the map, as they are read."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from solfa.data.manifest import Track, absolute, damage_of
from solfa.data.tags import SEPARATOR
from solfa.embedding.outcomes import Stamp
from solfa.embedding.refusals import Refusal
from solfa.retrieval.file import LibraryError, LibraryFile, UnknownTrackError
from solfa.retrieval.filters import FilterError, Filters

COLUMNS = (
    "id, path, content_hash, seconds, sample_rate, n_channels, decoder, damage, "
    "(SELECT json_group_array(json_array(name, number, value)) FROM tags WHERE track = id)"
)
NAME_WEIGHTS = "8, 4, 2, 1"  # of title, artists, album, and folders with the file
MOST = 2**63 - 1  # that SQLite can count
READ_AT_ONCE = 500  # values in one query; SQLite has a limit
FEWEST_OF_ALL = 5_000  # contents from which on reading all rows is quicker than asking for most of them
CHECKED_AT_ONCE = 5_000  # vectors
DAMAGED = (
    "Bring it up to date: solfa index MUSIC embeds anew what is damaged. If that does not help: Remove it "
    "and make it again."
)


@dataclass(frozen=True, kw_only=True)
class LibraryTrack(Track):
    """A track of a library."""

    id: int  # of this track as long as it is in the library, even if its file moves

    @property
    def title(self) -> str:
        """Its tag, or else the name of the file."""
        return self.tags.get("title") or self.path.stem

    @property
    def artist(self) -> str:
        """Its tag; empty if it has none."""
        return self.tags.get("artist", "")


@dataclass(frozen=True, eq=False)
class LibrarySegment:
    """A span of a track of a library."""

    number: int  # from 0
    start: float  # seconds
    end: float
    vector: Float[np.ndarray, " dim"]


class LibraryContents(LibraryFile):
    """Tracks and their vectors; see ``LibraryFile`` for how it is opened."""

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM tracks")[0][0])

    def tracks(
        self, filters: Filters | None = None, *, n: int | None = None, offset: int = 0
    ) -> list[LibraryTrack]:
        """Tracks by folder, and in it by name, or where they have an album by disc and number.

        Args:
            filters: only those that pass; all if None.
            n: at most so many.
            offset: after so many others.
        """
        condition, values = self._condition(filters)
        query = f"SELECT {COLUMNS} FROM tracks WHERE {condition} ORDER BY place, path LIMIT ? OFFSET ?"
        limits = -1 if n is None else min(n, MOST), min(offset, MOST)
        return [to_track(row) for row in self._rows(query, [*values, *limits])]

    def track(self, id: int) -> LibraryTrack:
        """The track of a number. Raises LibraryError if there is none."""
        return self.tracks_of([id])[0]

    def tracks_of(self, ids: Sequence[int]) -> list[LibraryTrack]:
        """The tracks of some numbers, in their order. Raises LibraryError if one is missing."""
        found = {track.id: track for track in self.known_of(ids)}
        if missing := [id for id in ids if id not in found]:
            raise UnknownTrackError(
                f"There is no track {missing[0]} in {self.path.name}. solfa search prints the numbers of "
                "tracks."
            )
        return [found[id] for id in ids]

    def known_of(self, ids: Sequence[int]) -> list[LibraryTrack]:
        """Those of the tracks of some numbers that are there, in any order."""
        possible = [id for id in ids if 0 < id <= MOST]
        return [to_track(row) for row in self._among(f"SELECT {COLUMNS} FROM tracks WHERE id IN", possible)]

    def damaged(self) -> list[LibraryTrack]:
        """Tracks whose files are damaged, by path; what is whole of them was taken."""
        query = f"SELECT {COLUMNS} FROM tracks WHERE damage != '[]' ORDER BY path"
        return [to_track(row) for row in self._rows(query)]

    def ids(self, filters: Filters) -> list[int]:
        """The numbers of the tracks that pass the filters, ascending."""
        condition, values = self._condition(filters)
        return [id for (id,) in self._rows(f"SELECT id FROM tracks WHERE {condition} ORDER BY id", values)]

    def ids_of(self, content_hashes: Sequence[str]) -> list[int]:
        """The numbers of the tracks that contain something."""
        return [id for (id,) in self._among("SELECT id FROM tracks WHERE content_hash IN", content_hashes)]

    def hashes_of(self, ids: Sequence[int]) -> list[str]:
        """What the tracks of some numbers contain, in their order. Raises LibraryError if one is missing."""
        found = dict(self._among("SELECT id, content_hash FROM tracks WHERE id IN", ids))
        if missing := [id for id in ids if id not in found]:
            raise UnknownTrackError(f"There is no track {missing[0]} in {self.path.name}.")
        return [found[id] for id in ids]

    def ids_named(self, expression: str, n: int, filters: Filters | None = None) -> list[int]:
        """At most ``n`` tracks whose names an expression of FTS5 matches, best first."""
        condition, values = self._condition(filters)
        query = (
            "SELECT id FROM names JOIN tracks ON tracks.id = names.rowid "
            f"WHERE names MATCH ? AND {condition} ORDER BY bm25(names, {NAME_WEIGHTS}), id LIMIT ?"
        )
        return [id for (id,) in self._rows(query, [expression, *values, min(n, MOST)])]

    def contents(self) -> list[tuple[int, str]]:
        """Number and content hash of all tracks, by number."""
        return self._rows("SELECT id, content_hash FROM tracks ORDER BY id")

    def shelved(self) -> str:
        """Another text after each change of tracks or their tags; playlists, likes and maps do not matter."""
        digest = hashlib.sha256()
        columns = "id, path, content_hash, modified_ns, n_bytes, tag_reader"
        for rows in self._in_parts(f"SELECT {columns} FROM tracks ORDER BY id"):
            digest.update(repr(rows).encode())
        return digest.hexdigest()

    def changed(self) -> dict[int, float]:
        """When the file of each track was changed last, in seconds since 1970, by its number."""
        return {id: changed / 1e9 for id, changed in self._rows("SELECT id, modified_ns FROM tracks")}

    def stamps_of(self, ids: Sequence[int]) -> dict[int, Stamp]:
        """Size and last change of the files of those tracks that are there, by their numbers."""
        rows = self._among("SELECT id, n_bytes, modified_ns FROM tracks WHERE id IN", ids)
        return {id: Stamp(n_bytes, modified_ns) for id, n_bytes, modified_ns in rows}

    def vectors(self, tracks: Sequence[Track]) -> Float[np.ndarray, "track dim"]:
        """The vectors of tracks of this library."""
        return self.vectors_of([track.content_hash for track in tracks])

    def vectors_of(self, content_hashes: Sequence[str]) -> Float[np.ndarray, "content dim"]:
        """The vectors of contents of this library.

        Raises:
            LibraryError: a content is unknown, or its vector is damaged.
        """
        rows = {hash_: n for n, hash_ in enumerate(dict.fromkeys(content_hashes))}
        vectors = np.zeros((len(rows), self.space.dim), np.float32)
        n_read = 0
        for content_hash, blob in self._blobs_of(rows):
            vectors[rows[content_hash]] = self._numbers(blob, "<f4")
            n_read += 1
        if n_read < len(rows):
            raise LibraryError(f"{self.path} lacks vectors of its tracks. {DAMAGED}")
        if not np.isfinite(vectors).all():
            raise LibraryError(f"{self.path} holds vectors that are not numbers. {DAMAGED}")
        if len(rows) == len(content_hashes):  # in their order already
            return vectors
        return vectors[[rows[hash_] for hash_ in content_hashes]]

    def _blobs_of(self, wanted: Mapping[str, int]) -> Iterator[tuple[Any, ...]]:
        """Content hash and vector of contents, as they are stored."""
        query = "SELECT content_hash, vector FROM vectors"
        if len(wanted) < FEWEST_OF_ALL or 2 * len(wanted) < self._rows("SELECT count(*) FROM vectors")[0][0]:
            yield from self._among(f"{query} WHERE content_hash IN", wanted)
        else:
            yield from (row for rows in self._in_parts(query) for row in rows if row[0] in wanted)

    def vector_of(self, content_hash: str) -> Float[np.ndarray, " dim"] | None:
        """The vector of some content, if it is in the library."""
        rows = self._rows("SELECT vector FROM vectors WHERE content_hash = ?", (content_hash,))
        return self._finite(self._numbers(rows[0][0], "<f4").copy()) if rows else None

    def segments(self, track: Track) -> list[LibrarySegment]:
        """The segments of a track, in the order of time; all of it as one if the library knows none."""
        columns = "number, start, end, length, direction"
        query = f"SELECT {columns} FROM segments WHERE content_hash = ? ORDER BY number"
        rows = self._rows(query, (track.content_hash,))
        if not rows:
            return [LibrarySegment(0, 0.0, track.seconds, self.vectors([track])[0])]
        return [
            LibrarySegment(
                number, start, end, self._finite(length * self._numbers(blob, "<f2").astype(np.float32))
            )
            for number, start, end, length, blob in rows
        ]

    def map(self) -> list[tuple[int, float, float]]:
        """Number, x and y of tracks on the map that was stored last; those that came since are missing."""
        return self._rows("SELECT track, x, y FROM map ORDER BY track")

    def store_map(self, points: Iterable[tuple[int, float, float]]) -> None:
        """Replace the map, unless nothing can be kept here. Points of tracks that have gone are left out."""
        if self.is_read_only:
            return
        with self._transaction():
            self._database.execute("DELETE FROM map")
            query = "INSERT INTO map SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM tracks WHERE id = ?1)"
            self._database.executemany(query, points)

    def at(self, path: Path) -> LibraryTrack | None:
        """The track at a path, if it is in the library; the file is not looked at."""
        rows = self._rows(f"SELECT {COLUMNS} FROM tracks WHERE path = ?", (to_bytes(path),))
        return to_track(rows[0]) if rows else None

    def find(self, path: Path) -> LibraryTrack | None:
        """The track at a path, if it is in the library and has not changed since."""
        query = f"SELECT {COLUMNS} FROM tracks WHERE path = ? AND n_bytes = ? AND modified_ns = ?"
        stamp = to_stamp(path)
        rows = self._rows(query, (to_bytes(path), stamp.n_bytes, stamp.modified_ns)) if stamp else []
        return to_track(rows[0]) if rows else None

    def _condition(self, filters: Filters | None) -> tuple[str, list[Any]]:
        filters = filters or Filters()
        if filters.tags:
            known = {name for (name,) in self._rows("SELECT DISTINCT name FROM tags")} | {"tag"}
            if unknown := [name for name, _ in filters.tags if name not in known]:
                raise FilterError(
                    f"No track of {self.path.name} has a tag {unknown[0]!r:.100}. It has: "
                    f"{', '.join(sorted(known))}."
                )
        return filters.condition()

    def _among(self, query: str, values: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query that ends with IN, for any number of values."""
        wanted = list(values)
        for n in range(0, len(wanted), READ_AT_ONCE):
            part = wanted[n : n + READ_AT_ONCE]
            yield from self._rows(f"{query} ({', '.join('?' * len(part))})", part)

    def _numbers(self, blob: object, dtype: str) -> Float[np.ndarray, " dim"]:
        if not isinstance(blob, bytes) or len(blob) != self.space.dim * np.dtype(dtype).itemsize:
            raise LibraryError(f"{self.path} holds damaged vectors. {DAMAGED}")
        return np.frombuffer(blob, dtype)

    def _finite(self, vector: Float[np.ndarray, " dim"]) -> Float[np.ndarray, " dim"]:
        if not np.isfinite(vector).all():
            raise LibraryError(f"{self.path} holds vectors that are not numbers. {DAMAGED}")
        return vector

    def _whole_contents(self) -> set[str]:
        """Content hashes whose vector and segments are there, as long as they should be, and numbers.

        Contents of the first layout have no segments.
        """
        whole = self._sound("SELECT content_hash, vector, 1.0 FROM vectors", "<f4")[0]
        sound, broken = self._sound("SELECT content_hash, direction, length FROM segments", "<f2")
        return whole & (sound - broken)

    def _sound(self, query: str, dtype: str) -> tuple[set[str], set[str]]:
        """Content hashes that have a sound vector, and those that have another one."""
        n_bytes = self.space.dim * np.dtype(dtype).itemsize
        sound: set[str] = set()
        broken: set[str] = set()
        for rows in self._in_parts(query):
            read = [isinstance(blob, bytes) and len(blob) == n_bytes for _, blob, _ in rows]
            blobs = [row[1] for row, is_read in zip(rows, read, strict=True) if is_read]
            finite = iter(
                np.isfinite(np.frombuffer(b"".join(blobs), dtype).reshape(-1, self.space.dim)).all(1)
            )
            for (content_hash, _, length), is_read in zip(rows, read, strict=True):
                is_sound = is_read and next(finite) and isinstance(length, float) and math.isfinite(length)
                (sound if is_sound else broken).add(content_hash)
        return sound, broken

    def _in_parts(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        with self._explained():
            cursor = self._database.execute(query)
            while rows := cursor.fetchmany(CHECKED_AT_ONCE):
                yield rows

    def refused(self) -> list[Refusal]:
        """Files that updates refused, by path, with what they were like then."""
        rows = self._rows("SELECT path, reason, mark FROM refused ORDER BY path")
        return [Refusal(to_path(path), reason, mark) for path, reason, mark in rows]


def to_track(row: Sequence[Any]) -> LibraryTrack:
    """A row of ``COLUMNS``."""
    id, path, content_hash, seconds, sample_rate, n_channels, decoder, damage, tags = row
    values: dict[str, list[str]] = {}
    for name, _, value in sorted(json.loads(tags)):
        values.setdefault(name, []).append(value)
    return LibraryTrack(
        id=id, path=to_path(path), seconds=seconds, sample_rate=sample_rate, n_channels=n_channels,
        content_hash=content_hash, decoder=decoder, damage=damage_of(json.loads(damage)),
        tags={name: SEPARATOR.join(parts) for name, parts in values.items()},
    )  # fmt: skip


def to_bytes(path: Path) -> bytes:
    """The name of a file as it is stored."""
    return os.fsencode(absolute(path))


def to_path(name: bytes) -> Path:
    """A file by its stored name."""
    return Path(os.fsdecode(name))


def to_stamp(path: Path) -> Stamp | None:
    """The stamp of a file, if there is one."""
    try:
        return Stamp.of(path)
    except Exception:  # the file is refused in its turn
        return None
