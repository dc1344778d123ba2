"""Pages of Ogg: where its links begin, and which pages are missing or damaged.

Source:
    RFC 3533. Its sum is that of zlib with the bits of each byte, and of the sum, in the other order.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MARK = b"OggS\0"
HEADER_BYTES = 27
LONGEST_PAGE = 65_307
BYTES_AT_ONCE = 2**20
FIRST, LAST = 2, 4  # flags of the first and the last page of a stream
TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Page(NamedTuple):
    """A page of an Ogg file."""

    place: int  # of its first byte in the file
    data: bytes

    @property
    def end(self) -> int:
        """The byte after it."""
        return self.place + len(self.data)

    @property
    def flags(self) -> int:
        """Whether it is the first or last of its stream, in bits."""
        return self.data[5]

    @property
    def granule(self) -> int:
        """Where its last packet ends, in the codec's count; -1 if none ends."""
        return int.from_bytes(self.data[6:14], "little", signed=True)

    @property
    def serial(self) -> int:
        """Which stream it belongs to."""
        return int.from_bytes(self.data[14:18], "little")

    @property
    def number(self) -> int:
        """Its place in its stream."""
        return int.from_bytes(self.data[18:22], "little")

    @property
    def is_sound(self) -> bool:
        """Whether its checksum is right."""
        return checksum(self.data) == self.data[22:26]


class PageDamage(NamedTuple):
    """A page that is damaged or missing."""

    start: float | None  # s; None if the codec is not known
    what: str
    is_gap: bool  # by the numbers alone, which some programs get wrong


def walk_pages(file: BinaryIO, place: int = 0) -> Iterator[Page]:
    """The pages of a file from ``place`` on; bytes between them, and parts of pages, are passed over."""
    file.seek(place)
    data, at, is_end = b"", 0, False  # ``at``: where to look in the data, which begins at ``place``
    while True:
        if not is_end and len(data) - at < LONGEST_PAGE:
            more = file.read(BYTES_AT_ONCE)
            data, place, at, is_end = data[at:] + more, place + at, 0, not more
            continue
        found = data.find(MARK, at)
        if found < 0 and is_end:
            return
        if found < 0 or (not is_end and len(data) - found < LONGEST_PAGE):
            at = found if found >= 0 else len(data) - len(MARK) + 1
            continue
        page = _page_at(data, found, place)
        at = found + 1
        if page is None:
            continue
        yield page
        # A page whose sum is wrong may have a wrong length as well: the next is looked for inside it.
        after = found + len(page.data)
        if data[after : after + len(MARK)] == MARK or after == len(data) or page.is_sound:
            at = after


def checksum(page: bytes) -> bytes:
    """What stands in the header of a page, made of the page."""
    blank = page[:22] + bytes(4) + page[26:]
    value = zlib.crc32(blank.translate(TURNED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2).to_bytes(4, "little")


def find_links(file: BinaryIO) -> list[tuple[int, int]]:
    """First byte, and byte after the last, of each of the files that are joined in one.

    Several streams of one file begin side by side; those that begin after others have gone on are a new link.
    """
    starts, after, end = [], -1, 0
    for page in walk_pages(file):
        end = page.end
        if page.flags & FIRST and page.is_sound:
            if page.place != after:
                starts.append(page.place)
            after = page.end
    return list(zip(starts, [*starts[1:], end][: len(starts)], strict=True))


def last_marked(file: BinaryIO, start: int, stop: int) -> tuple[tuple[int, bytes], ...]:
    """Bytes that mark the last page of a link as such, and where they belong; none if it is marked.

    libopusfile refuses a stream that stops in the middle of a packet's samples, unless its last page has it.
    """
    last = None
    for page in walk_pages(file, max(start, stop - 2 * LONGEST_PAGE)):
        if page.place >= stop:
            break
        last = page if page.is_sound else last
    if last is None or last.flags & LAST:
        return ()
    flags = bytes([last.flags | LAST])
    marked = last.data[:5] + flags + last.data[6:]
    return ((last.place + 5, flags), (last.place + 22, checksum(marked)))


def find_damage(file: BinaryIO) -> "PageDamage | None":
    """The first damage of a file; None if there is none."""
    rates: dict[int, tuple[int, int]] = {}  # of streams: granules per second, and the first that is heard
    numbers: dict[int, int] = {}
    before = now = 0.0  # length of the links before this one, and place in all of them
    end = flags = 0
    for page in walk_pages(file):
        if page.flags & FIRST:
            if page.place != end:
                before = now
            rates[page.serial] = _rate(page.data)
            numbers.pop(page.serial, None)
        is_behind_another, end, flags = page.place == end, page.end, page.flags
        known = numbers.get(page.serial)
        at = now if any(rate for rate, _ in rates.values()) else None
        if not page.is_sound:
            return PageDamage(at, "a page whose checksum is wrong", is_gap=False)
        if known is not None and page.number != (known + 1) % 2**32:
            return PageDamage(at, "a page is missing", is_gap=is_behind_another)
        numbers[page.serial] = page.number
        rate, first = rates.get(page.serial, (0, 0))
        if rate and page.granule > 0:
            now = before + max(0, page.granule - first) / rate
    file.seek(end)
    rest = file.read(len(MARK))
    if rest and not MARK.startswith(rest) and not flags & LAST:  # or else it is a page cut off, or rubbish
        return PageDamage(now, "what follows is no page", is_gap=False)
    return None


def ends_inside_page(file: BinaryIO, size: int) -> bool:
    """Whether a file ends before its last page does; good ones may lack the mark of a last page."""
    end = start = max(0, size - 3 * LONGEST_PAGE)
    for page in walk_pages(file, start):
        end = page.end
    file.seek(end)
    rest = file.read(len(MARK))
    return bool(rest) and MARK.startswith(rest)


def _rate(page: bytes) -> tuple[int, int]:
    """Granules per second by the first page of a stream, and the first granule that is heard."""
    packet = page[HEADER_BYTES + page[26] :]
    if packet.startswith(b"OpusHead"):
        return 48_000, int.from_bytes(packet[10:12], "little")
    if packet.startswith(b"\x01vorbis"):
        return int.from_bytes(packet[12:16], "little"), 0
    if packet.startswith(b"Speex   "):
        return int.from_bytes(packet[36:40], "little"), 0
    if packet.startswith(b"\x7fFLAC"):
        return int.from_bytes(packet[27:30], "big") >> 4, 0
    return 0, 0


def _page_at(data: bytes, at: int, place: int) -> Page | None:
    """The page that begins in some data; None if not all of it is there."""
    head = data[at : at + HEADER_BYTES]
    if len(head) < HEADER_BYTES:
        return None
    n_bytes = HEADER_BYTES + head[26] + sum(data[at + HEADER_BYTES : at + HEADER_BYTES + head[26]])
    whole = data[at : at + n_bytes]
    return Page(place + at, whole) if len(whole) == n_bytes else None
