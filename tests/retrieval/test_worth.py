"""Answers say what they are worth: hubs stand out for nothing, and a query that nothing fits is told."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solfa.retrieval import Match, Searcher
from solfa.retrieval.answers import FEWEST_SHOWN, NOTHING_FITS, honest
from solfa.retrieval.contents import LibraryTrack
from solfa.retrieval.index import units
from solfa.retrieval.reading import reading_notices
from solfa.retrieval.worth import FAIR, STRONG, fit_of, references, stand_out

DIM = 32


@pytest.fixture
def texts() -> np.ndarray:
    """Queries that share a direction, as texts do, and each have one of their own."""
    return units(np.random.default_rng(0).standard_normal((64, DIM)) + 8 * np.eye(DIM)[0])


def test_a_hub_stands_out_for_nothing(texts: np.ndarray) -> None:
    """The cosine prefers what is near to all words; what fits this query alone stands out more."""
    hub, specialist = np.eye(DIM)[0], units(texts[:1] - 0.8 * texts.mean(0))[0]
    tracks = np.stack([hub, specialist, *np.random.default_rng(1).standard_normal((8, DIM))])
    assert tracks[0] @ texts[0] > tracks[1] @ texts[0]
    others = references([(1.0, True)], texts, np.zeros((0, DIM)))
    assert others is not None
    deviations = stand_out(tracks, texts[0], others)
    assert deviations.argmax() == 1 and fit_of(deviations[1]) == "strong"
    assert fit_of(deviations[0]) == "weak"


def test_a_query_like_all_others_fits_nothing(texts: np.ndarray) -> None:
    tracks = np.random.default_rng(2).standard_normal((40, DIM))
    others = references([(1.0, True)], texts, np.zeros((0, DIM)))
    assert others is not None
    assert (stand_out(tracks, units(texts.mean(0)[None])[0], others) < FAIR).all()


def test_a_track_is_not_compared_with_itself() -> None:
    music = np.random.default_rng(3).standard_normal((20, DIM))
    others = references([(1.0, False)], np.zeros((0, DIM)), music)
    assert others is not None and len(others) == 20
    direction = units(music[3:4])[0]
    found = stand_out(music[:1], direction, others)
    cosines = (units(music[:1]) @ units(music[1:]).T)[0]
    expected = (units(music[:1])[0] @ direction - cosines.mean()) / cosines.std()
    assert found[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("form", [[(1.0, True), (-0.5, False)], [(1.0, True), (1.0, True), (-1.0, True)]])
def test_sums_are_compared_with_sums(texts: np.ndarray, form: list[tuple[float, bool]]) -> None:
    music = np.random.default_rng(4).standard_normal((64, DIM))
    others = references(form, texts, music)
    assert others is not None and len(others) > 32
    np.testing.assert_allclose(np.linalg.norm(others, axis=1), 1, atol=1e-6)
    alone = references(form[:1], texts, music)
    assert alone is not None and not np.allclose(others[: len(alone)], alone[: len(others)])


def test_beside_few_tracks_nothing_is_said(texts: np.ndarray) -> None:
    assert references([(1.0, False)], texts, np.eye(DIM)[:5]) is None
    assert references([(1.0, True)], texts, np.eye(DIM)[:5]) is not None
    assert references([], texts, np.eye(DIM)) is None


def matches(*stands_out: float | None) -> list[Match]:
    track = LibraryTrack(
        id=1, path=Path("a.wav"), seconds=1.0, sample_rate=8000, n_channels=1, content_hash="a"
    )
    return [Match(track, 0.5, 0.0, 1.0, one) for one in stands_out]


def test_an_answer_in_which_nothing_fits_says_so_and_is_short() -> None:
    weak = [FAIR - 0.1] * 9
    answer = honest([], matches(*weak), ["first"])
    assert answer.notices == ["first", NOTHING_FITS] and len(answer.matches) == FEWEST_SHOWN
    for fine in (matches(STRONG, *weak), matches(None, None), []):
        assert honest([], fine, []).notices == [] and honest([], fine, []).matches == fine
    unknown = [replace(match, has_known_words=False) for match in matches(STRONG, FAIR)]
    assert honest([], unknown, []).notices == [NOTHING_FITS]
    assert [match.fit for match in matches(STRONG, FAIR, 0.0, None)] == ["strong", "fair", "weak", None]


@dataclass
class Language:
    """Knows some words, and spells all others in pieces of two letters."""

    n_entries: int = 30_000
    most_tokens: int = 10

    def n_pieces(self, word: str) -> int:
        return 1 if word in {"calm", "piano", "music", "strings"} else len(word) // 2

    def n_tokens(self, text: str) -> int:
        return len(text.split()) + 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("calm piano", ""),
        ("Calm, piano-music!", ""),
        ("ruhiges klavier", "may not know: ruhiges, klavier"),
        ("Musik für strings", "musik, für"),
        ("平静的钢琴", "平静的钢琴"),
        ("спокойное piano", "спокойное"),
        ("calm piano strings klavier", ""),  # one word in four
        ("calm " * 30, "first 31 %"),
        ("12", ""),
        ("", ""),
    ],
)
def test_what_the_text_model_does_not_read_is_told(text: str, told: str) -> None:
    notices = reading_notices(Language(), [text])
    assert told in " ".join(notices) and bool(notices) == bool(told)


def test_a_model_of_many_languages_reads_them() -> None:
    language: Any = Language(n_entries=250_000)
    assert not reading_notices(language, ["ruhiges klavier", "平静的钢琴"])


def test_words_of_another_language_come_with_a_notice(
    tagged_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solfa.retrieval.reading.OF_ONE_LANGUAGE", (0, 60_000))  # this model's is tiny
    with Searcher(tagged_library) as searcher:
        assert "may not know" in searcher.answer("ruhiges klavier für abends").notices[0]
        assert not searcher.answer("1").notices
