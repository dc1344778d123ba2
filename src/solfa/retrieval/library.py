"""Library: tracks, their vectors and the space of these, in one SQLite file.

A track is known by its path, a vector by the content that it was made of: a file that is moved keeps its
vector, and two copies share one. Every change is a transaction, so a library is whole whatever kills the
program, and several programs may read and write it at once. It must lie on a local disk.
"""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float

from solfa.data.manifest import Track
from solfa.data.prepare import Refused
from solfa.embedding import (
    Copy,
    Embedded,
    Space,
    Stamp,
    Work,
    embed_files,
    find_tracks,
    made_with,
    space_from_values,
)
from solfa.models import AudioEncoder

APPLICATION, SCHEMA_VERSION = 0x736F6C66, 1  # both stand in the header of the file
SCHEMA = """
CREATE TABLE space (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    fields TEXT NOT NULL,            -- JSON object
    made_with TEXT NOT NULL          -- JSON object: versions of what made the first vectors
);
CREATE TABLE tracks (
    path BLOB PRIMARY KEY,           -- as the file system has it: a name need not be text
    content_hash TEXT NOT NULL,      -- SHA-256 of the file's bytes
    n_bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    seconds REAL NOT NULL,
    sample_rate INTEGER NOT NULL,
    n_channels INTEGER NOT NULL,
    decoder TEXT NOT NULL,
    tags TEXT NOT NULL               -- JSON object
);
CREATE INDEX track_contents ON tracks (content_hash);
CREATE TABLE vectors (
    content_hash TEXT PRIMARY KEY,
    vector BLOB NOT NULL             -- float32, little endian
);
"""
SECONDS_TO_WAIT = 60.0  # for another process that writes
CURES = {
    "locked": "Another process has been writing to it for a minute; wait for it to end.",
    "full": "Free some space and run the same command again: what is in it is whole.",
    "readonly": "Check the rights of the file and its folder.",
    "malformed": "Remove it and make it again.",
}


class LibraryError(ValueError):
    """A library that cannot be used; the message names the cure."""


@dataclass
class Changes:
    """What an update did to a library, counted in tracks."""

    n_added: int = 0
    n_changed: int = 0  # other content at a known path
    n_moved: int = 0  # known content at another path
    n_unchanged: int = 0
    n_removed: int = 0
    refused: list[Refused] = field(default_factory=list)


class Library:
    """Tracks and their vectors; use it in a ``with`` statement.

    Args:
        path: the file.
        space: of its vectors, for a new library; what an existing one must have, or anything if None.

    Raises:
        LibraryError: there is no library and no space for a new one, or the file is something else.
        SpaceError: the library holds vectors of another space.
    """

    def __init__(self, path: Path, space: Space | None = None) -> None:
        self.path = path
        if space is None and not path.is_file():
            raise LibraryError(
                f"There is no library {path}. Make one with: solfa index MUSIC --library {path}"
            )
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=SECONDS_TO_WAIT, isolation_level=None)
            try:
                self._open(space)
            except BaseException:
                self._database.close()
                raise

    def __enter__(self) -> "Library":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM tracks")[0][0])

    def tracks(self) -> list[Track]:
        """All tracks, by path."""
        return [_track(row) for row in self._rows("SELECT * FROM tracks ORDER BY path")]

    def vectors(self, tracks: Sequence[Track]) -> Float[np.ndarray, "track dim"]:
        """The vectors of tracks of this library."""
        rows = {hash_: n for n, hash_ in enumerate(dict.fromkeys(track.content_hash for track in tracks))}
        vectors = np.zeros((len(rows), self.space.dim), np.float32)
        with self._explained():
            for content_hash, blob in self._database.execute("SELECT content_hash, vector FROM vectors"):
                if content_hash in rows:
                    vectors[rows[content_hash]] = np.frombuffer(blob, "<f4")
        return vectors[[rows[track.content_hash] for track in tracks]]

    def vector_of(self, content_hash: str) -> Float[np.ndarray, " dim"] | None:
        """The vector of some content, if it is in the library."""
        rows = self._rows("SELECT vector FROM vectors WHERE content_hash = ?", (content_hash,))
        return np.frombuffer(rows[0][0], "<f4").copy() if rows else None

    def find(self, path: Path) -> Track | None:
        """The track at a path, if it is in the library and has not changed since."""
        query = "SELECT * FROM tracks WHERE path = ? AND n_bytes = ? AND modified_ns = ?"
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
            music: folders, files and manifests.
            encoder: the one that the space describes.
            work: how many at once.
            progress: told how many files are done, and the name of the last.

        Raises:
            FileNotFoundError, NoAudioError: a folder is missing or holds no audio; nothing is removed then.
        """
        paths = find_tracks(music)
        before = self._stamps()
        fresh = [path for path in paths if (stamp := _stamp(path)) is None or before.get(path) != stamp]
        changes = Changes(n_unchanged=len(paths) - len(fresh))
        known = {hash_ for (hash_,) in self._rows("SELECT content_hash FROM tracks")}
        added: list[Track] = []
        with closing(embed_files(fresh, encoder, self.space, known=known, work=work)) as outcomes:
            for n_done, outcome in enumerate(outcomes, start=changes.n_unchanged + 1):
                taken = self._take(outcome)
                if isinstance(taken, Refused):
                    changes.refused.append(taken)
                else:
                    added.append(taken)
                if progress:
                    progress(n_done, taken.path.name)
        folders = [folder.absolute() for folder in music if folder.is_dir()]
        gone = self._remove([path for path in before.keys() - set(paths) if _is_in(path, folders)])
        _count(changes, added, before.keys(), gone)
        return changes

    def _open(self, space: Space | None) -> None:
        if space is not None and not self._rows("SELECT * FROM sqlite_master"):
            self._create(space)
            with suppress(sqlite3.OperationalError):  # another process may be at it
                # Readers and a writer no longer wait for each other. Without it the library works, slower.
                self._database.execute("PRAGMA journal_mode = WAL")
        names = ("application_id", "user_version")
        application, version = (self._rows(f"PRAGMA {name}")[0][0] for name in names)
        if application != APPLICATION:
            raise LibraryError(f"{self.path} is a database, but no library of solfa. Give another name.")
        if version != SCHEMA_VERSION:
            raise LibraryError(
                f"{self.path} was made by another version of solfa (layout {version}, this one has "
                f"{SCHEMA_VERSION}). Make it again: solfa index MUSIC --library NEW"
            )
        fields = json.loads(self._rows("SELECT fields FROM space")[0][0])
        self.space = space_from_values(fields, self.path)
        if space is not None:
            self.space.check_same(space, self.path)

    def _create(self, space: Space) -> None:
        """Lay out an empty database, unless another process was quicker."""
        with self._transaction():
            if self._rows("SELECT * FROM sqlite_master"):
                return
            for statement in SCHEMA.split(";"):
                self._database.execute(statement)
            values = json.dumps(asdict(space)), json.dumps(made_with())
            self._database.execute("INSERT INTO space VALUES (1, ?, ?)", values)
            self._database.execute(f"PRAGMA application_id = {APPLICATION}")
            self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _take(self, outcome: Embedded | Copy | Refused) -> Track | Refused:
        match outcome:
            case Embedded():
                return self._add(outcome)
            case Copy():
                return self._add_copy(outcome)
        return outcome

    def _add(self, embedded: Embedded) -> Track:
        track = embedded.source.track
        blob = embedded.vector.numpy().astype("<f4").tobytes()
        with self._transaction():
            self._database.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (track.content_hash, blob))
            self._put(track, embedded.source.stamp)
        return track

    def _add_copy(self, copy: Copy) -> Track | Refused:
        query = "SELECT * FROM tracks WHERE content_hash = ? LIMIT 1"
        with self._transaction():
            rows = self._rows(query, (copy.content_hash,))
            if not rows:
                reason = "another process removed its content meanwhile; run the same command again"
                return Refused(path=copy.path, reason=reason)
            track = replace(_track(rows[0]), path=copy.path)
            self._put(track, copy.stamp)
        return track

    def _put(self, track: Track, stamp: Stamp) -> None:
        values = (
            _bytes(track.path), track.content_hash, stamp.n_bytes, stamp.modified_ns, track.seconds,
            track.sample_rate, track.n_channels, track.decoder, json.dumps(track.tags),
        )  # fmt: skip
        self._database.execute(
            f"INSERT OR REPLACE INTO tracks VALUES ({', '.join('?' * len(values))})", values
        )

    def _remove(self, paths: Sequence[Path]) -> list[str]:
        """Remove tracks, and vectors that nobody needs any more; gives what the tracks contained."""
        query = "DELETE FROM tracks WHERE path = ? RETURNING content_hash"
        with self._transaction():
            gone = [hash_ for path in paths for (hash_,) in self._rows(query, (_bytes(path),))]
            self._database.execute(
                "DELETE FROM vectors WHERE content_hash NOT IN (SELECT content_hash FROM tracks)"
            )
        return gone

    def _stamps(self) -> dict[Path, Stamp]:
        rows = self._rows("SELECT path, n_bytes, modified_ns FROM tracks")
        return {_path(path): Stamp(n_bytes, modified_ns) for path, n_bytes, modified_ns in rows}

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._explained():
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it happens, or none."""
        with self._explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            cure = next((cure for word, cure in CURES.items() if word in str(error)), "Give another name.")
            raise LibraryError(f"{self.path} cannot be used as a library ({error}). {cure}") from error


def _count(changes: Changes, added: Sequence[Track], before: Container[Path], gone: Sequence[str]) -> None:
    """Tell apart what was added, changed, moved and removed."""
    new = Counter(track.content_hash for track in added if track.path not in before)
    changes.n_moved = (new & Counter(gone)).total()
    changes.n_added = new.total() - changes.n_moved
    changes.n_changed = len(added) - new.total()
    changes.n_removed = len(gone) - changes.n_moved


def _track(row: Sequence[Any]) -> Track:
    path, content_hash, _, _, seconds, sample_rate, n_channels, decoder, tags = row
    return Track(
        path=_path(path), seconds=seconds, sample_rate=sample_rate, n_channels=n_channels,
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
