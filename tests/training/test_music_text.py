"""A MuLan learns from pairs, goes on where it was stopped, and is loaded by the name of its run."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import solfa
from conftest import save_tiny_run
from music_and_words import tiny_mulan_run, write_pairs
from solfa import checkpoint
from solfa.config import override
from solfa.models import MuLan, load
from solfa.objectives import MusicTextConfig
from solfa.recipes.resolve import with_towers
from solfa.training import Placement, RunConfig, Trainer
from training.test_two_processes import assert_same, gradients


def train(config: RunConfig, run: Path, resume: bool = False) -> Path:
    place = Placement(run=run, device=torch.device("cpu"), clips_per_device=4, n_workers=0)
    return Trainer(config, place).train(resume)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), 16)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.slow
def test_words_find_unheard_tones_after_a_tiny_training(pairs: Path, tmp_path: Path) -> None:
    unheard = write_pairs(tmp_path / "unheard", 16, seed=1)
    run = tmp_path / "run"
    train(tiny_mulan_run(pairs, data__valid_manifest=str(unheard), n_steps=100, data__n_valid_clips=8), run)
    mulan = solfa.load(run)
    assert isinstance(mulan, MuLan)
    texts = ["low slow", "high slow", "low fast", "high fast"]
    audio = torch.stack([sound(unheard.parent / f"1 {n}.wav") for n in range(16)])
    nearest = (mulan.embed_audio(audio) @ mulan.embed_text(texts).T).argmax(1)
    expected = torch.arange(16) % 4
    assert (nearest == expected).float().mean() > 0.4  # chance: 0.25
    assert (
        nearest % 2 == expected % 2
    ).float().mean() > 0.8  # high or low, which is heard first; chance: 0.5


def sound(path: Path) -> torch.Tensor:
    from solfa.data.audio import read_audio

    return torch.from_numpy(read_audio(path, sample_rate=24_000))


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(pairs: Path, tmp_path: Path) -> None:
    config = tiny_mulan_run(pairs, n_steps=4, checkpoint_every=2, optim__decay="constant")
    whole = load_file(train(config, tmp_path / "whole") / checkpoint.WEIGHTS)
    train(override(config, {"n_steps": 2}), tmp_path / "stopped")
    resumed = load_file(train(config, tmp_path / "stopped", resume=True) / checkpoint.WEIGHTS)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_run_begins_with_the_encoder_of_another_and_a_frozen_one_stays(pairs: Path, tmp_path: Path) -> None:
    encoder_run = save_tiny_run(tmp_path / "encoder")
    config = tiny_mulan_run(pairs, objective__start=str(encoder_run), objective__audio_rate=0, n_steps=2)
    config = with_towers(override(config, {"objective.mulan.text.model_dim": 999}), tmp_path / "run")
    assert isinstance(config.objective, MusicTextConfig)
    assert config.objective.mulan.text.model_dim == 24  # of the language model that was named
    train(config, tmp_path / "run")
    mulan, encoder = solfa.load(tmp_path / "run"), load(encoder_run)
    assert mulan.config.audio.encoder == encoder.config
    learned = mulan.audio.encoder.state_dict()
    assert all(torch.equal(value, learned[name]) for name, value in encoder.state_dict().items())


def test_a_saved_model_needs_no_other_file(pairs: Path, tmp_path: Path) -> None:
    train(tiny_mulan_run(pairs, n_steps=1), tmp_path / "run")
    solfa.load(tmp_path / "run").save_pretrained(tmp_path / "saved")
    saved, run = solfa.load(tmp_path / "saved"), solfa.load(tmp_path / "run")
    assert torch.equal(saved.embed_text(["low fast"]), run.embed_text(["low fast"]))
    figures = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert {"loss", "accuracy", "similarity_scale"} <= figures.keys()


@pytest.mark.slow
def test_pairs_of_two_processes_are_compared_as_those_of_one(pairs: Path, tmp_path: Path) -> None:
    config = tiny_mulan_run(
        pairs, n_steps=1, objective__mulan__audio__encoder__conformer__dropout=0.0, data__clips_per_step=8
    )
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))
