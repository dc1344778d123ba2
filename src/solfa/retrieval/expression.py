"""A query as people write it -> its terms: "calm piano" + 0.5 * 12@1:35 - song.mp3.

A term is words in quotes, the number of a track of the library, the number and a time (the segment there), or
an audio file. A query of words alone needs no quotes.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from solfa.data.prepare import AUDIO_SUFFIXES
from solfa.retrieval.filters import to_seconds

FORMS = (
    'Words stand in quotes, tracks are numbers, segments are 12@1:35, and files end as audio files do: "calm '
    'piano" + 0.5 * 12 - song.mp3. Signs stand between spaces.'
)
OPENING = {'"': '"', "'": "'", "\u201c": "\u201d"}  # and what closes it
WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*\*\s*(.+)", re.DOTALL)
TRACK = re.compile(r"#?(\d{1,18})(?:@(\d+(?::\d\d)?(?:\.\d+)?))?")


class QueryError(ValueError):
    """A query that cannot be understood or answered; the message says what can."""


@dataclass(frozen=True)
class Words:
    """What music should sound like."""

    text: str


@dataclass(frozen=True)
class TrackNumber:
    """A track of the library, or its segment at a time."""

    id: int
    seconds: float | None = None


Meaning = Words | TrackNumber | Path


@dataclass(frozen=True)
class Term:
    """One part of a query."""

    weight: float  # negative for what should not be there
    meaning: Meaning


def parse_query(query: str) -> list[Term]:
    """The terms of a query. No file is looked for.

    Raises:
        QueryError: nothing, a quote that does not end, or a term that means nothing among others.
    """
    parts = list(_split(query))
    if len(parts) == 1 and parts[0][0] > 0 and parts[0][1][:1] not in OPENING and not _term(query.strip()):
        return [_sole_words(query)]
    terms = []
    for sign, part in parts:
        term = _term(part)
        if term is None:
            raise QueryError(f"What is {part!r} in this query? {FORMS}")
        terms.append(Term(sign * term.weight, term.meaning))
    return terms


def _split(query: str) -> Iterator[tuple[int, str]]:
    """Signs and what follows them, divided at + and - that stand between spaces outside of quotes."""
    sign, begin, closing = 1, 0, ""
    text = query.strip()
    for n, letter in enumerate(text):
        before = text[begin:n].strip()
        if closing:
            closing = "" if letter == closing else closing
        elif letter in OPENING and (not before or before[-1] == "*"):  # elsewhere it is an apostrophe
            closing = OPENING[letter]
        elif letter in "+-" and text[n + 1 : n + 2].isspace() and (n == 0 or text[n - 1].isspace()):
            if n:
                yield sign, text[begin:n].strip()
            sign, begin = (1 if letter == "+" else -1), n + 1
    if closing:
        raise QueryError(f"A quote in {query!r} does not end. {FORMS}")
    yield sign, text[begin:].strip()


def _sole_words(query: str) -> Term:
    if not query.strip():
        raise QueryError(f"There is nothing to look for. {FORMS}")
    return Term(1.0, Words(query.strip()))


def _term(part: str) -> Term | None:
    if (weighted := WEIGHT.fullmatch(part)) and (meaning := _meaning(weighted[2])):
        return Term(float(weighted[1]), meaning)
    return Term(1.0, meaning) if (meaning := _meaning(part)) else None


def _meaning(part: str) -> Meaning | None:
    closing = OPENING.get(part[:1])
    if closing and part.endswith(closing) and part[1:-1].strip():
        return Words(part[1:-1].strip())
    if match := TRACK.fullmatch(part):
        return TrackNumber(int(match[1]), to_seconds(match[2]) if match[2] else None)
    path = Path(part)
    if path.suffix.lower() in AUDIO_SUFFIXES or (part and part.startswith((os.sep, f".{os.sep}", "~"))):
        return Path(os.path.expanduser(part))  # noqa: PTH111  # Path's own raises for a user that is not there
    return None
