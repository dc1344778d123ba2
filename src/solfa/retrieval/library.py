"""Library: tracks, their vectors and the space of these, in one SQLite file.

A track is known by its path, a vector by the content that it was made of: a file that is moved keeps its
number and its vectors, and two copies share them. Every change is a transaction, so a library is whole
whatever kills the program, and several programs may read and write it at once. It must lie on a local disk.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from solfa.data.manifest import Track, read_manifest
from solfa.data.prepare import Refused
from solfa.embedding import Copy, Embedded, Stamp, Work, embed_files, find_tracks
from solfa.models import AudioEncoder
from solfa.retrieval.file import LibraryError, LibraryFile, UnknownTrackError
from solfa.retrieval.filters import FilterError, Filters

COLUMNS = (
    "id, path, content_hash, seconds, sample_rate, n_channels, decoder, "
    "(SELECT json_group_object(name, value) FROM tags WHERE track = id)"
)
READ_AT_ONCE = 500  # values in one query; SQLite has a limit
# A content without segments is of the first layout: it is embedded again.
WHOLE = "content_hash IN (SELECT content_hash FROM segments WHERE number = 0)"


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
    """A stretch of a track of a library."""

    number: int  # from 0
    start: float  # seconds
    end: float
    vector: Float[np.ndarray, " dim"]


@dataclass
class Changes:
    """What an update did to a library, counted in tracks."""

    n_added: int = 0
    n_changed: int = 0  # other content at a known path
    n_moved: int = 0  # known content at another path
    n_unchanged: int = 0
    n_removed: int = 0
    refused: list[Refused] = field(default_factory=list)


class Library(LibraryFile):
    """Tracks and their vectors; see ``LibraryFile`` for how it is opened."""

    def __enter__(self) -> "Library":
        return self

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM tracks")[0][0])

    def tracks(
        self, filters: Filters | None = None, *, n: int | None = None, offset: int = 0
    ) -> list[LibraryTrack]:
        """Tracks by path: all or those that pass the filters; at most ``n``, after ``offset`` others."""
        condition, values = self._condition(filters)
        query = f"SELECT {COLUMNS} FROM tracks WHERE {condition} ORDER BY path LIMIT ? OFFSET ?"
        return [_track(row) for row in self._rows(query, [*values, -1 if n is None else n, offset])]

    def track(self, id: int) -> LibraryTrack:
        """The track of a number. Raises LibraryError if there is none."""
        return self.tracks_of([id])[0]

    def tracks_of(self, ids: Sequence[int]) -> list[LibraryTrack]:
        """The tracks of some numbers, in their order. Raises LibraryError if one is missing."""
        rows = self._among(f"SELECT {COLUMNS} FROM tracks WHERE id IN", ids)
        found = {row[0]: _track(row) for row in rows}
        if missing := [id for id in ids if id not in found]:
            raise UnknownTrackError(
                f"There is no track {missing[0]} in {self.path}. solfa search prints the numbers of tracks."
            )
        return [found[id] for id in ids]

    def ids(self, filters: Filters) -> list[int]:
        """The numbers of the tracks that pass the filters, ascending."""
        condition, values = self._condition(filters)
        return [id for (id,) in self._rows(f"SELECT id FROM tracks WHERE {condition} ORDER BY id", values)]

    def ids_of(self, content_hashes: Sequence[str]) -> list[int]:
        """The numbers of the tracks that contain something."""
        return [id for (id,) in self._among("SELECT id FROM tracks WHERE content_hash IN", content_hashes)]

    def contents(self) -> list[tuple[int, str]]:
        """Number and content hash of all tracks, by number."""
        return self._rows("SELECT id, content_hash FROM tracks ORDER BY id")

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
        query = "SELECT content_hash, vector FROM vectors WHERE content_hash IN"
        for content_hash, blob in self._among(query, rows):
            vectors[rows[content_hash]] = self._numbers(blob, "<f4")
            n_read += 1
        if n_read < len(rows):
            raise LibraryError(f"{self.path} lacks vectors of its tracks. Remove it and make it again.")
        if len(rows) == len(content_hashes):  # in their order already
            return vectors
        return vectors[[rows[hash_] for hash_ in content_hashes]]

    def vector_of(self, content_hash: str) -> Float[np.ndarray, " dim"] | None:
        """The vector of some content, if it is in the library."""
        rows = self._rows("SELECT vector FROM vectors WHERE content_hash = ?", (content_hash,))
        return self._numbers(rows[0][0], "<f4").copy() if rows else None

    def segments(self, track: Track) -> list[LibrarySegment]:
        """The segments of a track, in the order of time; all of it as one if the library knows none."""
        columns = "number, start, end, length, direction"
        query = f"SELECT {columns} FROM segments WHERE content_hash = ? ORDER BY number"
        rows = self._rows(query, (track.content_hash,))
        if not rows:
            return [LibrarySegment(0, 0.0, track.seconds, self.vectors([track])[0])]
        return [
            LibrarySegment(number, start, end, length * self._numbers(blob, "<f2").astype(np.float32))
            for number, start, end, length, blob in rows
        ]

    def map(self) -> list[tuple[int, float, float]]:
        """Number, x and y of tracks on the map that was stored last; those that came since are missing."""
        return self._rows("SELECT track, x, y FROM map ORDER BY track")

    def store_map(self, points: Iterable[tuple[int, float, float]]) -> None:
        """Replace the map. Points of tracks that have gone meanwhile are left out."""
        with self._transaction():
            self._database.execute("DELETE FROM map")
            query = "INSERT INTO map SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM tracks WHERE id = ?1)"
            self._database.executemany(query, points)

    def at(self, path: Path) -> LibraryTrack | None:
        """The track at a path, if it is in the library; the file is not looked at."""
        rows = self._rows(f"SELECT {COLUMNS} FROM tracks WHERE path = ?", (_bytes(path),))
        return _track(rows[0]) if rows else None

    def find(self, path: Path) -> LibraryTrack | None:
        """The track at a path, if it is in the library and has not changed since."""
        query = f"SELECT {COLUMNS} FROM tracks WHERE path = ? AND n_bytes = ? AND modified_ns = ?"
        stamp = _stamp(path)
        rows = self._rows(query, (_bytes(path), stamp.n_bytes, stamp.modified_ns)) if stamp else []
        return _track(rows[0]) if rows else None

    def update(
        self,
        music: Sequence[Path],
        encoder: AudioEncoder,
        *,
        work: Work | None = None,
        progress: Callable[[int, str], None] | None = None,
    ) -> Changes:
        """Make the library agree with folders or files: add, renew, follow and remove tracks.

        Only what is new or changed is read. Tracks that lie in one of the folders and are gone from there are
        removed; those elsewhere are left alone. A file that cannot be used is reported; if an earlier content
        of it is in the library, that stays.

        Args:
            music: folders, files and manifests; the tags of a manifest count besides those of the file.
            encoder: the one that the space describes.
            work: how many at once.
            progress: told how many files are done, and the name of the last.

        Raises:
            FileNotFoundError, NoAudioError: a folder is missing or holds no audio; nothing is removed then.
        """
        paths = find_tracks(music)
        folders = [folder.absolute() for folder in music if folder.is_dir()]
        before = self._known()
        unchanged = {path for path, (_, stamp) in before.items() if stamp}
        fresh = [path for path in paths if path not in unchanged or before[path][1] != _stamp(path)]
        changes = Changes(n_unchanged=len(paths) - len(fresh))
        known = {hash_ for (hash_,) in self._rows(f"SELECT content_hash FROM tracks WHERE {WHOLE}")}
        tags = _listed_tags(music)
        added: list[LibraryTrack] = []
        outcomes = embed_files(
            fresh, encoder, self.space, known=known, work=work, tags=lambda path: tags.get(path, {})
        )
        with closing(outcomes):
            for n_done, outcome in enumerate(outcomes, start=changes.n_unchanged + 1):
                taken = self._take(outcome, folders)
                if isinstance(taken, Refused):
                    changes.refused.append(taken)
                else:
                    added.append(taken)
                if progress:
                    progress(n_done, taken.path.name)
        gone = [path for path in before.keys() - set(paths) if _is_in(path, folders)]
        changes.n_removed = self._remove(gone)
        _count(changes, added, before)
        return changes

    def _take(self, outcome: Embedded | Copy | Refused, folders: Sequence[Path]) -> LibraryTrack | Refused:
        match outcome:
            case Embedded():
                return self._add(outcome)
            case Copy():
                return self._add_copy(outcome, folders)
        return outcome

    def _add(self, embedded: Embedded) -> LibraryTrack:
        track = embedded.source.track
        rows = []
        for number, segment in enumerate(embedded.segments):
            vector = segment.vector.numpy()
            length = float(np.linalg.norm(vector))
            direction = (vector / (length or 1.0)).astype("<f2").tobytes()
            rows.append((track.content_hash, number, segment.start, segment.end, length, direction))
        blob = embedded.vector.numpy().astype("<f4").tobytes()
        with self._transaction():
            self._database.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (track.content_hash, blob))
            self._database.executemany("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?)", rows)
            return self._put(track, embedded.source.stamp)

    def _add_copy(self, copy: Copy, folders: Sequence[Path]) -> LibraryTrack | Refused:
        """A further track of a known content; or, if the file of one has gone, that one at its new place."""
        with self._transaction():
            query = f"SELECT {COLUMNS} FROM tracks WHERE content_hash = ? ORDER BY id"
            same = [_track(row) for row in self._rows(query, (copy.content_hash,))]
            if not same:
                reason = "another process removed its content meanwhile; run the same command again"
                return Refused(path=copy.path, reason=reason)
            is_new = not self._rows("SELECT 1 FROM tracks WHERE path = ?", (_bytes(copy.path),))
            for track in same:
                if is_new and _is_in(track.path, folders) and not os.path.lexists(track.path):
                    query = "UPDATE tracks SET path = ? WHERE id = ?"
                    self._database.execute(query, (_bytes(copy.path), track.id))
                    break
            return self._put(replace(same[0], path=copy.path), copy.stamp)

    def _put(self, track: Track, stamp: Stamp) -> LibraryTrack:
        """What is known of the file at a path."""
        values = {
            "path": _bytes(track.path), "content_hash": track.content_hash, "n_bytes": stamp.n_bytes,
            "modified_ns": stamp.modified_ns, "seconds": track.seconds, "sample_rate": track.sample_rate,
            "n_channels": track.n_channels, "decoder": track.decoder,
        }  # fmt: skip
        path, content_hash = values["path"], values["content_hash"]
        self._database.execute(
            "DELETE FROM map WHERE track IN (SELECT id FROM tracks WHERE path = ? AND content_hash != ?)",
            (path, content_hash),
        )
        renewed = ", ".join(f"{name} = excluded.{name}" for name in values)
        query = (
            f"INSERT INTO tracks ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "
            f"ON CONFLICT (path) DO UPDATE SET {renewed} RETURNING id"
        )
        id = self._rows(query, list(values.values()))[0][0]
        self._put_tags(id, track.tags)
        return LibraryTrack(**(vars(track) | {"id": id}))

    def _remove(self, paths: Sequence[Path]) -> int:
        """Remove tracks, and vectors that nobody needs any more; gives how many tracks there were."""
        query = "DELETE FROM tracks WHERE path = ? RETURNING id"
        with self._transaction():
            n_gone = sum(len(self._rows(query, (_bytes(path),))) for path in paths)
            for table in ("vectors", "segments"):
                self._database.execute(
                    f"DELETE FROM {table} WHERE content_hash NOT IN (SELECT content_hash FROM tracks)"
                )
        return n_gone

    def _known(self) -> dict[Path, tuple[int, Stamp | None]]:
        """Number and stamp of each file; no stamp if its segments are missing."""
        rows = self._rows(f"SELECT path, id, n_bytes, modified_ns, {WHOLE} FROM tracks")
        return {
            _path(path): (id, Stamp(n_bytes, modified_ns) if is_whole else None)
            for path, id, n_bytes, modified_ns, is_whole in rows
        }

    def _condition(self, filters: Filters | None) -> tuple[str, list[Any]]:
        filters = filters or Filters()
        if filters.tags:
            known = {name for (name,) in self._rows("SELECT DISTINCT name FROM tags")} | {"tag"}
            if unknown := [name for name, _ in filters.tags if name not in known]:
                raise FilterError(
                    f"No track of {self.path} has a tag {unknown[0]!r}. It has: {', '.join(sorted(known))}."
                )
        return filters.condition()

    def _among(self, query: str, values: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query that ends with IN, for any number of values."""
        wanted = list(values)
        for n in range(0, len(wanted), READ_AT_ONCE):
            part = wanted[n : n + READ_AT_ONCE]
            yield from self._rows(f"{query} ({', '.join('?' * len(part))})", part)

    def _numbers(self, blob: bytes, dtype: str) -> Float[np.ndarray, " dim"]:
        if len(blob) != self.space.dim * np.dtype(dtype).itemsize:
            raise LibraryError(f"{self.path} holds damaged vectors. Remove it and make it again.")
        return np.frombuffer(blob, dtype)


def _count(
    changes: Changes, added: Sequence[LibraryTrack], before: Mapping[Path, tuple[int, Stamp | None]]
) -> None:
    """Tell apart what was added, changed and moved."""
    ids = {id for id, _ in before.values()}
    new = [track for track in added if track.path not in before]
    changes.n_moved = sum(track.id in ids for track in new)
    changes.n_added = len(new) - changes.n_moved
    changes.n_changed = len(added) - len(new)


def _listed_tags(music: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """Tags that manifests give to their tracks."""
    manifests = [path for path in music if path.suffix == ".jsonl" and path.is_file()]
    return {track.path: track.tags for path in manifests for track in read_manifest(path)}


def _track(row: Sequence[Any]) -> LibraryTrack:
    id, path, content_hash, seconds, sample_rate, n_channels, decoder, tags = row
    return LibraryTrack(
        id=id, path=_path(path), seconds=seconds, sample_rate=sample_rate, n_channels=n_channels,
        content_hash=content_hash, tags=json.loads(tags), decoder=decoder,
    )  # fmt: skip


def _bytes(path: Path) -> bytes:
    return os.fsencode(path.absolute())


def _path(name: bytes) -> Path:
    return Path(os.fsdecode(name))


def _stamp(path: Path) -> Stamp | None:
    try:
        return Stamp.of(path)
    except OSError:
        return None


def _is_in(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
