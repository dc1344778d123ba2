"""MERT is trained: two processes equal one, a resumed run goes on as it was, and it learns."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import solfa
from solfa.config import override
from solfa.data.manifest import read_manifest, write_manifest
from solfa.recipes import recipe
from solfa.training import RunConfig
from training.test_trainer import log_of, stop_after, train
from training.test_two_processes import assert_same, gradients


@pytest.fixture
def mert_run(manifest: Path) -> RunConfig:
    """One layer of 16 on clips of 1.5 s, all of them mixed, without randomness of its own."""
    return override(
        recipe("mert_tiny"),
        {
            "objective.encoder.convolutions.n_channels": 8,
            "objective.encoder.transformer.n_layers": 1,
            "objective.encoder.transformer.dim": 16,
            "objective.encoder.transformer.feed_forward_dim": 32,
            "objective.encoder.transformer.position_kernel_frames": 16,
            "objective.mixing.mixing_probability": 1.0,
            "objective.predictions.0.target.quantizer.codebook_size": 32,
            "data.manifest": str(manifest),
            "data.valid_manifest": str(manifest),
            "data.clip_seconds": 1.5,
            "data.clips_per_step": 4,
            "data.n_valid_clips": 3,
            "optim.warmup_steps": 2,
            "n_steps": 6,
            "log_every": 1,
            "validate_every": 3,
            "checkpoint_every": 2,
        },
    )


def test_two_processes_hide_and_mix_what_one_does(mert_run: RunConfig, tmp_path: Path) -> None:
    config = override(mert_run, {"n_steps": 1})
    one = gradients(config, tmp_path, 1)
    assert_same(one, gradients(config, tmp_path, 2))


def test_two_processes_log_what_one_logs(mert_run: RunConfig, tmp_path: Path) -> None:
    config = override(mert_run, {"n_steps": 1})
    for n in (1, 2):
        gradients(config, tmp_path, n)
    one, two = (log_of(tmp_path / f"{n} processes, 4 clips.run")[0] for n in (1, 2))
    for name in ("loss", "squared_error", "feature_penalty", "unigram_loss", "valid_unigram_loss"):
        assert one[name] == pytest.approx(two[name], rel=1e-5), name


def test_six_steps_equal_three_saved_and_three_more(mert_run: RunConfig, tmp_path: Path) -> None:
    config = override(mert_run, {"objective.encoder.transformer.dropout": 0.1})
    whole = train(config, tmp_path / "whole")
    stop_after(config, tmp_path / "broken", 3)
    broken = train(config, tmp_path / "broken", resume=True)
    a, b = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "broken")


@pytest.mark.usefixtures("unchecked")
def test_it_overfits_one_track_in_codes_and_notes(mert_run: RunConfig, tmp_path: Path) -> None:
    one_track = tmp_path / "one.jsonl"
    write_manifest(read_manifest(Path(mert_run.data.manifest))[:1], one_track)
    config = override(
        mert_run,
        {"data.manifest": str(one_track), "objective.mixing": None, "optim.lr": 1e-2, "n_steps": 50,
         "validate_every": 100, "checkpoint_every": 100},
    )  # fmt: skip
    train(config, tmp_path / "run")
    lines = log_of(tmp_path / "run")
    for name in ("loss_by_codebook", "squared_error"):
        first, last = (
            torch.tensor([line[name] for line in part]).mean() for part in (lines[:3], lines[-10:])
        )
        assert last < 0.7 * first, name


def test_a_finished_run_loads_as_an_encoder(mert_run: RunConfig, tmp_path: Path) -> None:
    folder = train(override(mert_run, {"n_steps": 2}), tmp_path / "run")
    encoder = solfa.load(tmp_path / "run")
    weights = load_file(folder / "model.safetensors")
    assert torch.equal(encoder.context.norm.weight, weights["encoder.context.norm.weight"])
    assert encoder(torch.zeros(1, 24_000)).layers.shape == (2, 1, 74, 16)
