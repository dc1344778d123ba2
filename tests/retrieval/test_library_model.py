"""Which part of a library's model reads words, and that both parts answer alike."""

import json
from pathlib import Path

import pytest

import solfa
from solfa.models import MuLan
from solfa.models.bundled import MUSIC_TEXT
from solfa.models.query_reader import QueryReader, UnreadableError
from solfa.retrieval import Answer, Searcher
from solfa.retrieval.whole_model import WholeModel

QUERIES = (
    "calm piano",
    "calm piano + choir - drums",
    "0.5 * happy + 3",
    "a tax return of 2019",
    "traurige Klaviermusik",
    "4 - noise",
)


def answers(path: Path) -> tuple[list[Answer], object]:
    with Searcher(path) as searcher:
        return [searcher.answer(query) for query in QUERIES], searcher._model._reading()


def hinder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave all words to PyTorch."""

    def unreadable(name: str, weights: str) -> QueryReader:
        raise UnreadableError("not now")

    monkeypatch.setattr("solfa.retrieval.library_model.read_queries", unreadable)


def test_every_query_has_the_same_answer_with_and_without_pytorch(
    bundled_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light, reader = answers(bundled_library)
    hinder(monkeypatch)
    heavy, whole = answers(bundled_library)
    assert isinstance(reader, QueryReader) and isinstance(whole, WholeModel)
    for ours, theirs in zip(light, heavy, strict=True):
        assert ours.notices == theirs.notices
        for mine, its in zip(ours.matches, theirs.matches, strict=True):
            assert (mine.track, mine.start, mine.end, mine.fit) == (its.track, its.start, its.end, its.fit)
            assert mine.cosine == pytest.approx(its.cosine, abs=1e-5)
            assert mine.stands_out == pytest.approx(its.stands_out, abs=1e-3)
    assert any(answer.notices for answer in light)
    assert {match.fit for answer in light for match in answer.matches} != {"weak"}


def test_a_model_that_stands_on_other_parts_answers_by_pytorch(own_tagged_library: Path) -> None:
    with Searcher(own_tagged_library) as searcher:
        assert searcher.search("noise")
        assert isinstance(searcher._model._reading(), WholeModel)


def test_a_model_that_is_given_is_the_one_that_reads(bundled_library: Path) -> None:
    model = solfa.load(MUSIC_TEXT)
    with Searcher(bundled_library, model) as searcher:
        assert searcher.search("noise")
        side = searcher._model._reading()
    assert isinstance(side, WholeModel) and side.mulan is model


def test_a_damaged_model_is_refused_as_ever(
    bundled_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = solfa.load(MUSIC_TEXT)
    assert isinstance(model, MuLan)
    config = model.save_pretrained(tmp_path / "saved") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"weights_sha256": "0" * 64}))
    monkeypatch.setattr("solfa.models.bundled.WEIGHTS", tmp_path)
    (tmp_path / "saved").rename(tmp_path / MUSIC_TEXT)
    weights = tmp_path / MUSIC_TEXT / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with Searcher(bundled_library) as searcher, pytest.raises(ValueError, match="is damaged"):
        searcher.search("noise")
