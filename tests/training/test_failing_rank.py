"""Where one of two processes fails, both end, and what it says is on the screen once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from solfa.config import override, save_config
from solfa.training import RunConfig
from training.ranks import free_port


def ends(case: str, config: RunConfig, folder: Path, *more: str) -> list[tuple[str, int]]:
    """What each of two processes says, and its exit code."""
    config = override(config, {"data.valid_manifest": "", "n_steps": 2, "checkpoint_every": 1})
    save_config(config, folder / "config.json")
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    words = [
        "train",
        folder / "config.json",
        "--out",
        folder / "run",
        "--device",
        "cpu",
        "--workers",
        "0",
        *more,
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("failing_rank.py"), case, *words],
            env=os.environ | group | {"RANK": str(rank), "COLUMNS": "500"}, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert "Traceback" not in "".join(said)
    return [(text, process.returncode) for text, process in zip(said, processes, strict=True)]


# "stuck": clips fail in one process while the other waits inside a library, and cannot be asked to end.
@pytest.mark.parametrize(
    ("case", "failed", "message"),
    [
        ("stuck", 1, "no such clip here"),
        pytest.param("start", 1, "no teacher here", marks=pytest.mark.slow),
        pytest.param("data", 1, "no such clip here", marks=pytest.mark.slow),
        pytest.param("disk", 0, "no space left", marks=pytest.mark.slow),
    ],
)
def test_both_end_and_the_one_that_failed_says_why(
    case: str, failed: int, message: str, small_run: RunConfig, tmp_path: Path
) -> None:
    found = ends(case, small_run, tmp_path)
    assert [code for _, code in found] == [3, 3]
    assert message in found[failed][0] and message not in found[1 - failed][0]


@pytest.mark.slow
def test_both_end_too_where_one_waits_for_the_others_share_of_a_layer(
    small_run: RunConfig, tmp_path: Path
) -> None:
    found = ends("data", small_run, tmp_path, "--shard")
    assert [code for _, code in found] == [3, 3]
    assert "no such clip here" in found[1][0] and "no such clip here" not in found[0][0]


def test_of_a_loss_that_is_not_finite_the_tracks_are_named_wherever_they_were(
    small_run: RunConfig, tmp_path: Path
) -> None:
    """Gradients of all processes are infinite then, and any of them may be the first to say so."""
    found = ends("loss", small_run, tmp_path)
    assert [code for _, code in found] == [3, 3]
    [said] = [said for said, _ in found if "Loss or gradient of step 0 is not finite" in said]
    assert 0 < len(set(re.findall(r"track \d", said))) <= 2  # of the second process, which had two of four
