"""LiveLibrary: a library that stays open while others fill, replace or rewrite its file."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from solfa.embedding.space import Space
from solfa.retrieval.library import Library

Seen = tuple[int, ...]


class LiveLibrary:
    """The library at a path, as it is whenever somebody asks. For several threads.

    Raises:
        LibraryError: there is no library, or it is damaged; likewise later, as long as it is so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_opened = 1  # how many times
        self.n_spaces = 1  # that the library has had; who computed something for one asks whether it still is
        self._seen = _seen(path)  # what was known of the file when it was opened
        self._library = Library(path)
        self._lock = threading.RLock()

    @property
    def space(self) -> Space:
        """Of the library's vectors."""
        return self._library.space

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._library.close()

    @contextmanager
    def open(self) -> Iterator[Library]:
        """The library, for one thread; what takes long is not for here, since all others wait."""
        with self._lock:
            seen = _seen(self.path)
            if seen is not None and seen != self._seen:
                self._open_again(seen)
            self._library.state()  # says it if the file is gone
            yield self._library

    @contextmanager
    def read(self) -> Iterator[Library]:
        """As ``open``; all that is read inside is of one moment, whatever other processes write."""
        with self.open() as library, library.snapshot():
            yield library

    def version(self) -> tuple[int, ...]:
        """Another one after each change that somebody else makes; quick to ask for."""
        with self.open() as library:
            return (self.n_opened, *library.state())

    def _open_again(self, seen: Seen) -> None:
        """Follow a file that was replaced or rewritten; should that fail, the next who asks tries again."""
        space = self.space
        self._library.close()
        self._seen = None
        self._library = Library(self.path)
        self._seen = seen
        self.n_opened += 1
        self.n_spaces += self.space != space


def _seen(path: Path) -> Seen | None:
    """What tells a file from another one in its place, and from itself rewritten; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
