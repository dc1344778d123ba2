"""Tags by words: ranks among the library, over time, and any words that one likes."""

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient

from solfa.retrieval import QueryError, Searcher
from solfa.retrieval.zero_shot import COMMON_TAGS
from solfa.serving.tags import KEPT, MOST_TAGS, LibraryTags


def test_bars_are_ranks_among_the_library_best_first(client: TestClient, ids: dict[str, int]) -> None:
    answers = [client.get(f"/api/tracks/{id}/tags").json() for id in ids.values()]
    for answer in answers:
        ranks = [bar["rank"] for bar in answer["bars"]]
        assert len(ranks) == len(COMMON_TAGS) and ranks == sorted(ranks, reverse=True)
    of_piano = sorted(bar["rank"] for answer in answers for bar in answer["bars"] if bar["tag"] == "piano")
    assert of_piano == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_tags_over_time_have_a_value_for_each_segment(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.get(f"/api/tracks/{ids['tune.wav']}/tags", params={"tag": ["rain", "choir"]}).json()
    assert {bar["tag"] for bar in answer["bars"]} == {"rain", "choir"}
    assert all(len(levels) == len(answer["starts"]) > 2 for levels in answer["over_time"])
    assert all(0 <= level <= 1 for levels in answer["over_time"] for level in levels)


def test_lists_of_tags_are_forgotten_in_time(searcher: Searcher, ids: dict[str, int]) -> None:
    tags = LibraryTags(searcher)
    for n in range(KEPT + 3):
        tags.of(ids["tune.wav"], [f"tag {n}"])
    assert len(tags._known) == KEPT


def test_too_many_tags_are_refused(searcher: Searcher, ids: dict[str, int]) -> None:
    with pytest.raises(QueryError, match="at most"):
        LibraryTags(searcher).of(ids["tune.wav"], ["tag"] * (MOST_TAGS + 1))
