"""The API: what it says of words that no track fits, that the model cannot read, and of nothing at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient

from solfa.retrieval import Searcher
from solfa.serving import build_app
from solfa.serving.state import LONGEST_QUERY
from unanswerable import UNANSWERABLE, WORDS_300


@pytest.fixture(scope="module")
def page(bundled_library: Path) -> Iterator[TestClient]:
    with Searcher(bundled_library, reads_files=False) as searcher:
        yield TestClient(build_app(searcher), base_url="http://127.0.0.1")


@pytest.mark.parametrize("kind", UNANSWERABLE)
def test_what_cannot_be_answered_is_told(page: TestClient, kind: str) -> None:
    query, told, untold, fit = UNANSWERABLE[kind]
    answer = page.get("/api/search", params={"q": query}).json()
    notices = " ".join(answer["notices"])
    assert all(text in notices for text in told) and not any(text in notices for text in untold)
    assert len(answer["matches"]) == 5 and {match["fit"] for match in answer["matches"]} == {fit or ""}


def test_an_empty_query_is_refused_with_what_a_query_is(page: TestClient) -> None:
    for query in ("", "   "):
        answer = page.get("/api/search", params={"q": query})
        assert answer.status_code == 400 and "nothing to look for" in answer.json()["error"]


def test_three_hundred_words_are_read_as_a_whole(page: TestClient) -> None:
    answer = page.get("/api/search", params={"q": " ".join(WORDS_300)})
    assert answer.status_code == 200 and answer.json()["matches"]
    assert "reads the first" not in " ".join(answer.json()["notices"])


def test_a_query_without_end_is_refused(page: TestClient) -> None:
    assert page.get("/api/library").json()["query_letters"] == LONGEST_QUERY
    answer = page.get("/api/search", params={"q": "calm " * (LONGEST_QUERY // 5 + 1)})
    assert answer.status_code == 422 and "at most 4000 characters" in answer.json()["error"]
