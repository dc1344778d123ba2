"""Two gloo processes with unequal numbers of pairs give the losses and gradients of one with all of them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from training.ranks import run_ranks
from training.unequal_pairs import compare


def results(kind: str, out: Path, n_processes: int) -> dict[str, Tensor]:
    run_ranks(compare, kind, out, [7, 2], n_processes=n_processes, folder=out.parent)
    return load_file(out)


@pytest.mark.parametrize("kind", ["softmax", "decoupled", "sigmoid"])
def test_unequal_shares_of_pairs_give_the_gradients_of_one_process(kind: str, tmp_path: Path) -> None:
    one, two = (results(kind, tmp_path / f"{n}.safetensors", n) for n in (1, 2))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-5, msg=name)
