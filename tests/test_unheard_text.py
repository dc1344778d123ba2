"""benchmarks/unheard_text.py: the table of what was seen by hand, and what is asked of it."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from solfa_free.free_music import JUDGES


def load_benchmark() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "unheard_text.py"
    spec = importlib.util.spec_from_file_location("unheard_text", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["unheard_text"] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


unheard = load_benchmark()


def rows() -> list[object]:
    """Six tracks: three fast with drums and a piano, three slow without either."""
    return [
        unheard.Annotated(
            name=f"naev-data/{'battle' if n < 3 else 'forest'}{n}.ogg",
            present=("piano",) if n < 3 else (),
            absent=() if n < 3 else ("piano",),
            drums="yes" if n < 3 else "no",
            voice="unclear",
            tempo="fast" if n < 3 else "slow",
            mood=(),
        )
        for n in range(6)
    ]


def scores_by(words: dict[str, np.ndarray]) -> object:
    """Scores of the tracks, by the words that stand in a text."""

    def scores(texts: Sequence[str]) -> np.ndarray:
        return np.array([sum((v for w, v in words.items() if w in text), np.zeros(6)) for text in texts])

    return scores


FIRST = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


def test_areas_are_of_what_is_clear() -> None:
    names = [row.name for row in rows()]
    words = {"piano": FIRST, "drums": FIRST, "no drums": 2 - 3 * FIRST, "slow": -FIRST, "battle": FIRST}
    knows = scores_by(words)
    found = unheard.judge(knows, names, rows())
    assert found.areas["instrument piano"] == found.areas["drums"] == found.areas["tempo"] == 1.0
    assert found.areas["scene battle"] == 1.0 and found.areas["scene forest"] == 0.5
    assert "voice" not in found.areas  # of no track is it clear
    assert found.mean_areas["scenes"] == 0.75 and found.n_annotated == 6


def test_a_contrary_counts_against_a_word() -> None:
    names = [row.name for row in rows()]
    loud_on_both = scores_by({"drums": FIRST, "no drums": FIRST})  # "no drums" holds "drums", too
    assert unheard.judge(loud_on_both, names, rows()).areas["drums"] == 0.0


def test_the_words_of_a_track_are_a_query() -> None:
    assert rows()[0].words == "piano, drums, fast" and rows()[5].words == "no drums, slow"
    names = [row.name for row in rows()]
    found = unheard.judge(scores_by({"piano": np.array([3.0, 2, 1, 0, 0, 0])}), names, rows())
    assert found.retrieval.recall_at_1 == pytest.approx(1 / 6, abs=0.2)


def test_the_table_holds_forty_tracks_of_held_out_packages() -> None:
    table = unheard.read_truth(unheard.TRUTH)
    assert len({row.name for row in table}) == len(table) >= 40
    assert all(row.name.split("/")[0] in JUDGES for row in table)
    assert {row.drums for row in table} == {"yes", "no", "unclear"}
    assert {row.tempo for row in table} <= {"slow", "moderate", "fast", "unclear"}
    assert {row.voice for row in table} <= {"yes", "no", "unclear"}
    assert all(row.words for row in table) and not any(set(row.present) & set(row.absent) for row in table)
