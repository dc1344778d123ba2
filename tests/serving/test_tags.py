"""Tags by words: with confidence, over time, and any words that one likes."""

import pytest

pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'solfa[serve]'")
pytest.importorskip("httpx", reason="these tests need httpx")

from fastapi.testclient import TestClient

from solfa.retrieval import QueryError, Searcher
from solfa.retrieval.families import FAMILIES
from solfa.serving.tags import KEPT, MOST_TAGS, LibraryTags


def test_bars_have_confidence_the_sure_ones_first(client: TestClient, ids: dict[str, int]) -> None:
    for id in ids.values():
        bars = client.get(f"/api/tracks/{id}/tags").json()["bars"]
        assert {bar["family"] for bar in bars} == set(FAMILIES)
        sure = [bar["is_sure"] for bar in bars]
        assert sure == sorted(sure, reverse=True) and sum(sure) <= 5
        for family in FAMILIES:
            assert 0 < sum(bar["confidence"] for bar in bars if bar["family"] == family) < 1.01


def test_tags_over_time_have_a_value_for_each_segment(client: TestClient, ids: dict[str, int]) -> None:
    answer = client.get(f"/api/tracks/{ids['tune.wav']}/tags", params={"tag": ["rain", "choir"]}).json()
    assert {(bar["tag"], bar["family"]) for bar in answer["bars"]} == {("rain", "yours"), ("choir", "yours")}
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
