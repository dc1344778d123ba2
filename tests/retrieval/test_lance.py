"""An index by LanceDB answers as the exact one does, follows its library, and is optional."""

import sys
from pathlib import Path

import pytest

from solfa.retrieval import ExactIndex, Filters, Library, Searcher
from solfa.retrieval.lance import LanceIndex, SearchExtraError


def test_without_lancedb_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(SearchExtraError, match=r"pip install 'solfa\[search\]'"):
        LanceIndex(tmp_path / "index")


def test_it_answers_as_the_exact_index_and_follows_the_library(
    own_tagged_library: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lancedb")
    folder = tmp_path / "index"
    with (
        Searcher(own_tagged_library, index=LanceIndex(folder)) as near,
        Searcher(own_tagged_library, index=ExactIndex()) as exact,
    ):
        for filters in (None, Filters.parse(["year=1-"]), Filters.parse(["year=1"])):
            found, expected = (s.similar(1, filters=filters) for s in (near, exact))
            assert [match.track.id for match in found] == [match.track.id for match in expected]
            assert [match.cosine for match in found] == pytest.approx([m.cosine for m in expected], abs=1e-5)
        with Library(own_tagged_library) as library:
            library._remove([library.track(2).path])
        assert [m.track.id for m in near.similar(1)] == [m.track.id for m in exact.similar(1)]
    with Searcher(own_tagged_library, index=LanceIndex(folder)) as again:
        assert len(again.similar(1)) == 2
