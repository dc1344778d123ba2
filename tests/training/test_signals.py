"""A training that is told to end, ends: saved, with its worker processes, and without a hang."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from solfa import checkpoint
from solfa.config import override, save_config
from solfa.training import RunConfig

pytestmark = pytest.mark.slow


def started(config: RunConfig, tmp_path: Path) -> subprocess.Popen[str]:
    """A training in a session of its own, with a worker process, after its first checkpoint."""
    save_config(config, tmp_path / "config.json")
    words = [
        "train",
        tmp_path / "config.json",
        "--out",
        tmp_path / "run",
        "--workers",
        "1",
        "--device",
        "cpu",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "solfa", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    latest = time.monotonic() + 120
    while not checkpoint.steps(tmp_path / "run") and process.poll() is None and time.monotonic() < latest:
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_all_its_processes_ends_a_run_that_is_saved(
    small_run: RunConfig, tmp_path: Path, number: int
) -> None:
    config = override(small_run, {"n_steps": 100_000, "validate_every": 100_000, "data.valid_manifest": ""})
    process = started(config, tmp_path)
    os.killpg(process.pid, number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 3
    assert "Continue with --resume" in " ".join(said.split())
    assert "Traceback" not in said


def test_a_second_training_in_the_same_folder_is_refused(small_run: RunConfig, tmp_path: Path) -> None:
    config = override(small_run, {"n_steps": 100_000, "validate_every": 100_000, "data.valid_manifest": ""})
    first = started(config, tmp_path)
    words = ["train", tmp_path / "config.json", "--out", tmp_path / "run", "--resume"]
    second = subprocess.run(
        [sys.executable, "-m", "solfa", *words], capture_output=True, text=True, timeout=120
    )
    first.kill()
    first.communicate()
    assert second.returncode == 3
    assert "Another process is writing" in second.stderr
