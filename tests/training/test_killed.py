"""SIGKILL at twenty random moments, also while a checkpoint is written: the run goes on to the bit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from solfa import checkpoint
from solfa.config import override, save_config
from solfa.training import RunConfig

N_KILLS = 20
N_STEPS = 200
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture
def report(small_run: RunConfig, folder: Path) -> dict[str, int]:
    """Twenty kills, once for all tests here."""
    done = folder / "report.json"
    if not done.exists():
        config = override(
            small_run,
            {
                "data.valid_manifest": "",
                "data.clips_per_step": 2,
                "n_steps": N_STEPS,
                "checkpoint_every": 1,
                "log_every": 2,
            },
        )
        save_config(config, folder / "config.json")
        script = Path(__file__).with_name("killed_runs.py")
        command = [sys.executable, script, folder / "config.json", folder, str(N_KILLS)]
        output = subprocess.run(command, capture_output=True, text=True, check=False)
        assert output.returncode == 0, output.stderr
        done.write_text(output.stdout)
    return json.loads(done.read_text())


def test_it_was_killed_twenty_times_some_of_them_while_it_saved(report: dict[str, int]) -> None:
    assert report["kills"] == N_KILLS
    assert report["in_a_save"] > 0


def test_weights_and_optimiser_are_those_of_the_unbroken_run(report: dict[str, int], folder: Path) -> None:
    whole, killed = (checkpoint.step_folder(folder / name, N_STEPS) for name in ("whole", "killed"))
    a, b = load_file(whole / "model.safetensors"), load_file(killed / "model.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)
    moments = [
        checkpoint.load_training(path, torch.device("cpu"))["optimizers"][0]["state"]
        for path in (whole, killed)
    ]
    assert all(
        torch.equal(moments[0][i][name], moments[1][i][name]) for i in moments[0] for name in moments[0][i]
    )


def test_losses_are_those_of_the_unbroken_run(report: dict[str, int], folder: Path) -> None:
    def losses(name: str) -> list[tuple[int, float, float]]:
        lines = [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]
        return [(line["step"], line["loss"], line["gradient_norm"]) for line in lines]

    assert len(losses("whole")) == N_STEPS / 2
    assert losses("whole") == losses("killed")


def test_every_step_saw_the_clips_of_the_unbroken_run(report: dict[str, int], folder: Path) -> None:
    def order(name: str) -> list[Any]:
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]

    whole = {step: rest for step, *rest in order("whole.order")}
    assert len(whole) == N_STEPS
    assert all(rest == whole[step] for step, *rest in order("killed.order"))


def test_nothing_half_written_is_left(report: dict[str, int], folder: Path) -> None:
    assert not list((folder / "killed").glob(f"*{checkpoint.PARTIAL}"))
