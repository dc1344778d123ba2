"""A query as people write it -> its terms: calm piano + 0.5 * 12@1:35 - song.mp3.

A term is words, the number of a track of the library, the number and a time (the segment there), or an audio
file. Words need quotes only where they could be read as something else. ``named: Kerberos`` asks for names
alone, ``sounds like: Kerberos`` for the sound alone, and words without either for both.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from solfa.data.folders import AUDIO_SUFFIXES
from solfa.errors import SolfaError
from solfa.retrieval.filters import to_seconds

FORMS = (
    "Words stand as they are, or in quotes where they could be something else; tracks are numbers, segments "
    "are 12@1:35, and files end as audio files do: calm piano + 0.5 * 12 - song.mp3. Signs stand between "
    "spaces."
)
OPENING = {'"': '"', "'": "'", "\u201c": "\u201d"}  # and what closes it
WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*\*\s*(.+)", re.ASCII | re.DOTALL)
TRACK = re.compile(r"#?(\d+)(?:@(\d+(?::\d\d)?(?:\.\d+)?))?", re.ASCII)
UNCLEAR = re.compile(r"[#\d@:.,\s*]*|.*\*.*|[\"'\u201c].*", re.DOTALL)  # as words: more likely a slip
ONLY = re.compile(r"\s*(named|sounds\s+like)\s*:\s*(.*)", re.IGNORECASE | re.DOTALL)
MOST_DIGITS = 18  # of the number of a track; what SQLite can count
MOST_WEIGHT = 1e6
MOST_TERMS = 100


class QueryError(SolfaError, ValueError):
    """A query that cannot be understood or answered; the message says what can."""


class WordlessError(QueryError):
    """Words were asked for in a library whose model knows none."""


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


@dataclass(frozen=True)
class Query:
    """What is asked for."""

    terms: tuple[Term, ...]  # how it should sound; empty if only its name counts
    name: str  # words of its name; empty if only the sound counts


def parse_query(query: str) -> Query:
    """What a query asks for. No file is looked for.

    Raises:
        QueryError: nothing, a quote that does not end, a term that means nothing among others, numbers that
            are too large, or too many terms.
    """
    only = ONLY.fullmatch(query)
    if only and only[1].lower() == "named":
        return Query((), _sole_words(_without_quotes(only[2])).text)
    terms = parse_terms(only[2] if only else query)
    meanings = [term.meaning for term in terms]
    texts = [meaning.text for meaning in meanings if isinstance(meaning, Words)]
    # "Doug Kaufman - Battle Theme" is a sum as it reads, and may be a name.
    is_name = not only and len(texts) == len(terms) and all(abs(term.weight) == 1 for term in terms)
    return Query(tuple(terms), " ".join(texts) if is_name else "")


def parse_terms(query: str) -> list[Term]:
    """The terms of a query without ``named:`` or ``sounds like:``. Raises QueryError as ``parse_query``."""
    parts = list(_split(query))
    if len(parts) > MOST_TERMS:
        raise QueryError(f"This query has {len(parts)} terms. Write at most {MOST_TERMS}.")
    if len(parts) == 1 and parts[0][0] > 0 and parts[0][1][:1] not in OPENING and not _term(query.strip()):
        return [Term(1.0, _sole_words(query))]
    terms = []
    for sign, part in parts:
        term = _term(part) or _bare_words(part)
        if term is None:
            raise QueryError(f"What is {part!r:.100} in this query? {FORMS}")
        terms.append(Term(sign * term.weight, term.meaning))
    return terms


def _split(query: str) -> Iterator[tuple[int, str]]:
    """Signs and what follows them, divided at + and - that stand between spaces outside of quotes."""
    sign, begin, closing, before = 1, 0, "", ""  # the last: what stands before, spaces left out
    text = query.strip()
    for n, letter in enumerate(text):
        if closing:
            closing = "" if letter == closing else closing
        elif letter in OPENING and before in ("", "*"):  # elsewhere it is an apostrophe
            closing = OPENING[letter]
        elif letter in "+-" and text[n + 1 : n + 2].isspace() and (n == 0 or text[n - 1].isspace()):
            if n:
                yield sign, text[begin:n].strip()
            sign, begin, before = (1 if letter == "+" else -1), n + 1, ""
            continue
        before = before if letter.isspace() else letter
    if closing:
        raise QueryError(f"A quote in {query!r:.100} does not end. {FORMS}")
    yield sign, text[begin:].strip()


def _sole_words(query: str) -> Words:
    if not query.strip():
        raise QueryError(f"There is nothing to look for. {FORMS}")
    return _words(query)


def _without_quotes(text: str) -> str:
    closing = OPENING.get(text.strip()[:1])
    return text.strip()[1:-1] if closing and len(text.strip()) > 1 and text.strip()[-1] == closing else text


def _bare_words(part: str) -> Term | None:
    """Words among other terms, with a weight if there is one; None for what is more likely a slip."""
    weighted = WEIGHT.fullmatch(part)
    weight, text = (float(weighted[1]), weighted[2]) if weighted else (1.0, part)
    if UNCLEAR.fullmatch(text):
        return None
    if weight > MOST_WEIGHT:
        raise QueryError(f"A weight is at most {MOST_WEIGHT:,.0f}, not {weight:.20g}. {FORMS}")
    return Term(weight, _words(text))


def _term(part: str) -> Term | None:
    if (weighted := WEIGHT.fullmatch(part)) and (meaning := _meaning(weighted[2])):
        if (weight := float(weighted[1])) > MOST_WEIGHT:
            raise QueryError(f"A weight is at most {MOST_WEIGHT:,.0f}, not {weighted[1]:.20}. {FORMS}")
        return Term(weight, meaning)
    return Term(1.0, meaning) if (meaning := _meaning(part)) else None


def _meaning(part: str) -> Meaning | None:
    closing = OPENING.get(part[:1])
    if closing and part.endswith(closing) and part[1:-1].strip():
        return _words(part[1:-1])
    if match := TRACK.fullmatch(part):
        return TrackNumber(_number(match[1]), to_seconds(match[2]) if match[2] else None)
    path = Path(part)
    if path.suffix.lower() in AUDIO_SUFFIXES or (part and part.startswith((os.sep, f".{os.sep}", "~"))):
        if "\0" in part:
            raise QueryError(f"No file can have the name {part!r:.100}. {FORMS}")
        return Path(os.path.expanduser(part))  # noqa: PTH111  # Path's own raises for a user that is not there
    return None


def _words(text: str) -> Words:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError(f"{text!r:.100} is no text: it holds bytes that are not UTF-8.") from None
    return Words(text.strip())


def _number(digits: str) -> int:
    number = digits.lstrip("0") or "0"
    if len(number) > MOST_DIGITS:
        raise QueryError(f"There is no track {number:.20}...: no library has so many.")
    return int(number)
