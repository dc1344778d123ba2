import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import solfa
from full_disk import full_disk
from golden_data import GOLDEN, MERT, MUQ, io_of
from solfa.files import WriteError
from solfa.models import ModelCard, ModelError


@pytest.mark.parametrize("case", [MUQ[0], MUQ[1], MERT[0], MERT[3]])
def test_a_saved_encoder_gives_the_same_hidden_states(case: str, tmp_path: Path) -> None:
    encoder = solfa.load(GOLDEN / case)
    saved = solfa.load(encoder.save_pretrained(tmp_path / "saved"))
    waveform = io_of(case)["wav"]
    assert torch.equal(saved(waveform).layers, encoder(waveform).layers)
    assert (saved.config, saved.license) == (encoder.config, encoder.license)


def test_a_saved_music_text_model_is_one_folder_that_needs_no_other(tmp_path: Path) -> None:
    original = Path(shutil.copytree(GOLDEN / "muq_mulan", tmp_path / "original"))
    mulan = solfa.load(original)
    mulan.save_pretrained(tmp_path / "saved")
    audio, text = mulan.embed_audio(io_of("muq_mulan")["wav"]), mulan.embed_text(["fast rock song"])
    shutil.rmtree(original)
    saved = solfa.load(tmp_path / "saved")
    assert torch.equal(saved.embed_audio(io_of("muq_mulan")["wav"]), audio)
    assert torch.equal(saved.embed_text(["fast rock song"]), text)


def test_the_licence_stays_with_the_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = solfa.load(GOLDEN / MUQ[0])
    encoder.license = "CC-BY-NC-4.0"
    encoder.save_pretrained(tmp_path / "saved")
    assert solfa.load(tmp_path / "saved").license == "CC-BY-NC-4.0"
    assert "are licensed CC-BY-NC-4.0" in caplog.text
    caplog.clear()
    encoder.license = "Apache-2.0"
    assert solfa.load(encoder.save_pretrained(tmp_path / "free")).license == "Apache-2.0"
    assert not caplog.text
    assert "license: cc-by-nc-4.0" in (tmp_path / "saved" / "README.md").read_text()


def test_the_card_says_what_is_known_and_what_is_not(tmp_path: Path) -> None:
    card = ModelCard(title="A test", data="four tones, CC0", unfair_on="those tones")
    solfa.load(GOLDEN / MUQ[0]).save_pretrained(tmp_path / "saved", card)
    text = (tmp_path / "saved" / "README.md").read_text()
    for row in ("# A test", "| data it learned from | four tones, CC0 |", "| frame rate | 25 Hz |"):
        assert row in text
    assert "| scores | not stated |" in text


@pytest.mark.parametrize("case", [MUQ[0], "muq_mulan"])
def test_half_precision_halves_the_size_and_is_answered_for_as_it_is(case: str, tmp_path: Path) -> None:
    model = solfa.load(GOLDEN / case)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    whole = model.save_pretrained(tmp_path / "whole") / "model.safetensors"
    half = model.save_pretrained(tmp_path / "half", is_half=True) / "model.safetensors"
    assert half.stat().st_size < 0.56 * whole.stat().st_size
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    saved = solfa.load(tmp_path / "half")
    for name, tensor in saved.state_dict().items():
        assert torch.equal(
            tensor, before[name].half().float() if tensor.is_floating_point() else before[name]
        )
    answers = [
        json.loads((tmp_path / kind / "config.json").read_text())["known_answer"]["values"]
        for kind in ("whole", "half")
    ]
    assert answers[0] != answers[1]


def test_a_weight_too_large_for_half_precision_is_refused(tmp_path: Path) -> None:
    model = solfa.load(GOLDEN / MUQ[0])
    next(iter(model.parameters())).flatten()[0] = 1e6
    with pytest.raises(ValueError, match="Too large for half precision"):
        model.save_pretrained(tmp_path / "half", is_half=True)


@pytest.mark.parametrize("damage", [1.01, float("nan")])
def test_damaged_weights_without_a_sum_are_noticed_by_their_answer(tmp_path: Path, damage: float) -> None:
    folder = solfa.load(GOLDEN / MUQ[0]).save_pretrained(tmp_path / "saved")
    values = json.loads((folder / "config.json").read_text())
    del values["weights_sha256"]
    (folder / "config.json").write_text(json.dumps(values))
    weights = load_file(folder / "model.safetensors")
    weights["context.layers.0.attention.value.weight"] *= damage
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"may be damaged.*fetch the whole|NaN.*Fetch them again"):
        solfa.load(folder)


def test_a_swapped_tokenizer_is_noticed_by_its_answer(tmp_path: Path) -> None:
    folder = solfa.load(GOLDEN / "muq_mulan").save_pretrained(tmp_path / "saved")
    tokenizer = json.loads((folder / "text" / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary[6:] = vocabulary[:5:-1]
    (folder / "text" / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="does not give the answer"):
        solfa.load(folder)


def test_a_folder_with_other_things_in_it_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds no saved model"):
        solfa.load(GOLDEN / MUQ[0]).save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_saving_again_replaces_the_model(tmp_path: Path) -> None:
    solfa.load(GOLDEN / MUQ[0]).save_pretrained(tmp_path / "saved")
    solfa.load(GOLDEN / MUQ[1]).save_pretrained(tmp_path / "saved")
    assert solfa.load(tmp_path / "saved").frame_rate == 50.0


def test_what_is_pushed_to_the_hub_loads_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is a folder here: its three calls that are used do what the real ones do."""
    hub = tmp_path / "hub"

    class Api:
        def __init__(self, token: str | None = None) -> None:
            self.token = token

        def create_repo(self, name: str, **options: Any) -> str:
            (hub / name).mkdir(parents=True, exist_ok=options["exist_ok"])
            return f"https://hub/{name}"

        def upload_folder(self, *, repo_id: str, folder_path: Path, **options: Any) -> None:
            shutil.copytree(folder_path, hub / repo_id, dirs_exist_ok=True)

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        into = tmp_path / "cache" / name
        for pattern in allow_patterns:
            for path in (hub / name).glob(pattern):
                (into / path.relative_to(hub / name)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, into / path.relative_to(hub / name))
        return str(into)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    mulan = solfa.load(GOLDEN / "muq_mulan")
    assert mulan.push_to_hub("somebody/tiny-mulan") == "https://hub/somebody/tiny-mulan"
    loaded = solfa.load("somebody/tiny-mulan")
    assert torch.equal(loaded.embed_text(["calm piano"]), mulan.embed_text(["calm piano"]))
    assert 'solfa.load("tiny-mulan")' in (hub / "somebody/tiny-mulan/README.md").read_text()


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("n_bytes", [100, 1_000_000_000])
def test_a_full_disk_leaves_the_folder_as_it_was(is_there: bool, n_bytes: int, tmp_path: Path) -> None:
    model = solfa.load(GOLDEN / MUQ[0])
    if is_there:
        model.save_pretrained(tmp_path / "saved")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    n_weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    size = min(n_bytes, n_weights - 100)  # not even the card, or all but the end of the weights
    with full_disk(size), pytest.raises(WriteError, match=r"saved could not be written.*Free some space"):
        model.save_pretrained(tmp_path / "saved", ModelCard(title="Another"))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (tmp_path / "saved").exists() == is_there


def test_what_a_killed_save_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "saved" / ".saved.1-0.partial").mkdir(parents=True)
    saved = solfa.load(GOLDEN / MUQ[0]).save_pretrained(tmp_path / "saved")
    assert solfa.load(saved).config == solfa.load(GOLDEN / MUQ[0]).config


def test_files_that_a_user_put_beside_a_saved_model_stay(tmp_path: Path) -> None:
    model = solfa.load(GOLDEN / MUQ[0])
    (model.save_pretrained(tmp_path / "saved") / "notes.txt").write_text("mine")
    model.save_pretrained(tmp_path / "saved", is_half=True)
    assert (tmp_path / "saved" / "notes.txt").read_text() == "mine"
    assert not list((tmp_path / "saved").glob("*.partial"))
    solfa.load(tmp_path / "saved")
