"""Bytes of a folder, or of an address that fsspec knows: read by ranges, asked for again where that fails.

What is passing (a connection that drops, a server that is busy or slow) is tried again; what stays so is a
StorageError, which ends a run. What is not there is a FileNotFoundError, at once.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from solfa.errors import ArgumentError, SolfaError
from solfa.files import whole_file

log = logging.getLogger(__name__)

PATIENCE = (5.0, 10.0, 20.0, 40.0)  # seconds that each try may take
PAUSE = 0.2  # seconds before the second try; each further pause is twice as long
NO_RIGHTS = (401, 403)  # answers of a web server
EXTRA = "pip install 'solfa[shards]'"

Answer = TypeVar("Answer")


class StorageError(SolfaError, RuntimeError):
    """A storage that does not answer; the message says what it was asked, what came, and the cure."""


class Storage:
    """A folder of the disk, or an address such as ``s3://bucket/music`` or ``https://host/music``.

    Options of an address are those of fsspec's configuration: its files, and variables such as
    ``FSSPEC_S3_ENDPOINT_URL``.

    Args:
        address: the folder, or the address.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    @property
    def folder(self) -> Path | None:
        """The folder of the disk, if it is one."""
        return None if is_far(self.address) else Path(self.address)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes ``start`` to ``stop`` of a file; fewer where it ends.

        Raises:
            FileNotFoundError: it is not there.
            StorageError: the storage does not answer, or does not let us in.
        """

        def read(fs: Any, place: str, seconds: float) -> bytes:
            # Those that work by themselves in the background can be told how long they may take.
            options = {"timeout": seconds} if fs.async_impl else {}
            content: bytes = fs.cat_file(place, start=start or None, end=stop, **options)
            return content

        return self._asked(name, read)

    def write(self, name: str, source: Path) -> None:
        """Copy a file of the disk to ``name``, whole or not at all.

        Raises:
            WriteError: the disk has no room for it.
            StorageError: the storage does not take it.
        """
        if self.folder is not None:
            with whole_file(self.folder / name) as partial:
                source.replace(partial)
            return
        self._asked(name, lambda fs, place, _: fs.put_file(str(source), place))

    def write_bytes(self, name: str, content: bytes) -> None:
        """As ``write``, of bytes."""
        if self.folder is not None:
            with whole_file(self.folder / name) as partial:
                partial.write_bytes(content)
            return
        self._asked(name, lambda fs, place, _: fs.pipe_file(place, content))

    def names(self) -> list[str]:
        """The names of all files that are there, in order."""

        def listed(fs: Any, place: str, _: float) -> list[str]:
            fs.invalidate_cache()
            found: list[str] = fs.ls(place, detail=False) if fs.exists(place) else []
            return sorted(one.rstrip("/").rpartition("/")[2] for one in found)

        return self._asked("", listed)

    def _asked(self, name: str, ask: Callable[[Any, str, float], Answer]) -> Answer:
        """What the storage answers, with some patience."""
        place = f"{self.address}/{name}".rstrip("/")
        for number, seconds in enumerate(PATIENCE):
            if number:
                time.sleep(PAUSE * 2 ** (number - 1))
            try:
                fs, path = _file_system(place)
                return ask(fs, path, seconds)
            except (FileNotFoundError, SolfaError):
                raise
            except Exception as error:  # each library has a class of its own for a broken connection
                if isinstance(error, PermissionError) or getattr(error, "status", 0) in NO_RIGHTS:
                    raise _unanswered(place, 1, error) from error
                failed = error
                log.info("%s: try %d of %d failed (%s).", place, number + 1, len(PATIENCE), _said(error))
        raise _unanswered(place, len(PATIENCE), failed) from failed


def is_far(address: str) -> bool:
    """Whether it is an address rather than a folder of the disk."""
    return "://" in address


def _file_system(place: str) -> tuple[Any, str]:
    """The file system of an address, made anew in a process that was forked, and the path in it."""
    from fsspec.core import url_to_fs

    try:
        fs, path = url_to_fs(place)
    except ImportError as error:
        raise ArgumentError(f"{error} All that shards need: {EXTRA}") from error
    except ValueError as error:
        raise ArgumentError(f"{place} is no address that can be read ({error}).") from error
    return fs, path


def _unanswered(place: str, n_tries: int, error: Exception) -> StorageError:
    times = f"{n_tries} tries" if n_tries > 1 else "one try"
    return StorageError(
        f"{place} cannot be reached ({times}; the last: {_said(error)}). Look after the connection, the "
        "address and the rights, and give the same command again; a training goes on with --resume."
    )


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
