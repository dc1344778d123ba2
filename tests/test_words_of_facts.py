"""benchmarks/words_of_facts.py: which excerpts are compared, and how."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from solfa.data.manifest import Track


def load_benchmark() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "words_of_facts.py"
    spec = importlib.util.spec_from_file_location("words_of_facts", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["words_of_facts"] = module
    spec.loader.exec_module(module)
    return module


words = load_benchmark()


def tracks() -> list[Track]:
    """Five with drums and a piano, five without either, two of which nothing is known."""
    tags = [{"drums": "drums", "instrument": "piano; flute"}] * 5 + [{"drums": "no drums"}] * 5 + [{}] * 2
    track = Track(path=Path("a.wav"), seconds=10.0, sample_rate=24_000, n_channels=1, content_hash="a")
    return [replace(track, tags=of) for of in tags]


def test_opposites_are_asked_where_one_is_known_and_instruments_of_all() -> None:
    def scores(texts: Sequence[str]) -> np.ndarray:
        rows = {"drums": [2.0] * 5 + [0] * 5 + [9] * 2, "no drums": [1.0] * 5 + [0] * 5 + [-9] * 2}
        return np.array([rows.get(text, [1.0] * 10 + [2.0] * 2) for text in texts])

    found = words.areas(scores, tracks())
    assert found["drums"] == 1.0  # the two of which nothing is known do not count
    assert found["instrument piano"] == found["instrument flute"] == 0.5 * 5 / 7
    assert words.families(found) == {"drums": (1.0, 1), "instrument": (0.5 * 5 / 7, 2)}


def test_too_few_are_not_asked() -> None:
    assert words.areas(lambda texts: np.zeros((len(texts), 4)), tracks()[:4]) == {}
