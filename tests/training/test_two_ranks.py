"""Two gloo processes that exchange tensors hold the same ones; one pair of processes serves all tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from training.ranks import free_port

Held = tuple[dict[str, Tensor], dict[str, Tensor]]


def held_by(backend_of: str, folder: Path) -> Held:
    """What the two ranks hold in the end."""
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, Path(__file__).with_name("two_ranks.py"), backend_of, folder / "held"]
    processes = [
        subprocess.Popen(command, env=os.environ | group | {"RANK": rank, "LOCAL_RANK": rank},
                         stderr=subprocess.PIPE, text=True)
        for rank in ("0", "1")
    ]  # fmt: skip
    said = [process.communicate(timeout=240)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(said)
    return load_file(folder / "held.0"), load_file(folder / "held.1")


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """On processors, by gloo."""
    return held_by("cpu", tmp_path_factory.mktemp("ranks"))


def assert_same(held: Held, check: str) -> None:
    first, second = ({n: v for n, v in of.items() if n.startswith(f"{check}.")} for of in held)
    assert first and first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype and torch.equal(value, second[name]), name


def test_tensors_of_the_first_arrive_on_all_without_being_pickled(held: Held) -> None:
    assert_same(held, "exchanged")
    assert held[1]["exchanged.float32"].eq(0).all() and held[1]["exchanged.bool"].tolist() == [True, True]
    assert held[1]["exchanged.texts"].tolist() == [0, 14]


@pytest.mark.parametrize("kind", ["vq", "ema"])
def test_entries_that_are_replaced_are_the_same_on_all(kind: str, held: Held) -> None:
    replaced = [f"fitted.{kind}.{name}" for name in ("codebook.weight", "quantizers.1.codebook")]
    assert any(name in held[0] for name in replaced)
    for name in held[0]:
        if name.startswith(f"fitted.{kind}") and "proj" not in name:
            assert torch.equal(held[0][name], held[1][name]), name


def test_centres_of_clusters_do_not_drift_apart(held: Held) -> None:
    assert_same(held, "clusters")


def test_ranks_with_other_sums_or_none_have_the_same_figures(held: Held) -> None:
    assert_same(held, "figures")
    assert held[1]["figures.figures"].tolist() == [0.5, 0.0, 2.0]  # loss, none, only_here


def test_tracks_of_a_bad_loss_are_known_to_all(held: Held) -> None:
    assert held[0]["figures.bad"].tolist() == [11, 16]
    assert held[0]["figures.all"].tolist() == [0, 5, 10, 15]


def test_what_each_measured_at_the_start_is_that_of_the_first(held: Held) -> None:
    assert_same(held, "started")
    assert held[1]["started.scale"].eq(1).all()


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_devices_of_a_machine_hold_the_same(tmp_path: Path) -> None:
    held = held_by("cuda", tmp_path)
    for check in ("exchanged", "clusters", "figures", "started"):
        assert_same(held, check)
