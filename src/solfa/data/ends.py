"""Where the music of a file ends: a long run of zeros behind it, as of a bad copy, is no part of it."""

import errno
import io
import os
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import BinaryIO

from solfa.data.base import Source
from solfa.data.containers import MOST_JOINED, Contents, Part, boxes, chunks, look_into, read_at
from solfa.data.promises import elements, is_unknown, promised_bytes

# That are left behind the music: a frame of a codec may end with zeros, and decoders pass over so many.
SLACK_BYTES = 2**15
BYTES_AT_ONCE = 2**22
PLAIN = ("riff", "aiff", "w64", "caf", "au", "other")  # zeros may be silence: only a header tells


def music_end(path: Source, contents: Contents | None = None) -> int:
    """The byte after the last that counts: the size of a file, less most of the zeros that lie behind it.

    Args:
        path: the file.
        contents: what it is; looked up if None.
    """
    status = path.stat()
    with path.open("rb") as file:
        if any(read_at(file, max(0, status.st_size - SLACK_BYTES), SLACK_BYTES)):
            return status.st_size
    return _music_end(path, contents or look_into(path), (status.st_size, status.st_mtime_ns, status.st_ino))


def open_music(path: Source) -> io.BufferedReader:
    """A file that ends where its music does."""
    return io.BufferedReader(Part(path, stop=music_end(path)).open())


@lru_cache(maxsize=4096)  # crops of one file are read again and again
def _music_end(path: Source, contents: Contents, stamp: tuple[int, ...]) -> int:
    size = stamp[0]
    with path.open("rb") as file:
        stated = _stated_end(file, contents, size)
        if contents.kind not in PLAIN:
            return min(size, max(stated or 0, _nonzero_end(file, size) + SLACK_BYTES))
        return size if stated is None else min(size, max(stated, _nonzero_end(file, size)))


def _nonzero_end(file: BinaryIO, size: int) -> int:
    """The byte after the last that is not zero."""
    zeros = bytes(BYTES_AT_ONCE)
    size = _stored_end(file, size)
    for place in range((size - 1) // BYTES_AT_ONCE * BYTES_AT_ONCE, -1, -BYTES_AT_ONCE):
        block = read_at(file, place, min(BYTES_AT_ONCE, size - place))
        if block != zeros[: len(block)]:
            return place + len(block.rstrip(b"\0"))
    return 0


def _stored_end(file: BinaryIO, size: int) -> int:
    """The byte after the last that the disk holds, or a little more: sparse files have zeros behind it."""
    start, end = 0, size
    while end - start > BYTES_AT_ONCE and hasattr(os, "SEEK_DATA"):
        middle = (start + end) // 2
        try:
            os.lseek(file.fileno(), middle, os.SEEK_DATA)
            start = middle
        except OSError as error:
            if error.errno != errno.ENXIO:  # a disk that does not tell
                return size
            end = middle
    return end


def _stated_end(file: BinaryIO, contents: Contents, size: int) -> int | None:
    """The byte after all that headers speak of; None if they do not say."""
    promised = promised_bytes(file, contents, size)
    ends = [] if promised is None else [sum(promised)]
    return max([*ends, *_ends_of_parts(file, contents, size)], default=None)


def _ends_of_parts(file: BinaryIO, contents: Contents, size: int) -> Iterator[int]:
    """The byte after each part of a file of parts."""
    if contents.kind == "mp4":
        for name, n_bytes, start in boxes(file):
            yield size if name == b"mdat" and not n_bytes else start + n_bytes
    elif contents.kind == "matroska":
        yield from (start + n_bytes for start, n_bytes in elements(file))
    elif contents.kind in ("riff", "aiff"):
        for start, n_bytes in islice(chunks(file), MOST_JOINED):
            if not is_unknown(n_bytes):
                yield start + 8 + n_bytes
