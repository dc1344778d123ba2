"""Muon: PyTorch's steps but for rounding, singular values near one, and no type that a processor emulates."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from solfa.training.muon import Muon, orthogonal

SHAPES = [(64, 32), (32, 64), (48, 48)]
SETTINGS = {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.05}
THEIRS = SETTINGS | {"adjust_lr_fn": "match_rms_adamw"}
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Types(TorchDispatchMode):
    """Takes down what types of numbers are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        self.seen |= {made.dtype} if isinstance(made, torch.Tensor) else set()
        return made


def weights() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def give_gradients(parameters: list[nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@torch.no_grad()
def test_its_steps_and_state_are_pytorchs_but_for_rounding() -> None:
    ours, theirs = weights(), weights()
    muon, other = Muon(ours, **SETTINGS), torch.optim.Muon(theirs, **THEIRS)  # type: ignore[arg-type]
    for step in range(5):
        for parameters, optimizer in ((ours, muon), (theirs, other)):
            give_gradients(parameters, step)
            optimizer.step()
    for mine, its, first in zip(ours, theirs, weights(), strict=True):
        moved = (its - first).norm()
        assert float(moved) > 0.3
        assert float((mine - its).norm() / moved) < 0.01  # theirs is rounded to 8 bits
    states = (optimizer.state_dict()["state"] for optimizer in (muon, other))
    for mine, its in zip(*(state.values() for state in states), strict=True):
        assert mine.keys() == its.keys()
        torch.testing.assert_close(mine["momentum_buffer"], its["momentum_buffer"])


def test_a_processor_computes_in_float32_alone() -> None:
    parameters = weights()
    muon = Muon(parameters, **SETTINGS)  # type: ignore[arg-type]
    give_gradients(parameters, 0)
    with Types() as types:
        muon.step()
    assert types.seen == {torch.float32}


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(shape[0], min(shape)))
    right, _ = torch.linalg.qr(torch.randn(shape[1], min(shape)))
    values = torch.linspace(0.2, 1, min(shape))
    made = orthogonal((left * values) @ right.T, COEFFICIENTS, 5)
    along = left.T @ made @ right
    assert bool(((along.diag() > 0.6) & (along.diag() < 1.3)).all())
    torch.testing.assert_close(along, along.diag().diag(), atol=1e-4, rtol=0)


def test_a_gradient_of_nothing_moves_nothing_and_a_part_without_one_stays() -> None:
    parameters = weights()
    muon = Muon(parameters, **SETTINGS | {"weight_decay": 0.0})  # type: ignore[arg-type]
    parameters[0].grad = torch.zeros_like(parameters[0])
    muon.step()
    assert all(torch.equal(now, before) for now, before in zip(parameters, weights(), strict=True))
