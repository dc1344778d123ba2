"""LossScale: steps that overflow are skipped by all optimisers, counted, logged and resumed."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from solfa import checkpoint
from solfa.config import override
from solfa.training import MuonConfig, Placement, RunConfig, ScaleError, Trainer
from solfa.training.loss_scale import FIRST_SCALE, LossScale
from training.test_trainer import log_of, stop_after, train

CPU = torch.device("cpu")


def scaled_trainer(config: RunConfig, run: Path, overflows: set[int]) -> Trainer:
    """A trainer that scales its loss as on CUDA, and whose gradients are infinite in some steps."""

    def on_step(step: int, figures: dict[str, Any]) -> None:
        reached[0] = step

    reached = [0]
    trainer = Trainer(config, Placement(run=run, device=CPU, clips_per_device=2, n_workers=0), on_step)
    trainer.scale = LossScale(CPU, is_used=True)
    first = next(p for p in trainer.objective.model.parameters() if p.requires_grad)
    first.register_hook(lambda gradient: gradient * (torch.inf if reached[0] in overflows else 1.0))
    return trainer


def weights_of(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(checkpoint.step_folder(run, step) / "model.safetensors")


@pytest.fixture
def muon_run(small_run: RunConfig) -> RunConfig:
    """Two optimisers, a checkpoint after each step, no dropout."""
    return override(
        small_run,
        {"optim": MuonConfig(), "objective.encoder.conformer.dropout": 0.0, "n_steps": 4,
         "checkpoint_every": 1, "n_checkpoints_kept": 9, "validate_every": 100},
    )  # fmt: skip


def test_a_scaled_loss_takes_the_steps_of_a_plain_one(muon_run: RunConfig, tmp_path: Path) -> None:
    plain = load_file(train(muon_run, tmp_path / "plain", clips_per_device=2) / "model.safetensors")
    scaled = scaled_trainer(muon_run, tmp_path / "scaled", set()).train() / "model.safetensors"
    assert all(torch.equal(plain[name], weight) for name, weight in load_file(scaled).items())


def test_a_step_with_infinite_gradients_is_taken_by_no_optimizer(muon_run: RunConfig, tmp_path: Path) -> None:
    scaled_trainer(muon_run, tmp_path, {1}).train()
    before, skipped, after = (weights_of(tmp_path, step) for step in (1, 2, 3))
    learned = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(before[name], skipped[name]) for name in learned)
    assert any(not torch.equal(after[name], skipped[name]) for name in learned)


def test_nothing_of_a_skipped_step_waits_for_the_next(muon_run: RunConfig, tmp_path: Path) -> None:
    """Else a run that goes on after it, without that, would differ from one that never stopped."""
    trainer, finished = scaled_trainer(override(muon_run, {"n_steps": 3}), tmp_path, {1}), []
    trainer.objective.finish_step = lambda: finished.append(trainer.step)  # type: ignore[assignment]
    trainer.train()
    assert finished == [0, 1, 2] and trainer.scale.n_skipped == 1


def test_skipped_steps_and_scale_are_logged(muon_run: RunConfig, tmp_path: Path) -> None:
    scaled_trainer(muon_run, tmp_path, {1, 2}).train()
    lines = log_of(tmp_path)
    assert [line["skipped_steps"] for line in lines] == [0, 1, 2, 2]
    assert [line["loss_scale"] / FIRST_SCALE for line in lines] == [1, 0.5, 0.25, 0.25]
    assert ["gradient_norm" in line for line in lines] == [True, False, False, True]
    assert "loss" in lines[0] and "loss" not in lines[1]  # nothing was learned from its batches


def test_a_resumed_run_goes_on_with_its_scale(muon_run: RunConfig, tmp_path: Path) -> None:
    scaled_trainer(override(muon_run, {"n_steps": 2}), tmp_path, {0, 1}).train()
    resumed = scaled_trainer(muon_run, tmp_path, set())
    resumed.train(resume=True)
    assert log_of(tmp_path)[-1]["loss_scale"] == FIRST_SCALE / 4
    assert resumed.scale.n_skipped == 2


def test_a_run_in_float32_goes_on_in_half_precision_and_back(muon_run: RunConfig, tmp_path: Path) -> None:
    stop_after(muon_run, tmp_path, 1)
    scaled_trainer(override(muon_run, {"n_steps": 2}), tmp_path, set()).train(resume=True)
    train(muon_run, tmp_path, resume=True)
    assert ["loss_scale" in line for line in log_of(tmp_path)] == [False, True, False, False]


def test_a_scale_that_keeps_falling_stops_the_run_with_the_cure(muon_run: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ScaleError, match=r"(?s)--resume.*precision=bfloat16.*optim\.lr.*attention_relax=32"):
        scaled_trainer(override(muon_run, {"n_steps": 40}), tmp_path, set(range(3, 40))).train()
    assert all(torch.isfinite(weight).all() for weight in weights_of(tmp_path, 20).values())


def test_gradients_are_unscaled_before_they_are_clipped(muon_run: RunConfig, tmp_path: Path) -> None:
    config = override(muon_run, {"max_gradient_norm": 1e-3, "n_steps": 1})
    train(config, tmp_path / "plain", clips_per_device=2)
    scaled_trainer(config, tmp_path / "scaled", set()).train()
    norms = [log_of(tmp_path / run)[0]["gradient_norm"] for run in ("plain", "scaled")]
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)


def test_a_processor_trains_in_float32_whatever_the_recipe_says(small_run: RunConfig, tmp_path: Path) -> None:
    config = override(small_run, {"precision": "float16", "n_steps": 1})
    trainer = Trainer(config, Placement(run=tmp_path, device=CPU, clips_per_device=4, n_workers=0))
    assert not trainer.scale.is_used
    with trainer.parallel.autocast():
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.float32


def test_a_skipped_step_is_told(caplog: pytest.LogCaptureFixture) -> None:
    scale, weight = LossScale(CPU, is_used=True), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scale.scaled(weight.sum() * torch.inf).backward()
    scale.unscale([optimizer])
    with caplog.at_level(logging.INFO):
        scale.update(7, is_taken=False)
    assert "Step 7 has infinite gradients and is skipped" in caplog.text
