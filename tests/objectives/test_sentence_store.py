"""Sentences of a frozen language model are kept from one training to the next."""

from pathlib import Path

import pytest
import torch

from music_and_words import LANGUAGE
from solfa.errors import ArgumentError
from solfa.models import TextModel
from solfa.objectives.sentence_store import TEXTS, SentenceStore


def language(seed: int = 0) -> TextModel:
    torch.manual_seed(seed)
    return TextModel(LANGUAGE)


def test_what_was_added_is_read_again_once_each_and_half_a_line_is_cut_off(tmp_path: Path) -> None:
    model = language()
    rows = {text: torch.randn(1, model.dim) for text in ("calm piano", "a drum", "low")}
    store = SentenceStore(tmp_path / "s", model)
    assert store.read() == {}
    store.add({text: rows[text] for text in ("calm piano", "a drum")})
    lines = (tmp_path / "s" / TEXTS).read_bytes()
    (tmp_path / "s" / TEXTS).write_bytes(lines[:-5])  # killed while it wrote the second
    again = SentenceStore(tmp_path / "s", model)
    assert list(again.read()) == ["calm piano"]
    again.add(rows)
    known = SentenceStore(tmp_path / "s", model).read()
    assert set(known) == set(rows) and all(torch.equal(known[text], rows[text]) for text in rows)


def test_sentences_of_another_language_model_want_another_folder(tmp_path: Path) -> None:
    SentenceStore(tmp_path, language(0))
    with pytest.raises(ArgumentError, match="another language model"):
        SentenceStore(tmp_path, language(1))
