"""Trainer: continuity, what it logs, and what it refuses."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import solfa
from solfa import checkpoint
from solfa.config import override
from solfa.data.manifest import read_manifest, write_manifest
from solfa.objectives import build_objective
from solfa.training import AdamWConfig, Interrupted, MuonConfig, Placement, RunConfig, Trainer, TrainingError
from solfa.training.monitor import CollapseAlarms, code_figures
from solfa.training.optim import OptimConfig, build_optimizers, rate_share

TIMES = ("seconds", "audio_hours_per_hour", "waiting_share")


def train(config: RunConfig, run: Path, resume: bool = False, **place: Any) -> Path:
    where = Placement(run=run, device=torch.device("cpu"), **{"clips_per_device": 4, "n_workers": 0, **place})
    return Trainer(config, where).train(resume)


def log_of(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def stop_after(config: RunConfig, run: Path, step: int) -> None:
    def on_step(number: int, figures: dict[str, Any]) -> None:
        trainer.stop_requested = number == step

    where = Placement(run=run, device=torch.device("cpu"), clips_per_device=4, n_workers=0)
    trainer = Trainer(config, where, on_step)
    with pytest.raises(Interrupted, match=f"after step {step}.*--resume"):
        trainer.train()


@pytest.mark.parametrize("optim", [AdamWConfig(warmup_steps=2), MuonConfig(warmup_steps=2)])
def test_six_steps_equal_three_saved_and_three_more(
    optim: OptimConfig, small_run: RunConfig, tmp_path: Path
) -> None:
    small_run = override(small_run, {"optim": optim})
    whole = train(small_run, tmp_path / "whole")
    stop_after(small_run, tmp_path / "broken", 3)
    broken = train(small_run, tmp_path / "broken", resume=True)
    a, b = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "broken")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_a_run_after_its_step_which_is_saved(
    number: signal.Signals, small_run: RunConfig, tmp_path: Path
) -> None:
    def on_step(step: int, figures: dict[str, Any]) -> None:
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    where = Placement(run=tmp_path, device=torch.device("cpu"), clips_per_device=4, n_workers=0)
    with pytest.raises(Interrupted, match=r"after step 1.*--resume"):
        Trainer(small_run, where, on_step).train()
    assert checkpoint.steps(tmp_path) == [1]
    assert signal.getsignal(number) is before


def test_worker_processes_change_nothing(small_run: RunConfig, tmp_path: Path) -> None:
    small_run = override(small_run, {"n_steps": 2})
    a = load_file(train(small_run, tmp_path / "none") / "model.safetensors")
    b = load_file(train(small_run, tmp_path / "two", n_workers=2) / "model.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_accumulated_batches_see_the_same_clips(small_run: RunConfig, tmp_path: Path) -> None:
    small_run = override(small_run, {"n_steps": 1, "validate_every": 100})
    train(small_run, tmp_path / "at once")
    train(small_run, tmp_path / "in parts", clips_per_device=3)
    once, parts = log_of(tmp_path / "at once")[0], log_of(tmp_path / "in parts")[0]
    assert once["unigram_loss"] == parts["unigram_loss"]


def test_the_first_loss_is_that_of_guessing(small_run: RunConfig, tmp_path: Path) -> None:
    train(override(small_run, {"n_steps": 1}), tmp_path / "run")
    assert log_of(tmp_path / "run")[0]["loss"] == pytest.approx(torch.log(torch.tensor(32.0)).item(), abs=0.6)


@pytest.mark.usefixtures("unchecked")
def test_a_tiny_recipe_overfits_four_clips(small_run: RunConfig, tmp_path: Path) -> None:
    one_track = tmp_path / "one.jsonl"
    write_manifest(read_manifest(Path(small_run.data.manifest))[:1], one_track)
    config = override(
        small_run,
        {
            "data.manifest": str(one_track),
            "objective.encoder.conformer.dropout": 0.0,
            "optim.lr": 1e-2,
            "n_steps": 60,
            "validate_every": 100,
            "checkpoint_every": 100,
        },
    )
    train(config, tmp_path / "run")
    losses = [line["loss"] for line in log_of(tmp_path / "run")]
    assert min(losses[-10:]) < 0.6 * losses[0]


def test_the_log_tells_what_a_researcher_asks(small_run: RunConfig, tmp_path: Path) -> None:
    train(override(small_run, {"n_steps": 3}), tmp_path / "run")
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    asked = {
        "step", "loss", "lr", "gradient_norm", "accuracy", "accuracy_by_codebook", "unigram_accuracy",
        "unigram_loss", "perplexity_by_codebook", "used_share", "audio_hours_per_hour", "waiting_share",
        "valid_loss", "valid_accuracy", "valid_unigram_accuracy",
    }  # fmt: skip
    assert asked <= line.keys()


def test_a_finished_run_loads_as_an_encoder(small_run: RunConfig, tmp_path: Path) -> None:
    folder = train(override(small_run, {"n_steps": 2}), tmp_path / "run")
    encoder = solfa.load(tmp_path / "run")
    weights = load_file(folder / "model.safetensors")
    assert torch.equal(encoder.context.norm.weight, weights["encoder.context.norm.weight"])
    assert encoder(torch.zeros(1, 24_000)).layers.shape == (2, 1, 25, 16)


def test_a_fresh_run_refuses_a_folder_that_holds_one(small_run: RunConfig, tmp_path: Path) -> None:
    train(override(small_run, {"n_steps": 1}), tmp_path / "run")
    with pytest.raises(TrainingError, match="--resume, or choose another --out"):
        train(small_run, tmp_path / "run")


def test_a_checkpoint_of_another_shape_is_refused_with_the_cure(small_run: RunConfig, tmp_path: Path) -> None:
    train(override(small_run, {"n_steps": 1}), tmp_path / "run")
    wider = override(small_run, {"objective.encoder.conformer.feed_forward_dim": 48})
    with pytest.raises(checkpoint.CheckpointError, match=r"(?s)another shape.*without changes to objective"):
        train(wider, tmp_path / "run", resume=True)


def test_a_run_without_tracks_is_refused_with_the_cure(small_run: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="solfa data prepare"):
        train(override(small_run, {"data.manifest": ""}), tmp_path / "run")


def test_tracks_shorter_than_a_clip_are_refused_with_the_cure(small_run: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Lower data\.clip_seconds"):
        train(override(small_run, {"data.clip_seconds": 30.0}), tmp_path / "run")


def copied(manifest: str, tmp_path: Path) -> Path:
    shutil.copytree(Path(manifest).parent, tmp_path / "music")
    return tmp_path / "music" / "tracks.jsonl"


def test_a_track_that_vanishes_is_replaced_and_counted(small_run: RunConfig, tmp_path: Path) -> None:
    manifest = copied(small_run.data.manifest, tmp_path)
    (tmp_path / "music" / "track 3.wav").unlink()
    train(override(small_run, {"data.manifest": str(manifest), "n_steps": 4}), tmp_path / "run")
    state = checkpoint.load_training(checkpoint.step_folder(tmp_path / "run", 4), torch.device("cpu"))
    assert 0 < state["n_unreadable"] < 16


def test_a_folder_that_vanishes_stops_the_run_with_the_cure(small_run: RunConfig, tmp_path: Path) -> None:
    manifest = copied(small_run.data.manifest, tmp_path)
    for path in (tmp_path / "music").glob("*.wav"):
        path.unlink()
    with pytest.raises(Exception, match="Is the folder still there"):
        train(override(small_run, {"data.manifest": str(manifest)}), tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_the_run_with_the_cure(small_run: RunConfig, tmp_path: Path) -> None:
    config = override(small_run, {"optim.lr": 1e30, "optim.warmup_steps": 0, "max_gradient_norm": None})
    with pytest.raises((TrainingError, ValueError), match=r"not finite.*lowering optim\.lr|NaN"):
        train(config, tmp_path / "run")


def test_collapsed_targets_are_refused(small_run: RunConfig, tmp_path: Path) -> None:
    config = override(small_run, {"objective.predictions.0.target.quantizer.codebook_size": 1})
    with pytest.raises(ValueError, match=r"targets are collapsed.*Fit the quantizer longer"):
        train(config, tmp_path / "run")


def test_warm_up_then_linear_decay() -> None:
    config = AdamWConfig(lr=1.0, warmup_steps=4)
    assert [rate_share(config, step, 12) for step in (0, 3, 4, 8, 11)] == [0.25, 1.0, 1.0, 0.5, 0.125]


def test_muon_takes_the_matrices_of_what_outlives_training_and_adam_all_else(small_run: RunConfig) -> None:
    objective = build_objective(small_run.objective)
    muon, adam = build_optimizers(MuonConfig(lr=0.1, adam_lr=0.2), objective)
    matrices = [p for p in objective.model.parameters() if p.ndim == 2]
    assert [id(p) for p in muon.param_groups[0]["params"]] == [id(p) for p in matrices]
    n_learning = sum(p.requires_grad for p in objective.parameters())
    assert len(adam.param_groups[0]["params"]) == n_learning - len(matrices)
    assert (muon.param_groups[0]["peak_lr"], adam.param_groups[0]["peak_lr"]) == (0.1, 0.2)


def test_an_update_of_muon_moves_all_directions_as_far(small_run: RunConfig) -> None:
    objective = build_objective(small_run.objective)
    muon, _ = build_optimizers(MuonConfig(weight_decay=0.0), objective)
    matrix = muon.param_groups[0]["params"][0]
    before = matrix.detach().clone()
    rare, common = torch.zeros_like(matrix), torch.zeros_like(matrix)
    rare[0, 0], common[1, 1] = 1.0, 100.0
    matrix.grad = rare + common
    muon.step()
    moved = (matrix.detach() - before).abs()
    assert 0.5 < float(moved[0, 0] / moved[1, 1]) < 2


def test_uniform_codes_have_full_perplexity_and_one_code_has_one() -> None:
    figures = code_figures(torch.tensor([[5, 5, 5, 5], [20, 0, 0, 0]]))
    assert figures["perplexity_by_codebook"] == [4.0, 1.0]
    assert figures["unigram_accuracy"] == pytest.approx((0.25 + 1.0) / 2)
    assert figures["used_share"] == pytest.approx(5 / 8)


def test_a_worry_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    worries = CollapseAlarms()
    for step in (1, 2, 3):
        worries.look({"step": step, "waiting_share": 0.5, "perplexity_by_codebook": [300.0, 1.2]})
    # A run's first steps wait because it starts.
    assert [record.message.split(":")[0] for record in caplog.records] == ["Step 1", "Step 2"]
    assert "--workers" in caplog.text and "nearly collapsed" in caplog.text
