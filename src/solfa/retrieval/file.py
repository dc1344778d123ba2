"""The SQLite file of a library: its layout, opening it, transactions, and errors that name their cure."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from solfa.embedding import Space, made_with, space_from_values

APPLICATION, SCHEMA_VERSION = 0x736F6C66, 2  # both stand in the header of the file
SPACE = """
CREATE TABLE space (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    fields TEXT NOT NULL,            -- JSON object
    made_with TEXT NOT NULL          -- JSON object: versions of what made the first vectors
);
CREATE TABLE vectors (
    content_hash TEXT PRIMARY KEY,
    vector BLOB NOT NULL             -- float32, little endian
);
"""
TRACKS = """
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- kept by a file that is moved, and never given again
    path BLOB NOT NULL UNIQUE,       -- as the file system has it: a name need not be text
    content_hash TEXT NOT NULL,      -- SHA-256 of the file's bytes
    n_bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    seconds REAL NOT NULL,
    sample_rate INTEGER NOT NULL,
    n_channels INTEGER NOT NULL,
    decoder TEXT NOT NULL
);
CREATE INDEX track_contents ON tracks (content_hash);
CREATE TABLE tags (
    track INTEGER NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    folded TEXT NOT NULL,            -- the value without its case, to be searched
    PRIMARY KEY (track, name)
) WITHOUT ROWID;
CREATE INDEX tag_names ON tags (name);
CREATE TABLE segments (
    content_hash TEXT NOT NULL,
    number INTEGER NOT NULL,         -- from 0, in the order of time
    start REAL NOT NULL,             -- seconds
    end REAL NOT NULL,
    length REAL NOT NULL,            -- of the vector
    direction BLOB NOT NULL,         -- the vector scaled to length 1, as float16, little endian
    PRIMARY KEY (content_hash, number)
) WITHOUT ROWID;
CREATE TABLE map (
    track INTEGER PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
    x REAL NOT NULL,
    y REAL NOT NULL
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
    """A library that cannot be used, or a wish that it cannot fulfil; the message names the cure."""


class UnknownTrackError(LibraryError):
    """There is no track of that number."""


class LibraryFile:
    """An open library; use it in a ``with`` statement, and from one thread at a time.

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
            self._database = sqlite3.connect(
                path, timeout=SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False
            )
            try:
                self._open(space)
            except BaseException:
                self._database.close()
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def state(self) -> tuple[int, ...]:
        """Another one after each change that somebody else makes; quick to ask for."""
        try:
            status = self.path.stat()  # the file may have been replaced as a whole
        except OSError as error:
            raise LibraryError(
                f"{self.path} is gone ({error.strerror}). Put it back, or make it again: solfa index"
            ) from None
        return status.st_dev, status.st_ino, self._rows("PRAGMA data_version")[0][0]

    def _open(self, space: Space | None) -> None:
        if space is not None and not self._rows("SELECT * FROM sqlite_master"):
            self._create(space)
            with suppress(sqlite3.OperationalError):  # another process may be at it
                # Readers and a writer no longer wait for each other. Without it the library works, slower.
                self._database.execute("PRAGMA journal_mode = WAL")
        if self._rows("PRAGMA application_id")[0][0] != APPLICATION:
            raise LibraryError(f"{self.path} is a database, but no library of solfa. Give another name.")
        if self._version() == 1:
            self._renew()
        if (version := self._version()) != SCHEMA_VERSION:
            raise LibraryError(
                f"{self.path} was made by another version of solfa (layout {version}, this one has "
                f"{SCHEMA_VERSION}). Make it again: solfa index MUSIC --library NEW"
            )
        self._database.execute("PRAGMA foreign_keys = ON")
        fields = json.loads(self._rows("SELECT fields FROM space")[0][0])
        self.space = space_from_values(fields, self.path)
        if space is not None:
            self.space.check_same(space, self.path)

    def _create(self, space: Space) -> None:
        """Lay out an empty database, unless another process was quicker."""
        with self._transaction():
            if self._rows("SELECT * FROM sqlite_master"):
                return
            self._execute_all(SPACE + TRACKS)
            values = json.dumps(asdict(space)), json.dumps(made_with())
            self._database.execute("INSERT INTO space VALUES (1, ?, ?)", values)
            self._database.execute(f"PRAGMA application_id = {APPLICATION}")
            self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _renew(self) -> None:
        """Turn the first layout into this one, unless another process was quicker.

        The first one has no segments: until the next update gives them, a track is its own only segment.
        """
        with self._transaction():
            if self._version() != 1:
                return
            self._execute_all("DROP INDEX track_contents; ALTER TABLE tracks RENAME TO old_tracks;" + TRACKS)
            self._database.execute(
                "INSERT INTO tracks SELECT NULL, path, content_hash, n_bytes, modified_ns, seconds, "
                "sample_rate, n_channels, decoder FROM old_tracks ORDER BY path"
            )
            joined = "SELECT id, tags FROM tracks JOIN old_tracks USING (path)"
            for track, tags in self._rows(joined):
                self._put_tags(track, json.loads(tags))
            self._execute_all(f"DROP TABLE old_tracks; PRAGMA user_version = {SCHEMA_VERSION}")

    def _put_tags(self, track: int, tags: Mapping[str, str]) -> None:
        self._database.execute("DELETE FROM tags WHERE track = ?", (track,))
        rows = [(track, _text(name), _text(value), _text(value).casefold()) for name, value in tags.items()]
        self._database.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)", rows)

    def _version(self) -> int:
        return int(self._rows("PRAGMA user_version")[0][0])

    def _execute_all(self, statements: str) -> None:
        for statement in statements.split(";"):
            self._database.execute(statement)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._explained():
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside is of one moment, whatever others write meanwhile."""
        with self._explained():
            self._database.execute("BEGIN")
            try:
                yield
            finally:
                self._database.execute("COMMIT")

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


def _text(value: str) -> str:
    """What SQLite can keep as text: any tag but for what no reader of tags could show."""
    return value.encode("utf-8", "replace").decode().replace("\0", " ")
