"""The running mean of weights: what it is, that a run is known by it, and that it goes on to the bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import solfa
from solfa import checkpoint
from solfa.checkpoint import CheckpointError
from solfa.config import override
from solfa.training import RunConfig
from solfa.training.averaging import WeightAverage, WeightAverageConfig, averaged
from training.test_trainer import log_of, stop_after, train
from training.test_two_processes import gradients

CPU = torch.device("cpu")


@pytest.fixture
def averaged_run(small_run: RunConfig) -> RunConfig:
    return override(small_run, {"average": WeightAverageConfig(decay=0.5), "optim.lr": 1e-2})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_is_the_corrected_running_mean() -> None:
    linear = nn.Linear(3, 2)
    average, decay, plain = WeightAverage(WeightAverageConfig(decay=0.9), linear), 0.9, torch.zeros(2, 3)
    for n in range(1, 30):
        nn.init.normal_(linear.weight)
        average.follow()
        plain = decay * plain + (1 - decay) * linear.weight.detach()
        with averaged(average):
            torch.testing.assert_close(linear.weight.detach(), plain / (1 - decay**n))


def test_of_a_young_run_it_reaches_over_its_last_part() -> None:
    linear = nn.Linear(1, 1, bias=False)
    averages = [WeightAverage(WeightAverageConfig(recent_share=share), linear) for share in (None, 0.1)]
    for step in range(1, 201):
        nn.init.constant_(linear.weight, step)
        for average in averages:
            average.follow()
    of_all, of_recent = (float(average.means["weight"]) for average in averages)
    assert of_all == pytest.approx(100, abs=5)  # the middle of the run
    assert of_recent == pytest.approx(200 - 200 / 11, abs=2)  # behind by a tenth of what is before
    nn.init.constant_(linear.weight, 0.0)
    for _ in range(100_000):
        averages[1].follow()
    assert float(averages[1].means["weight"]) < 1e-3


def test_a_mean_over_the_last_part_never_has_a_longer_reach_than_the_decay() -> None:
    linear = nn.Linear(1, 1, bias=False)
    average = WeightAverage(WeightAverageConfig(decay=0.9, recent_share=0.5), linear)
    nn.init.constant_(linear.weight, 1.0)
    for _ in range(1_000):
        average.follow()
    nn.init.constant_(linear.weight, 0.0)
    for _ in range(10):
        average.follow()
    assert float(average.means["weight"]) == pytest.approx(0.9**10)


def test_after_one_step_it_is_the_weights_and_before_it_nothing() -> None:
    linear = nn.Linear(3, 2)
    average, before = WeightAverage(WeightAverageConfig(), linear), linear.weight.detach().clone()
    nn.init.normal_(linear.weight)
    now = linear.weight.detach().clone()
    with averaged(average):
        assert torch.equal(linear.weight, now) and not torch.equal(now, before)
    average.follow()
    with averaged(average):
        torch.testing.assert_close(linear.weight.detach(), now)


def test_weights_are_as_before_when_the_mean_has_stood_in_their_place() -> None:
    linear = nn.Linear(3, 2)
    average = WeightAverage(WeightAverageConfig(decay=0.5), linear)
    average.follow()
    nn.init.normal_(linear.weight)
    average.follow()
    before = linear.weight.detach().clone()
    with pytest.raises(RuntimeError, match="inside"), averaged(average):
        assert not torch.equal(linear.weight, before)
        raise RuntimeError("inside")
    assert torch.equal(linear.weight, before)


def test_training_itself_does_not_change(averaged_run: RunConfig, tmp_path: Path) -> None:
    plain = weights(train(override(averaged_run, {"average": None}), tmp_path / "plain"))
    folder = train(averaged_run, tmp_path / "averaged")
    beside = checkpoint.load_training(folder, CPU)["average"]["weights"]
    assert beside and all(torch.equal(plain[name], value) for name, value in beside.items())


def test_a_run_is_known_by_the_mean(averaged_run: RunConfig, tmp_path: Path) -> None:
    """With the last step's weight at one half, the mean lies off the weights by what the last steps moved."""
    folder = train(averaged_run, tmp_path / "run")
    loaded, saved = solfa.load(tmp_path / "run").state_dict(), weights(folder)
    beside = checkpoint.load_training(folder, CPU)["average"]["weights"]
    assert all(torch.equal(saved[f"encoder.{name}"], value) for name, value in loaded.items())
    assert any(not torch.equal(saved[name], value) for name, value in beside.items())


def test_six_steps_equal_three_saved_and_three_more(averaged_run: RunConfig, tmp_path: Path) -> None:
    averaged_run = override(averaged_run, {"keep_best": True})
    whole = train(averaged_run, tmp_path / "whole")
    stop_after(averaged_run, tmp_path / "broken", 3)
    broken = train(averaged_run, tmp_path / "broken", resume=True)
    assert equal(weights(whole), weights(broken))
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "broken")
    assert equal(*(load_file(tmp_path / name / "best.safetensors") for name in ("whole", "broken")))
    states = [checkpoint.load_training(folder, CPU)["average"] for folder in (whole, broken)]
    assert states[0]["n_steps"] == states[1]["n_steps"] == 6
    assert equal(states[0]["weights"], states[1]["weights"])


def test_the_best_step_is_that_of_the_mean(averaged_run: RunConfig, tmp_path: Path) -> None:
    config = override(averaged_run, {"keep_best": True, "n_steps": 3})
    saved = weights(train(config, tmp_path / "run"))
    assert equal(load_file(tmp_path / "run" / "best.safetensors"), saved)


def test_a_run_without_a_mean_may_go_on_with_one_and_the_other_way_round(
    averaged_run: RunConfig, tmp_path: Path
) -> None:
    plain = override(averaged_run, {"average": None})
    whole = weights(train(plain, tmp_path / "whole"))
    stop_after(plain, tmp_path / "run", 2)
    config = override(averaged_run, {"n_steps": 4, "optim.decay": "constant"})
    train(override(config, {"n_steps": 3}), tmp_path / "run", resume=True)
    found = checkpoint.load_training(checkpoint.step_folder(tmp_path / "run", 3), CPU)["average"]
    assert found["n_steps"] == 1
    stop_after(averaged_run, tmp_path / "back", 3)
    assert equal(whole, weights(train(plain, tmp_path / "back", resume=True)))


def test_weights_beside_a_mean_that_are_damaged_are_refused(averaged_run: RunConfig, tmp_path: Path) -> None:
    folder = train(override(averaged_run, {"n_steps": 1}), tmp_path / "run")
    state = torch.load(folder / "training.pt", weights_only=True)
    next(iter(state["average"]["weights"].values())).fill_(torch.nan)
    torch.save(state, folder / "training.pt")
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(CheckpointError, match="beside its running mean"):
        train(averaged_run, tmp_path / "run", resume=True)


def test_two_processes_have_the_mean_of_one(averaged_run: RunConfig, tmp_path: Path) -> None:
    config = override(
        averaged_run,
        {"n_steps": 2, "objective.encoder.conformer.dropout": 0.0, "optim.eps": 1.0, "optim.lr": 0.1},
    )
    for n in (1, 2):
        gradients(config, tmp_path, n)
    one, two = (weights(tmp_path / f"{n} processes, 4 clips.run" / "step-00000002") for n in (1, 2))
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], atol=1e-5, rtol=1e-4)
