"""Sources of a library: the folders and manifests that updates were given, for the next one."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from solfa.data.manifest import absolute
from solfa.retrieval.contents import LibraryContents, to_bytes, to_path

TABLE = (
    "CREATE TABLE IF NOT EXISTS sources (path BLOB PRIMARY KEY) WITHOUT ROWID"  # made with the first of them
)


class LibrarySources(LibraryContents):
    """Tracks, their vectors, and where they come from; see ``LibraryFile`` for how it is opened."""

    def sources(self) -> list[Path]:
        """The folders and manifests that updates were given, by path."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'sources'"):
            return []
        return [to_path(path) for (path,) in self._rows("SELECT path FROM sources ORDER BY path")]

    def count_in(self, source: Path) -> int:
        """Number of tracks that lie below a folder."""
        separator = os.fsencode(os.sep)
        start = to_bytes(source).rstrip(separator) + separator
        end = start[:-1] + bytes([separator[0] + 1])  # the sign behind the separator
        query = "SELECT count(*) FROM tracks WHERE path >= ? AND path < ?"
        return int(self._rows(query, (start, end))[0][0])

    def remember_sources(self, music: Iterable[Path]) -> None:
        """Remember the folders and manifests among some music; single files are no sources."""
        known = self.sources()
        fresh = [
            path
            for path in dict.fromkeys(absolute(path) for path in music)
            if path not in known and (path.is_dir() or path.suffix == ".jsonl")
        ]
        if fresh and not self.is_read_only:
            with self._transaction():
                self._database.execute(TABLE)
                query = "INSERT OR IGNORE INTO sources VALUES (?)"
                self._database.executemany(query, [(to_bytes(path),) for path in fresh])

    def forget_sources(self, sources: Sequence[Path]) -> int:
        """Forget some sources; gives how many of them were known. Their tracks stay."""
        wanted = {absolute(path) for path in sources}
        known = [path for path in self.sources() if path in wanted]
        if known:
            with self._transaction():
                query = "DELETE FROM sources WHERE path = ?"
                self._database.executemany(query, [(to_bytes(path),) for path in known])
        return len(known)
