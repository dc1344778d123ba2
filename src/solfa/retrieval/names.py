"""Names of tracks: title, artist, album, folder and file, found by their words through SQLite's FTS5."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from solfa.retrieval.contents import LibraryContents, LibraryTrack
from solfa.retrieval.filters import Filters
from solfa.retrieval.layout import divided

Kind = Literal["title", "artist", "album", "folder"]
WORD = re.compile(r"[^\W_]+")
CANDIDATES = 400  # tracks whose names are looked at for a few answers
FEWEST_LETTERS = 3  # of a word that may be the beginning of another one


@dataclass(frozen=True)
class Name:
    """A name that goes on as somebody has begun to write."""

    text: str
    kind: Kind


def find_named(
    library: LibraryContents, text: str, n: int, filters: Filters | None = None
) -> list[LibraryTrack]:
    """Tracks whose names have all words of a text: whole words, or if there are none their beginnings.

    Case, accents and signs do not matter. Titles weigh most, then artists, albums, and folders and files.
    Folders that hold the whole library are no names.
    """
    if not words_of(text):
        return []
    for is_begun in (False, True):
        wanted = _expression(text, every_begins=is_begun)
        if found := _visible(library, wanted, text, n, filters):
            return found
    return []


def completed(library: LibraryContents, text: str, n: int) -> list[Name]:
    """Names that have all words of a text, of which the last is only begun; each once, best first."""
    wanted = words_of(text)
    if not wanted:
        return []
    roots = library.roots()
    names: dict[Name, None] = {}
    for track in _visible(library, _expression(text, last_begins=True), text, CANDIDATES, None):
        for name in _names(track, roots):
            if has_all(words_of(name.text), wanted):
                names.setdefault(name)
    return list(names)[:n]


def words_of(text: str) -> list[str]:
    """Words without case and accents."""
    letters = unicodedata.normalize("NFKD", divided(text).casefold())
    return WORD.findall("".join(letter for letter in letters if not unicodedata.combining(letter)))


def has_all(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether each wanted word is one of some words, or the beginning of one."""
    return all(any(word.startswith(one) for word in words) for one in wanted)


def folders_below(path: Path, roots: Sequence[Path]) -> Sequence[str]:
    """Names of the folders on the way to a file, below the deepest of some roots."""
    depth = max((len(root.parts) for root in roots if path.is_relative_to(root)), default=len(path.parts) - 1)
    return path.parts[depth:-1]


def _visible(
    library: LibraryContents, expression: str, text: str, n: int, filters: Filters | None
) -> list[LibraryTrack]:
    """Tracks that an expression finds by what lies below the folders of the library."""
    wanted, roots = words_of(text), library.roots()
    tracks = library.tracks_of(library.ids_named(expression, max(n, CANDIDATES), filters))
    seen = (track for track in tracks if has_all(words_of(_all_text(track, roots)), wanted))
    return [track for track, _ in zip(seen, range(n), strict=False)]


def _all_text(track: LibraryTrack, roots: Sequence[Path]) -> str:
    parts = [name.text for name in _names(track, roots)]
    return " ".join([*parts, *folders_below(track.path, roots), track.path.stem])


def _names(track: LibraryTrack, roots: Sequence[Path]) -> Iterable[Name]:
    yield Name(track.title, "title")
    for tag in ("artist", "albumartist", "composer"):
        if tag in track.tags:
            yield Name(track.tags[tag], "artist")
    if "album" in track.tags:
        yield Name(track.tags["album"], "album")
    for folder in folders_below(track.path, roots)[-1:]:
        yield Name(folder, "folder")


def _expression(text: str, *, every_begins: bool = False, last_begins: bool = False) -> str:
    """What FTS5 is asked: all words, each in quotes, so that none is an operator."""
    words = WORD.findall(divided(text))
    parts = []
    for n, word in enumerate(words):
        begins = (every_begins and len(word) >= FEWEST_LETTERS) or (last_begins and n == len(words) - 1)
        parts.append(f'"{word}"{"*" if begins else ""}')
    return " AND ".join(parts)
