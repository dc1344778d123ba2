"""Weights shared out among four and two processes learn what those of one do; runs go on among others."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import solfa
from solfa import checkpoint
from solfa.checkpoint import CheckpointError
from solfa.config import override, save_config
from solfa.errors import ArgumentError
from solfa.objectives import build_objective
from solfa.recipes import recipe
from solfa.training import MuonConfig, Placement, RunConfig, Trainer, sharding
from solfa.training.recomputing import recompute
from training.test_small_run import TWO, small

CPU = torch.device("cpu")
N_STEPS, SAVED_BY_FOUR = 20, 7
# What rounding may make of twenty steps: of a loss, and of weights beside the largest of their tensor. Where
# Muon makes matrices orthogonal, small differences grow.
TOLERANCES = {"muq": (1e-5, 1e-4), "muq muon": (1e-4, 1e-3), "solfa_small": (1e-4, 1e-3)}
COMMON: dict[str, Any] = {
    "n_steps": N_STEPS, "n_checkpoints_kept": 9, "log_every": 1, "validate_every": 5, "checkpoint_every": 50,
    "keep_best": True, "average": {"decay": 0.9}, "max_gradient_norm": 1.0,
}  # fmt: skip


def configs(small_run: RunConfig, manifest: Path) -> dict[str, RunConfig]:
    """MuQ with AdamW and with Muon, gathered layer by layer; SolfaSmall in two steps, gathered as a whole."""
    muq = {**COMMON, "objective.encoder.conformer.dropout": 0.0, "objective.encoder.conformer.n_layers": 2}
    muon = {"optim": MuonConfig(lr=1e-3, adam_lr=1e-3, eps=1e-3, warmup_steps=4)}
    return {
        "muq": override(small_run, {**muq, "optim.warmup_steps": 4, "optim.eps": 1e-3}),
        "muq muon": override(small_run, {**muq, **muon}),
        "solfa_small": override(small(TWO, manifest), {**COMMON, **muon, "data.n_valid_clips": 3}),
    }


def losses(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


Runs = dict[str, tuple[Path, Path]]


@pytest.fixture(scope="module")
def runs(small_run: RunConfig, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Of each configuration a run of one process, and one of four processes, then two, then one."""
    folder = tmp_path_factory.mktemp("sharded")
    names = list(configs(small_run, manifest).items())
    for name, config in names:
        save_config(config, folder / f"{name}.json")
    program = [sys.executable, Path(__file__).with_name("sharded_ranks.py"), folder]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return {name: (folder / f"{name}.one", folder / f"{name}.shared") for name, _ in names}


NAMES = list(TOLERANCES)


@pytest.mark.parametrize("name", NAMES)
def test_four_then_two_then_one_process_learn_what_one_learns(name: str, runs: Runs) -> None:
    one, shared = (losses(run) for run in runs[name])
    assert [line["step"] for line in shared] == list(range(1, N_STEPS + 1))
    for a, b in zip(one, shared, strict=True):
        assert a.keys() == b.keys()
        # Agreement compares the clips of a pass, and in validation each process has passes of its own.
        for figure in ("loss", "gradient_norm", *(("valid_loss",) if name != "solfa_small" else ())):
            if figure in a:
                assert b[figure] == pytest.approx(a[figure], rel=TOLERANCES[name][0]), (figure, a["step"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", [f"step-{N_STEPS:08d}/model.safetensors", "best.safetensors"])
def test_weights_and_their_running_means_are_those_of_one_process(name: str, file: str, runs: Runs) -> None:
    one, shared = (load_file(run / file) for run in runs[name])
    assert one.keys() == shared.keys()
    for tensor, a in one.items():
        largest = max(float(a.float().abs().max()), 1e-3)
        assert float((a.float() - shared[tensor].float()).abs().max()) <= TOLERANCES[name][1] * largest, (
            tensor
        )


def copied(runs: Runs, to: Path) -> Path:
    """A run that four processes saved last."""
    run = Path(shutil.copytree(runs["muq"][1], to / "run"))
    for step in checkpoint.steps(run):
        if step > SAVED_BY_FOUR:
            shutil.rmtree(checkpoint.step_folder(run, step))
    assert (
        len(list((checkpoint.step_folder(run, SAVED_BY_FOUR) / checkpoint.SHARDS).glob("*.safetensors"))) == 4
    )
    return run


def test_a_run_with_shards_loads_as_any_other(runs: Runs, tmp_path: Path) -> None:
    assert solfa.load(copied(runs, tmp_path)).n_layers == 2


def test_shards_that_a_kill_left_are_in_nobodys_way(runs: Runs) -> None:
    """Two processes were killed while they saved step 9: the run went on from step 7."""
    for name in NAMES:
        assert checkpoint.steps(runs[name][1]) == [3, SAVED_BY_FOUR, 14, N_STEPS]
        assert not list(runs[name][1].glob("*.partial"))


def _flipped(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)


def _forgotten(shard: Path) -> None:
    shard.unlink()
    (shard.parent / "SHA256SUMS").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_flipped, "its SHA-256 is not the one"),
        (Path.unlink, "there is no shard"),
        (_forgotten, r"holds \d+ of the \d+ values of"),
    ],
)
def test_shards_that_are_damaged_or_missing_are_named(
    damage: Callable[[Path], None],
    said: str,
    runs: Runs,
    small_run: RunConfig,
    manifest: Path,
    tmp_path: Path,
) -> None:
    run = copied(runs, tmp_path)
    damage(sorted((checkpoint.step_folder(run, SAVED_BY_FOUR) / checkpoint.SHARDS).glob("*.safetensors"))[1])
    one = Trainer(configs(small_run, manifest)["muq"], Placement(run=run, device=CPU, clips_per_device=4))
    with pytest.raises(CheckpointError, match=said):
        one.load(checkpoint.step_folder(run, SAVED_BY_FOUR))


def test_layers_that_are_computed_again_change_nothing(small_run: RunConfig, tmp_path: Path) -> None:
    """Dropout and statistics of batches are those of the first time."""
    config, weights = override(small_run, {"n_steps": 2, "data.valid_manifest": ""}), []
    for again in (False, True):
        place = Placement(
            run=tmp_path / str(again), device=CPU, clips_per_device=2, n_workers=0, recomputes=again
        )
        weights.append(load_file(Trainer(config, place).train() / "model.safetensors"))
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_an_objective_whose_weights_are_read_elsewhere_is_refused() -> None:
    objective = build_objective(recipe("mel_rvq").objective)
    with pytest.raises(ArgumentError, match=r"cannot be shared out among processes\. Train without --shard"):
        sharding.shard(objective, CPU)
    with pytest.raises(ArgumentError, match=r"Train without --recompute"):
        recompute(objective)
