"""The SQLite file of a library: opening it, transactions, and errors that name their cure."""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote_from_bytes

from solfa.embedding.space import Space, space_from_values
from solfa.errors import SolfaError
from solfa.retrieval.layout import APPLICATION, SCHEMA_VERSION, lay_out, renew

SECONDS_TO_WAIT = 60.0  # for another process that writes
MS_TO_EMPTY_THE_LOG = 1000
CURES = {
    "locked": "Another process has been writing to it for a minute; wait for it to end.",
    "full": "Free some space and run the same command again: what is in it is whole.",
    "disk I/O": "The disk may be full, or fail: free some space and run the same command again.",
    "readonly": "Check the rights of the file and its folder.",
    "unable to open": "Check the rights of the file and its folder, or give another name.",
    "no such module": "The SQLite of this Python lacks FTS5: take a Python whose SQLite has it.",
    "malformed": "Remove it and make it again.",
}
OF_A_VALUE = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


class LibraryError(SolfaError, ValueError):
    """A library that cannot be used, or a wish that it cannot fulfil; the message names the cure."""


class EmptyLibraryError(LibraryError):
    """A file in which a library was to be, and nothing is: a new one may be made there."""


class UnknownTrackError(LibraryError):
    """There is no track of that number."""


class LibraryFile:
    """An open library; use it in a ``with`` statement, and from one thread at a time.

    Args:
        path: the file. One that may not be written, or lies where nothing may be, can be read.
        space: of its vectors, for a new library; what an existing one must have, or anything if None.
        at_once: make the file of a new library now, and not with the first that is put into it.

    Raises:
        LibraryError: there is no library and no space for a new one, or the file is something else.
        SpaceError: the library holds vectors of another space.
    """

    def __init__(self, path: Path, space: Space | None = None, *, at_once: bool = True) -> None:
        self.path, self.is_read_only = path, False
        self._awaited: Space | None = None  # of a library whose file is not made yet
        self._copied: tuple[int, int] | None = None  # size and time of a file that is read as it was
        if has_library(path):
            with self._explained():
                self._database = self._connected(is_read=space is None)
                self._open_or_close(space)
        elif space is None and not path.is_file():
            raise LibraryError(
                f"There is no library {path}. Make one with: solfa index MUSIC --library {path}"
            )
        elif space is None:
            raise EmptyLibraryError(_empty(path))
        else:
            self._check_place()
            self._database = _connect(":memory:")
            self._awaited = space
            self._open_or_close(space)
            if at_once:
                self._settle()

    def __enter__(self) -> "LibraryFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):  # it may be closed already, or read by others
            if self._database.total_changes:
                # Whatever file is put in the place of this one, SQLite would take the log for a part of it.
                self._database.execute(f"PRAGMA busy_timeout = {MS_TO_EMPTY_THE_LOG}")
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()

    def state(self) -> tuple[int, ...]:
        """Another one after each change that somebody else makes; quick to ask for."""
        try:
            status = self.path.stat()  # the file may have been replaced as a whole
        except OSError as error:
            raise LibraryError(
                f"{self.path} is gone ({error.strerror}). Put it back, or make it again: solfa index"
            ) from None
        if self._copied and self._copied != (status.st_size, status.st_mtime_ns):
            return status.st_dev, -status.st_ino, 0  # another file, as far as this one is concerned
        return status.st_dev, status.st_ino, self._rows("PRAGMA data_version")[0][0]

    def roots(self) -> list[Path]:
        """The folders that hold all tracks: for each first folder on a way, the deepest that they share."""
        roots: list[Path] = []
        separator, start = os.fsencode(os.sep), b""
        while first := self._rows("SELECT min(path) FROM tracks WHERE path >= ?", (start,))[0][0]:
            top = first[: first.find(separator, 1) + 1] or separator
            # What lies below the first folder stands in one row by path, so its ends share what all share.
            end = top[:-1] + bytes([top[-1] + 1]) if top != separator else first + b"\0"
            last = self._rows("SELECT max(path) FROM tracks WHERE path < ?", (end,))[0][0]
            shared = os.path.commonprefix([first, last])  # noqa: RUF071  # letters of both
            roots.append(Path(os.fsdecode(shared[: shared.rfind(separator) + 1])))
            start = end
        return roots

    def _check_place(self) -> None:
        """Refuse a place for a new library where none can be, before anything is computed for it."""
        folder = next(folder for folder in self.path.absolute().parents if folder.exists())
        if self.path.exists() and not self.path.is_file():
            reason = "it is no file"
        elif not folder.is_dir():
            reason = f"{folder} is no folder"
        elif not os.access(folder, os.W_OK):
            reason = f"{folder} may not be written"
        else:
            return
        raise LibraryError(f"{self.path} cannot be used as a library ({reason}). Give another name.")

    def _settle(self) -> None:
        """Make the file of a new library, and its folders; if that fails, nothing of them is left."""
        if self._awaited is None:
            return
        space, memory = self._awaited, self._database
        made = [folder for folder in self.path.absolute().parents if not folder.exists()]
        try:
            with self._explained():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._database = _connect(self.path)
                self._open_or_close(space)
        except BaseException:
            self._database = memory
            with suppress(OSError):
                if not has_library(self.path):
                    self.path.unlink(missing_ok=True)
                for folder in made:
                    folder.rmdir()
            raise
        self._awaited = None
        memory.close()

    def _connected(self, is_read: bool) -> sqlite3.Connection:
        """The database of a file that is there; without the right to write, if it is only read."""
        try:
            database = _asked(_connect(self.path))
            self.is_read_only = not all(os.access(path, os.W_OK) for path in (self.path, self.path.parent))
            return database
        except sqlite3.OperationalError as error:
            if not is_read or "locked" in str(error):
                raise
        self.is_read_only = True
        address = f"file:{quote_from_bytes(os.fsencode(self.path.absolute()))}?mode=ro"
        try:
            return _asked(_connect(address, uri=True))
        except sqlite3.OperationalError:
            journal = self.path.with_name(f"{self.path.name}-wal")
            if journal.exists() and journal.stat().st_size:
                raise LibraryError(
                    f"{self.path} has changes in {journal.name} that only somebody who may write there can "
                    "take in. Ask its owner to open it once, or copy both files to a folder of yours."
                ) from None
        status = self.path.stat()
        self._copied = (status.st_size, status.st_mtime_ns)
        return _asked(_connect(f"{address}&immutable=1", uri=True))  # without files beside it

    def _open_or_close(self, space: Space | None) -> None:
        try:
            self._open(space)
        except BaseException:
            self._database.close()
            raise

    def _open(self, space: Space | None) -> None:
        if not self._rows("SELECT * FROM sqlite_master"):
            if space is None:
                raise EmptyLibraryError(_empty(self.path))
            with self._changing():  # another process may have been quicker
                if not self._rows("SELECT * FROM sqlite_master"):
                    lay_out(self._database, space)
            with suppress(sqlite3.OperationalError):  # another process may be at it
                # Readers and a writer no longer wait for each other. Without it the library works, slower.
                self._database.execute("PRAGMA journal_mode = WAL")
        if self._rows("PRAGMA application_id")[0][0] != APPLICATION:
            raise LibraryError(f"{self.path} is a database, but no library of solfa. Give another name.")
        if 1 <= self._version() < SCHEMA_VERSION:
            self._renew()
        if (version := self._version()) != SCHEMA_VERSION:
            raise LibraryError(
                f"{self.path} was made by another version of solfa (layout {version}, this one has "
                f"{SCHEMA_VERSION}). Make it again: solfa index MUSIC --library NEW"
            )
        self._database.execute("PRAGMA foreign_keys = ON")
        self.space = self._stated_space()
        if space is not None:
            self.space.check_same(space, self.path)

    def _stated_space(self) -> Space:
        """The space that the library states."""
        rows = self._rows("SELECT fields FROM space")
        try:
            values = json.loads(rows[0][0])
        except (IndexError, TypeError, ValueError, RecursionError):
            values = None
        width = values.get("dim") if isinstance(values, dict) else None
        if not isinstance(values, dict) or (width is not None and not _is_width(width)):
            raise LibraryError(
                f"{self.path} is damaged: it does not say how its vectors were made. Remove it and make it "
                "again."
            )
        return space_from_values(values, self.path)

    def _renew(self) -> None:
        """Turn an earlier layout into this one, in memory if the file may not be written."""
        if self.is_read_only:
            status = self.path.stat()
            self._copied = (status.st_size, status.st_mtime_ns)
            file, self._database = self._database, _connect(":memory:")
            file.backup(self._database)
            file.close()
        with self._changing():
            version = self._version()
            if version < SCHEMA_VERSION:  # unless another process was quicker
                renew(self._database, version)

    def _version(self) -> int:
        return int(self._rows("PRAGMA user_version")[0][0])

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
        self._settle()
        with self._changing():
            yield

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.OperationalError):  # a full disk has rolled it back already
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


def has_library(path: Path) -> bool:
    """Whether there is a file with something in it; an empty one is a library that was not begun."""
    return path.is_file() and path.stat().st_size > 0


def known_space(path: Path) -> Space | None:
    """The space of the vectors of a library; None if there is none, or none was begun.

    Raises:
        LibraryError: what is there is no library.
    """
    if not has_library(path):
        return None
    try:
        with LibraryFile(path) as opened:
            return opened.space
    except EmptyLibraryError:
        return None


def is_of_a_value(error: LibraryError) -> bool:
    """Whether an error is about what was to be put in, and not about the library."""
    return isinstance(error.__cause__, OF_A_VALUE)


def _is_width(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _empty(path: Path) -> str:
    return (
        f"The library {path} is empty: what began it was stopped. Fill it with: solfa index MUSIC --library "
        f"{path}, or Give another name."
    )


def _connect(name: Path | str, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        name, timeout=SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False, uri=uri
    )


def _asked(database: sqlite3.Connection) -> sqlite3.Connection:
    """A database that has answered: opening alone does not read it."""
    try:
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        database.close()
        raise
    return database
