"""Filters: which tracks of a library may be found, as text that people write and as a condition of SQL."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from solfa.errors import SolfaError
from solfa.retrieval.layout import storable

NUMBERED = ("track", "track_total", "disc", "disc_total")  # tags that hold a number: 1 is not in 12
TEMPO_TAGS = ("tempo_bpm", "tempo", "bpm")  # who writes a tempo into a file uses one of these names
RANGES = ("year", "seconds", "tempo")
NUMBER = r"(\d+(?::\d\d)?(?:\.\d+)?)"
RANGE = re.compile(rf"{NUMBER}?\s*(-)\s*{NUMBER}?|{NUMBER}", re.ASCII)
MOST_FILTERS = 100
FORMS = (
    "folder=NAME, year=1990-1999, seconds=60-5:00, tempo=90-120 (one side of a range may be left out), "
    "artist=WORDS and so on for every tag, tag=WORDS for any of them"
)

Range = tuple[float, float]  # both ends belong to it


class FilterError(SolfaError, ValueError):
    """A filter that cannot be understood; the message says what can."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which tracks may be found: those for which all of it is true. Without anything: all tracks."""

    folder: str = ""  # a path from the root, ~ or ., or the name of a folder anywhere on the way to the track
    roots: tuple[Path, ...] = ()  # names of folders count below these alone; anywhere if there are none
    year: Range | None = None
    seconds: Range | None = None
    tempo: Range | None = None  # beats per minute; a track of unknown tempo is not found
    tags: tuple[tuple[str, str], ...] = ()  # name of a tag, or "tag" for any, and what it holds in any case

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "Filters":
        """Filters of texts such as ``year=1990-1999`` and ``artist=bach``; a name twice means both.

        Raises:
            FilterError: a text of another form, or a range without numbers.
        """
        if len(texts) > MOST_FILTERS:
            raise FilterError(f"{len(texts)} filters are too many at once. Give at most {MOST_FILTERS}.")
        filters = cls()
        for text in texts:
            name, sign, value = (part.strip() for part in text.partition("="))
            if not (name and sign and value):
                raise FilterError(f"{text!r:.100} is no filter. Write {FORMS}.")
            if name in RANGES:
                renewed: dict[str, Any] = {name: _both(getattr(filters, name), _range(value, text))}
                filters = replace(filters, **renewed)
            elif name == "folder":
                if filters.folder:
                    raise FilterError("folder= stands there twice. Give one, such as folder=live/1999.")
                filters = replace(filters, folder=_folder_name(value))
            else:
                filters = replace(filters, tags=(*filters.tags, (name, value)))
        return filters

    @property
    def names_place(self) -> bool:
        """Whether the folder is a path, and no name."""
        return _is_place(self.folder)

    def condition(self) -> tuple[str, list[Any]]:
        """What stands behind WHERE in a query of the table ``tracks``, and its values."""
        parts: list[tuple[str, list[Any]]] = [("1", [])]
        if self.folder:
            parts.append(_folder(self.folder, self.roots))
        if self.seconds:
            parts.append(("seconds BETWEEN ? AND ?", [*self.seconds]))
        if self.year:
            parts.append(_number(("year",), self.year))
        if self.tempo:
            parts.append(_number(TEMPO_TAGS, self.tempo))
        parts += [_words(name, words) for name, words in self.tags]
        return " AND ".join(text for text, _ in parts), [value for _, values in parts for value in values]


def to_seconds(text: str) -> float:
    """``95``, ``1:35`` or ``1:35.5`` in seconds."""
    minutes, _, seconds = text.rpartition(":")
    return 60 * float(minutes or 0) + float(seconds)


def _range(value: str, text: str) -> Range:
    match = RANGE.fullmatch(value)
    if not match or not (match[1] or match[3] or match[4]):
        raise FilterError(f"{text!r:.100} has no range that can be read. Write {FORMS}.")
    if match[4]:
        return to_seconds(match[4]), to_seconds(match[4])
    low = to_seconds(match[1]) if match[1] else 0.0
    high = to_seconds(match[3]) if match[3] else float("inf")
    if high < low:
        raise FilterError(f"{text!r:.100} ends before it begins. Write {FORMS}.")
    return low, high


def _both(one: Range | None, other: Range) -> Range:
    """What lies in two ranges."""
    return (max(one[0], other[0]), min(one[1], other[1])) if one else other


def _folder_name(value: str) -> str:
    """The folder of a filter, if there can be one of that name."""
    try:
        if b"\0" not in os.fsencode(value):
            return value
    except UnicodeEncodeError:
        pass
    raise FilterError(f"{value!r:.100} is no name of a folder. Write {FORMS}.")


def _is_place(folder: str) -> bool:
    first = folder.split(os.sep, 1)[0]  # of "...And Justice for All" it is all of it
    return first in (".", "..") or folder.startswith("~") or Path(folder).is_absolute()


def _folder(folder: str, roots: Sequence[Path]) -> tuple[str, list[Any]]:
    path = Path(os.path.expanduser(folder))  # noqa: PTH111  # Path's own raises for a user that is not there
    if path.is_absolute() or (_is_place(folder) and not folder.startswith("~")):
        beginning = os.fsencode(os.path.join(os.path.abspath(path), ""))  # noqa: PTH100, PTH118  # with separator
        return "substr(path, 1, ?) = ?", [len(beginning), beginning]
    name = os.fsencode(f"{os.sep}{folder.strip(os.sep)}{os.sep}")
    if not roots:
        return "instr(path, ?) > 0", [name]
    beginnings = [os.fsencode(os.path.join(root, "")) for root in roots]  # noqa: PTH118  # with separator
    below = " OR ".join("(substr(path, 1, ?) = ? AND instr(substr(path, ?), ?) > 0)" for _ in roots)
    return f"({below})", [value for root in beginnings for value in (len(root), root, len(root), name)]


def _number(names: Sequence[str], wanted: Range) -> tuple[str, list[Any]]:
    """A tag that begins with a number of a range, as ``1997-05-03`` does with a year."""
    marks = ", ".join("?" * len(names))
    within = "CAST(value AS REAL) > 0 AND CAST(value AS REAL) BETWEEN ? AND ?"
    return f"id IN (SELECT track FROM tags WHERE name IN ({marks}) AND {within})", [*names, *wanted]


def _words(name: str, words: str) -> tuple[str, list[Any]]:
    if name == "tag":
        return "id IN (SELECT track FROM tags WHERE instr(folded, ?) > 0)", [storable(words).casefold()]
    if name in NUMBERED and words.isdecimal():
        return "id IN (SELECT track FROM tags WHERE name = ? AND CAST(value AS INTEGER) = ?)", [
            name,
            float(words),
        ]
    found = "id IN (SELECT track FROM tags WHERE name = ? AND instr(folded, ?) > 0)"
    return found, [storable(name), storable(words).casefold()]
