"""Queries are understood as people write them, and refused with an example."""

import os
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from solfa.retrieval import QueryError, parse_query
from solfa.retrieval.expression import (
    MOST_TERMS,
    MOST_WEIGHT,
    Query,
    Term,
    TrackNumber,
    Words,
    parse_terms,
)

same_every_time = settings(derandomize=True, deadline=None, max_examples=200)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("calm piano", [Term(1.0, Words("calm piano"))]),
        ("lo-fi, 90s drum'n'bass", [Term(1.0, Words("lo-fi, 90s drum'n'bass"))]),
        ("rock 'n roll", [Term(1.0, Words("rock 'n roll"))]),
        ("'1984'", [Term(1.0, Words("1984"))]),
        ('"a + b"', [Term(1.0, Words("a + b"))]),
        ("\u201ccalm\u201d - \u201cloud\u201d", [Term(1.0, Words("calm")), Term(-1.0, Words("loud"))]),
        (
            "calm piano + choir - drums",
            [Term(1.0, Words("calm piano")), Term(1.0, Words("choir")), Term(-1.0, Words("drums"))],
        ),
        ("drum + .5 * slow bass", [Term(1.0, Words("drum")), Term(0.5, Words("slow bass"))]),
        ('jazz + "1999"', [Term(1.0, Words("jazz")), Term(1.0, Words("1999"))]),
        ("lo-fi + 12", [Term(1.0, Words("lo-fi")), Term(1.0, TrackNumber(12))]),
        ("12", [Term(1.0, TrackNumber(12))]),
        ("#12@1:35", [Term(1.0, TrackNumber(12, 95.0))]),
        ("12@7.5", [Term(1.0, TrackNumber(12, 7.5))]),
        ("my song.mp3", [Term(1.0, Path("my song.mp3"))]),
        ("/music/live + 3", [Term(1.0, Path("/music/live")), Term(1.0, TrackNumber(3))]),
        ('- "noise" + .5 * 3', [Term(-1.0, Words("noise")), Term(0.5, TrackNumber(3))]),
        (
            '"calm piano" + 2 * "rain" - a-b.ogg',
            [Term(1.0, Words("calm piano")), Term(2.0, Words("rain")), Term(-1.0, Path("a-b.ogg"))],
        ),
    ],
)
def test_a_query_is_read_as_it_is_meant(query: str, expected: list[Term]) -> None:
    assert parse_terms(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Kerberos", Query((Term(1.0, Words("Kerberos")),), "Kerberos")),
        ("Named:  'Kerberos' ", Query((), "Kerberos")),
        ("named: 1999", Query((), "1999")),
        ("sounds  LIKE: rain", Query((Term(1.0, Words("rain")),), "")),
        ("sounds like: 12", Query((Term(1.0, TrackNumber(12)),), "")),
        ("12", Query((Term(1.0, TrackNumber(12)),), "")),
        ("rain + 12", Query((Term(1.0, Words("rain")), Term(1.0, TrackNumber(12))), "")),
        ("Doug - Battle", Query((Term(1.0, Words("Doug")), Term(-1.0, Words("Battle"))), "Doug Battle")),
    ],
)
def test_names_and_sound_are_told_apart(query: str, expected: Query) -> None:
    assert parse_query(query) == expected


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "nothing to look for"),
        ('"calm', "does not end"),
        ("calm + 0,5 * piano", "What is '0,5"),
        ("calm + 12@", "What is '12@'"),
        ("named: ", "nothing to look for"),
        ("sounds like:", "nothing to look for"),
        ('"calm" piano', "What is"),
        ('"calm" + ', "What is"),
        ('""', "What is"),
    ],
)
def test_a_query_that_is_not_understood_comes_with_an_example(query: str, named: str) -> None:
    with pytest.raises(QueryError, match=rf"{named}.*Words stand as they are"):
        parse_query(query)


@same_every_time
@given(st.text(max_size=40) | st.text(alphabet="09.:@#*+- \"'~/\0\udcffa\u202e\u0663", max_size=40))
@example("~0")  # the home of a user that is not there
@example("~\0")
@example("\0.wav")
@example("\udcff")
@example("1@" + "9" * 5000)
@example("0" * 5000 + "1")
def test_any_text_is_read_or_refused(query: str) -> None:
    """What is read can be asked of a library: numbers, weights and times are such as it can hold."""
    with suppress(QueryError):
        asked = parse_query(query)
        assert asked.terms or asked.name.strip()
        terms = asked.terms
        for term in terms:
            assert np.isfinite(np.float32(term.weight))
            match term.meaning:
                case TrackNumber():
                    assert 0 <= term.meaning.id < 2**63
                case Words():
                    assert term.meaning.text.encode().strip()
                case Path():
                    assert b"\0" not in os.fsencode(term.meaning)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("9223372036854775808", "There is no track 9223372036854775808"),
        ("9" * 5000, "There is no track 9999"),
        ("1 + #99999999999999999999@0:01", "There is no track 9999"),
        ("1e400 * 1 + 2", "What is"),
        ("9" * 400 + " * 1", "A weight is at most 1,000,000"),
        (f"{MOST_WEIGHT * 1.01:.0f} * 1", "A weight is at most"),
        (" + ".join(["1"] * 10_000), f"10000 terms. Write at most {MOST_TERMS}"),
        (" + ".join(['"a"'] * (MOST_TERMS + 1)), f"at most {MOST_TERMS}"),
        ("~\0", "No file can have the name"),
        ("1 + x\0y.wav", "No file can have the name"),
        ("calm \udcff", "not UTF-8"),
        ('1 + "\ud800"', "not UTF-8"),
    ],
)
def test_what_is_too_much_is_refused_in_few_words(query: str, named: str) -> None:
    with pytest.raises(QueryError, match=re.escape(named)) as error:
        parse_query(query)
    assert len(str(error.value)) < 500


def test_zeros_before_a_number_do_not_count() -> None:
    assert parse_terms("0" * 5000 + "12") == [Term(1.0, TrackNumber(12))]


@same_every_time
@given(st.text(alphabet="ab +-*'.1", min_size=1, max_size=20).filter(str.strip))
def test_words_in_quotes_are_words_whatever_they_are(words: str) -> None:
    assert parse_terms(f'"{words}"') == [Term(1.0, Words(words.strip()))]
