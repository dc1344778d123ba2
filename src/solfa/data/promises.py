"""How long a file should be by its header, held against its bytes."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from solfa.data.containers import Contents, boxes, find_wav_data, read_at

SLACK_BYTES = 4096  # of samples that may be missing: headers count other bytes than those, by mistake
BYTES_AT_ONCE = 2**22
CLUSTERED = ("mp4", "matroska")  # what they promise is a part of the music, or more than music
MOST_BOXES = 1_000  # before the samples
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
UNKNOWN = range(0x7FFFF000, 0x80000000)  # and with another bit in front
W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
VOC_HEADER = b"Creative Voice File\x1a"
# Kinds of which only the first of several joined files is read, and how many of their first bytes tell.
STOPPING = {
    b"fLaC": 8,
    b"TTA1": 8,
    ASF_HEADER[:4]: 16,
    b"caff": 8,
    b"riff": 16,
    b"FLV\1": 9,
    b"MAC ": 8,
    b"DSD ": 12,
    b".snd": 8,
    b"tBaK": 8,
    b"ajkg": 8,
    b".RMF": 8,
}


def share_there(path: Path, contents: Contents) -> float:
    """Which part of the bytes that its header promises a file holds: 1 if all, or if it promises nothing."""
    size = path.stat().st_size
    with path.open("rb") as file:
        found = promised_bytes(file, contents, size)
    if found is None:
        return 1.0
    start, n_bytes = found
    n_there = max(0, size - start)
    slack = 0 if contents.kind in CLUSTERED else min(SLACK_BYTES, n_bytes // 2)
    return 1.0 if n_there >= n_bytes - slack else n_there / n_bytes


def bytes_behind(path: Path, contents: Contents) -> tuple[int, int]:
    """How many bytes of samples a header promises, and how many others lie behind: no chunk, tag or zeros."""
    size = path.stat().st_size
    with path.open("rb") as file:
        found = promised_bytes(file, contents, size)
        if found is None or contents.kind not in ("riff", "aiff", "caf", "w64", "au"):
            return 0, 0
        end = sum(found)
        behind = read_at(file, end, SLACK_BYTES)
    is_named = any(
        name.isascii() and name.decode("ascii").isprintable() for name in (behind[:4], behind[1:5])
    )
    return found[1], 0 if is_named or not any(behind) else size - end


def second_beginning(file: BinaryIO, contents: Contents) -> int | None:
    """Where another file begins, joined to one that is read to its own end only; None if none does."""
    n_telling = STOPPING.get(contents.head[:4])
    if n_telling is None:
        return None
    return _find_bytes(file, contents.head[:n_telling], contents.tag_bytes + n_telling)


def _find_bytes(file: BinaryIO, wanted: bytes, place: int) -> int | None:
    """Where some bytes are in a file, from a place on."""
    file.seek(place)
    data = b""
    while more := file.read(BYTES_AT_ONCE):
        data += more
        found = data.find(wanted)
        if found >= 0:
            return place + found
        n_kept = min(len(data), len(wanted) - 1)
        place += len(data) - n_kept
        data = data[len(data) - n_kept :]
    return None


def promised_bytes(file: BinaryIO, contents: Contents, size: int) -> tuple[int, int] | None:
    """Where the samples begin, and how many bytes of them there should be; None if nobody says."""
    head, kind = contents.head, contents.kind
    if kind == "riff" and head[8:12] == b"WAVE":
        found = find_wav_data(file)
        return None if found is None or is_unknown(found[1]) else found
    if kind == "riff":
        n_bytes = int.from_bytes(head[4:8], "little")
        return None if is_unknown(n_bytes) else (8, n_bytes)
    if kind == "aiff":
        found = _find(file, 12, b"SSND", 4)
        return None if found is None or is_unknown(found[1]) else found
    if kind == "caf":
        found = _find(file, 8, b"data", 8)
        return None if found is None or found[1] >= 2**63 else found
    if kind == "w64":
        place = head.find(W64_DATA)
        return (
            None if place < 0 else (place + 24, int.from_bytes(head[place + 16 : place + 24], "little") - 24)
        )
    if kind == "au":
        order = "big" if head[:4] == b".snd" else "little"
        n_bytes = int.from_bytes(head[8:12], order)  # type: ignore[arg-type]
        return None if is_unknown(n_bytes) else (int.from_bytes(head[4:8], order), n_bytes)  # type: ignore[arg-type]
    if kind == "mp4":
        return next(((start, n_bytes) for _, n_bytes, start in boxes(file) if start + n_bytes > size), None)
    if kind == "matroska":
        return next(((start, n_bytes) for start, n_bytes in elements(file) if start + n_bytes > size), None)
    if head.startswith(b"FRM8"):  # DSDIFF
        return 12, int.from_bytes(head[4:12], "big")
    if head.startswith(VOC_HEADER):
        return int.from_bytes(head[20:22], "little") + 4, int.from_bytes(head[27:30], "little")
    if head.startswith(ASF_HEADER):
        place = head.find(ASF_FILE)
        is_streamed = place < 0 or head[place + 88] & 1
        return None if is_streamed else (0, int.from_bytes(head[place + 40 : place + 48], "little"))
    return None


def is_unknown(n_bytes: int) -> bool:
    """Whether a size of 32 bits is one of those that programs write when they cannot know it."""
    return n_bytes & 0x7FFFFFFF == 0 or n_bytes & 0x7FFFFFFF in UNKNOWN


def elements(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where the contents of the outer elements of a Matroska file begin, and their length.

    Those that a live stream leaves open (the whole, and its clusters) are entered instead.
    """
    place = 0
    while head := read_at(file, place, 12):
        n_name = 9 - head[0].bit_length()
        n_digits = 9 - head[n_name].bit_length() if n_name < len(head) else 9
        if n_digits > 8 or len(head) < n_name + n_digits:
            return
        place += n_name + n_digits
        n_bytes = int.from_bytes(head[n_name : n_name + n_digits], "big") & (1 << 7 * n_digits) - 1
        if n_bytes != (1 << 7 * n_digits) - 1:
            yield place, n_bytes
            place += n_bytes


def _find(file: BinaryIO, place: int, wanted: bytes, n_digits: int) -> tuple[int, int] | None:
    """Where the contents of a chunk begin, and their length, in a row of chunks with big numbers first."""
    for _ in range(MOST_BOXES):
        head = read_at(file, place, 4 + n_digits)
        if len(head) < 4 + n_digits:
            return None
        n_bytes = int.from_bytes(head[4:], "big")
        if head[:4] == wanted:
            return place + len(head), n_bytes
        place += len(head) + n_bytes + (n_bytes % 2 if n_digits == 4 else 0)
    return None
