"""Filters: which tracks of a library may be found, as text that people write and as a condition of SQL."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

NUMBERED = ("track", "track_total", "disc", "disc_total")  # tags that hold a number: 1 is not in 12
TEMPO_TAGS = ("tempo_bpm", "tempo", "bpm")  # who writes a tempo into a file uses one of these names
RANGES = ("year", "seconds", "tempo")
NUMBER = r"(\d+(?::\d\d)?(?:\.\d+)?)"
RANGE = re.compile(rf"{NUMBER}?\s*(-?)\s*{NUMBER}?")
FORMS = (
    "folder=NAME, year=1990-1999, seconds=60-5:00, tempo=90-120 (one side of a range may be left out), "
    "artist=WORDS and so on for every tag, tag=WORDS for any of them"
)

Range = tuple[float, float]  # both ends belong to it


class FilterError(ValueError):
    """A filter that cannot be understood; the message says what can."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which tracks may be found: those for which all of it is true. Without anything: all tracks."""

    folder: str = ""  # a path from the root, ~ or ., or the name of a folder anywhere on the way to the track
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
        filters = cls()
        for text in texts:
            name, sign, value = (part.strip() for part in text.partition("="))
            if not (name and sign and value):
                raise FilterError(f"{text!r} is no filter. Write {FORMS}.")
            if name in RANGES:
                renewed: dict[str, Any] = {name: _range(value, text)}
                filters = replace(filters, **renewed)
            elif name == "folder":
                filters = replace(filters, folder=value)
            else:
                filters = replace(filters, tags=(*filters.tags, (name, value)))
        return filters

    def condition(self) -> tuple[str, list[Any]]:
        """What stands behind WHERE in a query of the table ``tracks``, and its values."""
        parts: list[tuple[str, list[Any]]] = [("1", [])]
        if self.folder:
            parts.append(_folder(self.folder))
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
    if not match or not (match[1] or match[3]):
        raise FilterError(f"{text!r} has no range that can be read. Write {FORMS}.")
    low = to_seconds(match[1]) if match[1] else 0.0
    high = to_seconds(match[3]) if match[3] else float("inf") if match[2] else low
    return low, high


def _folder(folder: str) -> tuple[str, list[Any]]:
    path = Path(os.path.expanduser(folder))  # noqa: PTH111  # Path's own raises for a user that is not there
    if path.is_absolute() or folder.startswith("."):
        beginning = os.fsencode(os.path.join(os.path.abspath(path), ""))  # noqa: PTH100, PTH118  # with separator
        return "substr(path, 1, ?) = ?", [len(beginning), beginning]
    return "instr(path, ?) > 0", [os.fsencode(f"{os.sep}{folder.strip(os.sep)}{os.sep}")]


def _number(names: Sequence[str], wanted: Range) -> tuple[str, list[Any]]:
    """A tag that begins with a number of a range, as ``1997-05-03`` does with a year."""
    marks = ", ".join("?" * len(names))
    within = "CAST(value AS REAL) > 0 AND CAST(value AS REAL) BETWEEN ? AND ?"
    return f"id IN (SELECT track FROM tags WHERE name IN ({marks}) AND {within})", [*names, *wanted]


def _words(name: str, words: str) -> tuple[str, list[Any]]:
    if name == "tag":
        return "id IN (SELECT track FROM tags WHERE instr(folded, ?) > 0)", [words.casefold()]
    if name in NUMBERED and words.isdigit():
        return "id IN (SELECT track FROM tags WHERE name = ? AND CAST(value AS INTEGER) = ?)", [
            name,
            float(words),
        ]
    found = "id IN (SELECT track FROM tags WHERE name = ? AND instr(folded, ?) > 0)"
    return found, [name, words.casefold()]
