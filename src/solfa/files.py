"""Files and folders written whole or not at all, their sums, and the lock of a folder.

What is written goes beside its place, is flushed to the disk and then renamed: a file or folder that has its
name is whole, whatever ended the program and whenever. Where the disk is full, nothing is left behind.
"""

import errno
import hashlib
import itertools
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from solfa.errors import SolfaError

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

PARTIAL, LOCK, SUMS = ".partial", ".lock", "SHA256SUMS"
SUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
LONGEST_NAME = 40  # letters of a name that its unfinished copy repeats: names end at 255 bytes
_numbers = itertools.count()


class WriteError(SolfaError, OSError):
    """A file or folder that cannot be written; the message names it, what is left of it, and the cure."""


# --- writing ------------------------------------------------------------------------------------------------


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a path to write to; what was written there takes the place of ``path`` once it is on the disk.

    Folders above are made. A link is followed. A pipe or a device is written to as it is.

    Raises:
        WriteError: the disk is full or does not take the file; ``path`` is as it was.
    """
    if path.is_dir():
        raise WriteError(f"{path} is a folder, and a file is to be written. Give another name.")
    if path.exists() and not path.is_file():
        yield path
        return
    target = path.resolve() if path.is_symlink() else path
    with _beside(path, target) as partial:
        yield partial
        flush(partial)
        with suppress(OSError):  # a new file, or a disk without rights
            shutil.copymode(target, partial)
        partial.replace(target)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives a new folder to fill; it takes the place of ``path`` once all of it is on the disk.

    Where there is a folder already, the files of the new one replace those of their names, and others stay.

    Raises:
        WriteError: the disk is full or does not take the files; ``path`` is as it was.
    """
    target = path.resolve()
    with _beside(path, target, is_inside=target.is_dir()) as partial:
        partial.mkdir()
        yield partial
        for written in [*partial.rglob("*"), partial]:
            flush(written)
        if not target.is_dir():
            partial.replace(target)
            return
        for source in sorted(partial.rglob("*")):
            if source.is_file():
                place = target / source.relative_to(partial)
                place.parent.mkdir(parents=True, exist_ok=True)
                source.replace(place)
        shutil.rmtree(partial)


@contextmanager
def _beside(path: Path, target: Path, is_inside: bool = False) -> Iterator[Path]:
    """A path on the disk of ``target`` that is gone afterwards, whatever happens; errors name ``path``."""
    name = f".{target.name[:LONGEST_NAME]}.{os.getpid()}-{next(_numbers)}{PARTIAL}"
    partial = target / name if is_inside else target.with_name(name)
    folder = partial.parent
    made: list[Path] = []
    try:
        made = _make_folder(folder)
        yield partial
        flush(folder)
    except BaseException as error:
        _remove(partial)
        _remove_folders(made)
        if isinstance(error, OSError) and not isinstance(error, WriteError) and _is_of(error, partial):
            raise WriteError(not_written(path, error)) from error
        raise


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder; gives those that were not there, the inner ones first."""
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return made


def _remove_folders(made: list[Path]) -> None:
    """Remove folders that were made, unless something is in them."""
    with suppress(OSError):
        for folder in made:
            folder.rmdir()


def not_written(path: Path, error: BaseException) -> str:
    """Why a file could not be written, what became of it, and what to do."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    left = "it is as it was" if path.exists() else "nothing of it is left"
    return (
        f"{path} could not be written ({reason}); {left}. Free some space, or check the rights of "
        f"{path.absolute().parent}, and try again."
    )


def _is_of(error: OSError, partial: Path) -> bool:
    """Whether an error is of what is written, and not of a file that is read meanwhile."""
    if not isinstance(error.filename, str | bytes):
        return True
    named = Path(os.fsdecode(error.filename))
    return named == partial or partial in named.parents or named in partial.parents


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; nothing is written where nothing would change.

    Raises:
        WriteError: see ``whole_file``.
    """
    if _holds(path, content):
        return
    with whole_file(path) as partial:
        partial.write_bytes(content)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def write_text(path: Path, text: str) -> None:
    """As ``write_bytes``, in UTF-8; names of files that are no text survive."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_array(path: Path, array: "np.ndarray") -> None:
    """Write a ``.npy`` file whole or not at all.

    Raises:
        WriteError: see ``whole_file``.
    """
    import numpy as np

    with whole_file(path) as partial, partial.open("wb") as file:
        array = np.ascontiguousarray(array)
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)  # and not by np.save, whose errors do not say what happened


def append_text(path: Path, text: str) -> None:
    """Add to a file; on the disk when this returns, and not there in part when it fails.

    Raises:
        WriteError: the disk is full or does not take it.
    """
    content = memoryview(text.encode("utf-8", "surrogateescape"))
    try:
        # Without a buffer, which would try once more to write what did not fit when the file is closed.
        with path.open("ab", buffering=0) as file:
            before = os.fstat(file.fileno()).st_size
            try:
                while content:
                    content = content[file.write(content) or 0 :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # else what comes next would be joined to half a line
                    file.truncate(before)
                raise
    except OSError as error:
        raise WriteError(not_written(path, error)) from error


def flush(path: Path) -> None:
    """Force a file, or the list of a folder's files, onto the disk."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":  # has no such thing
        return
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        # Some network file systems keep lists of files by themselves, and some folders may not be read.
        if not is_folder or error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise


def read_sums(folder: Path) -> list[tuple[str, str]]:
    """The SHA-256 sums that a folder keeps of files, and their names; in the form of ``sha256sum``."""
    path = folder / SUMS
    lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
    return [(found[1], found[2]) for line in lines if (found := SUM_LINE.fullmatch(line))]


def sum_line(sum_: str, name: str) -> str:
    """A line of what ``read_sums`` reads."""
    return f"{sum_}  {name}\n"


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- one writer at a time -----------------------------------------------------------------------------------


class FolderLock:
    """Keeps everybody else from writing to a folder, until it is closed or this process ends in whatever way.

    The folder is made if it is not there; if nothing else comes to be in it, it goes again with the lock.
    Processes that this one forks do not hold the lock: they may outlive it by some seconds.

    Raises:
        BlockingIOError: the folder is locked already.
        WriteError: the folder does not take the file of the lock.
    """

    # By this process, which the system's lock does not keep out; a child that it forks holds nothing.
    held: ClassVar[set[tuple[int, Path]]] = set()
    guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.key = (os.getpid(), self.folder)
        self.made: list[Path] = []
        with self.guard:
            # Asked before the file is opened: closing it again would let go of the lock that is held.
            if self.key in self.held:
                raise BlockingIOError(_in_use(folder))
            try:
                self.made = _make_folder(self.folder)
                self.file = (folder / LOCK).open("ab")
            except OSError as error:
                _remove_folders(self.made)
                raise WriteError(not_written(folder / LOCK, error)) from error
            try:
                _lock(self.file)
            except OSError as error:
                self.file.close()
                raise BlockingIOError(_in_use(folder)) from error
            self.held.add(self.key)

    def close(self) -> None:
        """Let others write."""
        with self.guard:
            if self.made and os.getpid() == self.key[0]:
                self._take_back()
            self.file.close()
            self.held.discard(self.key)

    def _take_back(self) -> None:
        with suppress(OSError):
            if [path.name for path in self.folder.iterdir()] == [LOCK]:
                (self.folder / LOCK).unlink()
                _remove_folders(self.made)

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _in_use(folder: Path) -> str:
    return f"Another process is writing to {folder}. Wait for it to end, or give another folder."


def _lock(file: BinaryIO) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise
        log.warning(
            "%s cannot be locked (%s): see to it that no other program writes there.", file.name, error
        )
