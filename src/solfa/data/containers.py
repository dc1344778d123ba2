"""What the bytes of a file say before anybody decodes them: its kind, and the files that are joined in it."""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, BinaryIO

from solfa.data.base import Source
from solfa.data.ogg import find_links, last_marked

# How formats begin; libsndfile reads those of the second table, and some that are marked further on.
HEADS = {
    b"OggS": "ogg", b"fLaC": "flac", b"RIFF": "riff", b"RIFX": "riff", b"RF64": "riff", b"FORM": "aiff",
    b"riff": "w64", b"caff": "caf", b".snd": "au", b"dns.": "au", b"\x1aE\xdf\xa3": "matroska",
}  # fmt: skip
OTHER_HEADS = (b"Creative Voice", b"NIST_1A", b"PVF1\n", b" paf", b"fap ", b"2BIT", b"\x64\xa3\x01\x00")
MPEG_IN_WAV = (0x50, 0x55)  # format tags
MPEG_RATES = (44_100, 48_000, 32_000)  # Hz, of version 1; versions 2 and 2.5 have halves and quarters
MOST_JOINED = 10_000  # files in one; more are no music
MOST_CHUNKS = 1_000  # before the samples


@dataclass(frozen=True)
class Part:
    """A stretch of bytes that is a file of its own."""

    path: Source
    start: int = 0
    stop: int | None = None  # the byte after it; to the end of the file if None
    patches: tuple[
        tuple[int, bytes], ...
    ] = ()  # places in the file, and what is read in place of what is there

    @property
    def whole_file(self) -> Path | None:
        """The file of the disk, if it is just that."""
        is_whole = not self.start and self.stop is None and not self.patches
        return self.path if is_whole and isinstance(self.path, Path) else None

    def open(self) -> io.RawIOBase:
        """As a file that can be sent anywhere: libraries follow the places that damaged files name."""
        return _PartFile(self)


@dataclass(frozen=True)
class Contents:
    """What a file is, by its first bytes."""

    kind: str  # of HEADS; "mp4", "mpeg", "other" or ""
    head: bytes  # what follows tags that stand in front
    tag_bytes: int = 0  # in front

    @property
    def is_for_libsndfile(self) -> bool:
        """Whether libsndfile should be asked: it may know the kind, and it will not take it for MPEG.

        Of MPEG it guesses lengths, stops at the first file of several, and its decoder writes to the screen.
        """
        if self.kind == "riff":
            place = self.head.find(b"fmt ")
            return int.from_bytes(self.head[place + 8 : place + 10], "little") not in MPEG_IN_WAV
        if self.kind == "flac":  # libsndfile cannot do without the length
            return bool(int.from_bytes(self.head[21:26], "big") & 0xF_FFFF_FFFF)
        return self.kind in ("ogg", "aiff", "w64", "caf", "au", "other")


def look_into(path: Source) -> Contents:
    """What ``path`` is."""
    with path.open("rb") as file:
        place, head = 0, file.read(4096)
        while head[:3] == b"ID3" and len(head) >= 10:  # several may stand in a row
            place += 10 + sum(
                (byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)
            )
            file.seek(place)
            head = file.read(4096)
    if head[4:8] == b"ftyp":
        return Contents("mp4", head, place)
    if head[:4] in HEADS:
        return Contents(HEADS[head[:4]], head, place)
    if head.startswith(OTHER_HEADS):
        return Contents("other", head, place)
    return Contents("mpeg" if place or head[:2] >= b"\xff\xe0" else "", head, place)


def count_mpeg_samples(contents: Contents) -> tuple[int, int] | None:
    """How many samples an MP3 has by its first frame, and their rate; None if that does not say.

    Source:
        The tags Xing, Info and VBRI; the last stands in another place.
    """
    head = contents.head
    start = next((n for n in range(len(head) - 4) if head[n] == 0xFF and head[n + 1] >= 0xE0), None)
    if start is None:
        return None
    version, rate_index = head[start + 1] >> 3 & 3, head[start + 2] >> 2 & 3
    if version == 1 or rate_index == 3:
        return None
    sample_rate = MPEG_RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    tag = next(
        (
            n
            for n in (head.find(b"Xing", start, start + 200), head.find(b"Info", start, start + 200))
            if n > 0
        ),
        -1,
    )
    if tag > 0 and head[tag + 7] & 1:
        n_frames = int.from_bytes(head[tag + 8 : tag + 12], "big")
    elif head[start + 36 : start + 40] == b"VBRI":
        n_frames = int.from_bytes(head[start + 50 : start + 54], "big")
    else:
        return None
    return n_frames * (1152 if version == 3 else 576), sample_rate


def parts_of(path: Source, kind: str, end: int) -> tuple[Part, ...]:
    """The files that ``path`` is joined of, one behind the other; mostly one.

    Kinds whose decoders read on by themselves (MPEG, ADTS and the like) are left to them.

    Args:
        path: the file.
        kind: what it is.
        end: the byte after the last that counts.
    """
    status = path.stat()
    if kind not in ("ogg", "riff", "aiff", "mp4"):
        return (Part(path, stop=end if end < status.st_size else None),)
    return _parts_of(path, kind, end, (status.st_size, status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=4096)  # crops of one file are read again and again
def _parts_of(path: Source, kind: str, end: int, stamp: tuple[int, ...]) -> tuple[Part, ...]:
    stop = end if end < stamp[0] else None
    with io.BufferedReader(Part(path, stop=stop).open()) as file:
        if kind == "ogg":
            return _ogg_parts(path, file, stamp[0])
        starts = list(islice(_boxes_begin(file) if kind == "mp4" else _chunks_begin(file), MOST_JOINED))
        if len(starts) < 2:
            return (Part(path, stop=stop, patches=_wav_patches(file, end) if kind == "riff" else ()),)
    return tuple(Part(path, a, b) for a, b in pairwise([*starts, end]))


def _ogg_parts(path: Source, file: BinaryIO, size: int) -> tuple[Part, ...]:
    links = find_links(file)  # without what lies behind: FFmpeg stumbles over it
    if len(links) < 2:
        end = links[0][1] if links else size
        return (Part(path, stop=end if end < size else None, patches=last_marked(file, 0, end)),)
    return tuple(Part(path, *link, patches=last_marked(file, *link)) for link in links[:MOST_JOINED])


def _chunks_begin(file: BinaryIO) -> Iterator[int]:
    return (place for place, _ in chunks(file))


def chunks(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where files begin in a row of WAV or AIFF files, and how many bytes each promises behind its length."""
    first = read_at(file, 0, 12)
    order = "big" if first[:4] in (b"FORM", b"RIFX") else "little"
    place, head = 0, first
    while len(head) == 12 and head[:4] == first[:4] and head[8:] == first[8:]:
        n_bytes = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
        yield place, n_bytes
        place += 8 + n_bytes + n_bytes % 2
        head = read_at(file, place, 12)


def _boxes_begin(file: BinaryIO) -> Iterator[int]:
    """Where files begin in a row of MP4 files: at the mark of the type, once there was an index."""
    has_index = False
    yield 0
    for name, _, start in boxes(file):
        if name == b"ftyp" and has_index:
            yield start
            has_index = False
        has_index = has_index or name == b"moov"


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, length and place of each outermost box of an MP4 file."""
    place = 0
    while len(head := read_at(file, place, 16)) >= 8:
        name, n_bytes = head[4:8], int.from_bytes(head[:4], "big")
        if n_bytes == 1:
            n_bytes = int.from_bytes(head[8:], "big")
        yield name, n_bytes, place
        if n_bytes < 8:
            return
        place += n_bytes


def _wav_patches(file: BinaryIO, size: int) -> tuple[tuple[int, bytes], ...]:
    """The true size, in place of 0, of a WAV that was written into a pipe."""
    found = find_wav_data(file)
    if found is None or read_at(file, 0, 4) != b"RIFF":
        return ()
    start, n_bytes = found
    if n_bytes or size - start < 8 or size > 2**32 or _is_chunk(read_at(file, start, 8), start, size):
        return ()
    return ((start - 4, (size - start).to_bytes(4, "little")), (4, (size - 8).to_bytes(4, "little")))


def find_wav_data(file: BinaryIO) -> tuple[int, int] | None:
    """Where the samples of a WAV begin, and how many bytes its header promises; None if there are none."""
    first = read_at(file, 0, 36)
    order = "big" if first[:4] == b"RIFX" else "little"
    place = 12
    for _ in range(MOST_CHUNKS):
        head = read_at(file, place, 8)
        if len(head) < 8:
            return None
        n_bytes = int.from_bytes(head[4:], order)  # type: ignore[arg-type]
        if head[:4] == b"data":
            if first[:4] == b"RF64" and first[12:16] == b"ds64" and n_bytes == 0xFFFFFFFF:
                n_bytes = int.from_bytes(first[28:36], "little")
            return place + 8, n_bytes
        place += 8 + n_bytes + n_bytes % 2
    return None


def name_codec(path: Source) -> str:
    """What a WAV or MP4 calls the codec of its sound."""
    with path.open("rb") as file:
        head = file.read(2**16)
        place = head.find(b"fmt ")
        if head[:4] in (b"RIFF", b"RIFX", b"RF64") and place > 0:
            return f"number 0x{int.from_bytes(head[place + 8 : place + 10], 'little'):04x}"
        for name, n_bytes, start in boxes(file):
            if name == b"moov":
                file.seek(start)
                index = file.read(min(n_bytes, 2**24))
                for found in re.finditer(rb"stsd\0{4}\0{2}..\0{2}..([ -~]{4})\0{6}", index, re.DOTALL):
                    return found[1].decode("ascii").strip()
    return "of no name"


def read_at(file: BinaryIO, place: int, n_bytes: int) -> bytes:
    """Bytes from a place on, fewer where the file ends."""
    file.seek(place)
    return file.read(n_bytes)


def _is_chunk(head: bytes, place: int, size: int) -> bool:
    """Whether a chunk with a name begins here and ends in the file."""
    name, n_bytes = head[:4], int.from_bytes(head[4:], "little")
    return name.isascii() and name.decode("ascii").isprintable() and place + 8 + n_bytes <= size


class _PartFile(io.RawIOBase):
    """The bytes of a Part."""

    mode = "rb"  # as files have it

    def __init__(self, part: Part) -> None:
        self._part, self._place = part, 0
        self._file = part.path.open("rb", buffering=0)
        stop = self._file.seek(0, os.SEEK_END)
        self._length = (stop if part.stop is None else min(stop, part.stop)) - part.start

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a byte of the file, or as near as it has any."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._length}[whence]
        self._place = min(max(0, base + offset), self._length)
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, of whatever library, as far as there are bytes."""
        view = memoryview(buffer).cast("B")
        n_wanted = max(0, min(len(view), self._length - self._place))
        first = self._part.start + self._place
        self._file.seek(first)
        n_read = self._file.readinto(view[:n_wanted]) or 0
        for place, patch in self._part.patches:
            for n in range(max(place, first), min(place + len(patch), first + n_read)):
                view[n - first] = patch[n - place]
        self._place += n_read
        return n_read

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        super().close()
