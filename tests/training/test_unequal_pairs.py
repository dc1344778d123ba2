"""Two gloo processes with unequal numbers of pairs give the losses and gradients of one with all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from training.test_two_processes import free_port


def results(kind: str, out: Path, n_processes: int) -> dict[str, Tensor]:
    command = [sys.executable, Path(__file__).with_name("unequal_pairs.py"), kind, out, "7", "2"]
    group = {"WORLD_SIZE": str(n_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            command, env=os.environ | (group | {"RANK": str(rank)} if n_processes > 1 else {}),
            stderr=subprocess.PIPE, text=True,
        )
        for rank in range(n_processes)
    ]  # fmt: skip
    complaints = [process.communicate(timeout=280)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(complaints)
    return load_file(out)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["softmax", "decoupled", "sigmoid"])
def test_unequal_shares_of_pairs_give_the_gradients_of_one_process(kind: str, tmp_path: Path) -> None:
    one, two = (results(kind, tmp_path / f"{n}.safetensors", n) for n in (1, 2))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-5, msg=name)
