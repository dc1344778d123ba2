"""solfa search: what it says of words that no track fits, of those that nobody here can read, and of none."""

import json
from pathlib import Path

import pytest

from command_line import solfa
from solfa.retrieval import QueryError
from unanswerable import UNANSWERABLE, WORDS_300


@pytest.mark.parametrize("kind", UNANSWERABLE)
def test_what_cannot_be_answered_is_told(bundled_library: Path, kind: str) -> None:
    query, told, untold, fit = UNANSWERABLE[kind]
    output = solfa("search", query, "--library", bundled_library).output
    assert all(text in output for text in told) and not any(text in output for text in untold)
    rows = [line for line in output.splitlines() if line.endswith(".wav")]
    assert len(rows) == 5 and all(line.startswith(fit or "  ") for line in rows)
    assert not any(claim in row for row in rows for claim in ("strong", "fair"))
    found = json.loads(solfa("search", query, "--library", bundled_library, "--json").stdout)
    assert {match["fit"] for match in found["matches"]} == {fit}
    assert all(any(text in notice for notice in found["notices"]) for text in told)


@pytest.mark.parametrize("query", ["", "   "])
def test_an_empty_query_is_refused_with_what_a_query_is(bundled_library: Path, query: str) -> None:
    with pytest.raises(QueryError, match=r"nothing to look for.*Words stand as they are"):
        solfa("search", query, "--library", bundled_library)


def test_three_hundred_words_are_read_as_a_whole(bundled_library: Path) -> None:
    found = json.loads(solfa("search", " ".join(WORDS_300), "--library", bundled_library, "--json").stdout)
    assert found["matches"] and not [notice for notice in found["notices"] if "reads the first" in notice]
