"""Queries are understood as people write them, and refused with an example."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from solfa.retrieval import QueryError, parse_query
from solfa.retrieval.expression import Term, TrackNumber, Words


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("calm piano", [Term(1.0, Words("calm piano"))]),
        ("lo-fi, 90s drum'n'bass", [Term(1.0, Words("lo-fi, 90s drum'n'bass"))]),
        ("rock 'n roll", [Term(1.0, Words("rock 'n roll"))]),
        ("'1984'", [Term(1.0, Words("1984"))]),
        ('"a + b"', [Term(1.0, Words("a + b"))]),
        ("\u201ccalm\u201d - \u201cloud\u201d", [Term(1.0, Words("calm")), Term(-1.0, Words("loud"))]),
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
    assert parse_query(query) == expected


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "nothing to look for"),
        ('"calm', "does not end"),
        ("drum + bass", "What is 'drum'"),
        ('"calm" + piano', "What is 'piano'"),
        ('"calm" piano', "What is"),
        ('"calm" + ', "What is"),
        ('""', "What is"),
    ],
)
def test_a_query_that_is_not_understood_comes_with_an_example(query: str, named: str) -> None:
    with pytest.raises(QueryError, match=rf"{named}.*Words stand in quotes"):
        parse_query(query)


@given(st.text(max_size=40))
@example("~0")  # the home of a user that is not there
def test_any_text_is_read_or_refused(query: str) -> None:
    with suppress(QueryError):
        assert parse_query(query)


@given(st.text(alphabet="ab +-*'.1", min_size=1, max_size=20).filter(str.strip))
def test_words_in_quotes_are_words_whatever_they_are(words: str) -> None:
    assert parse_query(f'"{words}"') == [Term(1.0, Words(words.strip()))]
