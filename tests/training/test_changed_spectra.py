"""Training on changed spectra: resumed to the bit, alike on two ranks, held-out clips as they are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from solfa.config import override
from solfa.data.manifest import read_manifest
from solfa.data.spectra import store_spectra
from solfa.training import RunConfig
from training.test_small_run import TWO, small
from training.test_trainer import log_of, stop_after, train
from training.test_two_processes import assert_same, gradients

CHANGES: dict[str, Any] = {
    "data.augmentation": {"transposition_probability": 1.0, "stretch_probability": 0.5},
    "objective.spectra_mixing": {"mixing_probability": 1.0},
}


@pytest.fixture
def config(manifest: Path, tmp_path: Path) -> RunConfig:
    """A tiny solfa_small that reads stored spectra as they are."""
    store_spectra(read_manifest(manifest), tmp_path / "spectra")
    return override(small(TWO, manifest), {"data.spectra": str(tmp_path / "spectra")})


def test_a_resumed_run_changes_its_clips_as_the_whole_one(config: RunConfig, tmp_path: Path) -> None:
    changed = override(config, CHANGES)
    whole = train(changed, tmp_path / "whole")
    stop_after(changed, tmp_path / "broken", 3)
    broken = train(changed, tmp_path / "broken", resume=True)
    a, b = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "broken")


def test_two_processes_give_the_gradients_of_one(config: RunConfig, tmp_path: Path) -> None:
    changed = override(config, {**CHANGES, "n_steps": 1, "data.valid_manifest": ""})
    assert_same(gradients(changed, tmp_path, 1), gradients(changed, tmp_path, 2))


def test_clips_to_learn_from_are_changed_and_held_out_ones_are_not(config: RunConfig, tmp_path: Path) -> None:
    still = override(config, {"n_steps": 3, "optim.lr": 1e-12, "optim.adam_lr": 1e-12})
    for name, run in (("plain", still), ("changed", override(still, CHANGES))):
        train(run, tmp_path / name)
    plain, changed = log_of(tmp_path / "plain"), log_of(tmp_path / "changed")
    assert plain[0]["loss"] != pytest.approx(changed[0]["loss"], rel=1e-4)
    assert plain[-1]["valid_loss"] == pytest.approx(changed[-1]["valid_loss"], rel=1e-6)
