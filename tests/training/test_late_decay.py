"""A constant rate that falls late: a run can end anywhere, and go on as if it had always been longer."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import solfa
from solfa import checkpoint
from solfa.checkpoint import CheckpointError
from solfa.config import override
from solfa.training import AdamWConfig, RunConfig
from solfa.training.optim import last_constant_step, rate_share
from training.test_trainer import log_of, stop_after, train

LATE = AdamWConfig(lr=1e-2, warmup_steps=2, decay="late", decay_share=0.4)


@pytest.fixture
def run_of_five(small_run: RunConfig) -> RunConfig:
    """Two steps of warming up, one at the full rate, two in which it falls."""
    return override(
        small_run, {"optim": LATE, "n_steps": 5, "checkpoint_every": 100, "n_checkpoints_kept": 1}
    )


def equal(a: Path, b: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in (a, b))
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_rate_rises_stays_and_falls_in_the_last_steps() -> None:
    shares = [rate_share(LATE, step, 10) for step in range(10)]
    assert shares == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert last_constant_step(LATE, 10) == 6


def test_a_longer_run_has_the_same_rates_up_to_the_fall_of_the_shorter() -> None:
    n = last_constant_step(LATE, 10)
    assert [rate_share(LATE, s, 10) for s in range(n)] == [rate_share(LATE, s, 30) for s in range(n)]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_any_share_of_the_steps_may_fall_but_not_those_of_the_warm_up(share: float) -> None:
    config = AdamWConfig(warmup_steps=3, decay="late", decay_share=share)
    shares = [rate_share(config, step, 10) for step in range(10)]
    assert shares[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert shares[9] == pytest.approx(1 if share == 0 else 1 / 7)


def test_a_finished_run_made_longer_equals_one_that_was_long_from_the_start(
    run_of_five: RunConfig, tmp_path: Path
) -> None:
    longer = override(run_of_five, {"n_steps": 8})
    whole = train(longer, tmp_path / "whole")
    train(run_of_five, tmp_path / "run")
    assert checkpoint.steps(tmp_path / "run") == [3, 5]  # where the fall begins is kept, whatever is not
    again = train(longer, tmp_path / "run", resume=True)
    assert equal(whole, again)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "run")
    assert checkpoint.steps(tmp_path / "run") == [5, 8]


def test_what_the_shorter_run_had_come_to_can_still_be_loaded(run_of_five: RunConfig, tmp_path: Path) -> None:
    ended = load_file(train(run_of_five, tmp_path / "run") / "model.safetensors")
    train(override(run_of_five, {"n_steps": 8}), tmp_path / "run", resume=True)
    encoder = solfa.load(tmp_path / "run" / "ended-00000005")
    state = encoder.state_dict()
    assert all(torch.equal(ended[f"encoder.{name}"], state[name]) for name in state)


def test_stopped_while_it_falls_a_run_goes_on_falling(run_of_five: RunConfig, tmp_path: Path) -> None:
    whole = train(run_of_five, tmp_path / "whole")
    stop_after(run_of_five, tmp_path / "broken", 4)
    assert equal(whole, train(run_of_five, tmp_path / "broken", resume=True))


def test_stopped_before_it_falls_a_run_may_end_sooner(run_of_five: RunConfig, tmp_path: Path) -> None:
    longer = override(run_of_five, {"n_steps": 8})
    stop_after(longer, tmp_path / "run", 3)
    assert equal(train(run_of_five, tmp_path / "whole"), train(run_of_five, tmp_path / "run", resume=True))


def test_without_a_checkpoint_from_before_the_fall_a_longer_run_is_refused(
    run_of_five: RunConfig, tmp_path: Path
) -> None:
    train(run_of_five, tmp_path / "run")
    checkpoint.step_folder(tmp_path / "run", 3).rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"after step 3.*Set n_steps back to 5, or train anew"):
        train(override(run_of_five, {"n_steps": 8}), tmp_path / "run", resume=True)
    assert checkpoint.steps(tmp_path / "run") == [5]
