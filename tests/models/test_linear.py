"""The linear map by oneDNN: nn.Linear but for rounding, and nn.Linear itself where that cannot be."""

import pytest
import torch
from torch import nn

from solfa.models.layers.linear import Linear

ROUNDING = 2e-6  # of the largest value


@pytest.fixture
def pair() -> tuple[Linear, nn.Linear]:
    torch.manual_seed(0)
    ours, theirs = Linear(48, 80), nn.Linear(48, 80)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def answers(layer: nn.Linear, x: torch.Tensor) -> list[torch.Tensor]:
    """What it gives, and the gradients of the input, the weight and the bias."""
    x = x.clone().requires_grad_()
    given = layer(x)
    generator = torch.Generator().manual_seed(1)  # sums of its numbers do not cancel to nearly nothing
    slope = torch.randn(given.shape, generator=generator).to(given.dtype)
    assert layer.bias is not None
    return [given.detach(), *torch.autograd.grad(given, [x, layer.weight, layer.bias], slope)]


@pytest.mark.parametrize("shape", [(200, 48), (3, 70, 48), (20, 25, 48), (2, 4, 16, 48)])
def test_answers_and_gradients_are_those_of_nn_linear_but_for_rounding(
    pair: tuple[Linear, nn.Linear], shape: tuple[int, ...]
) -> None:
    ours, theirs = pair
    x = torch.randn(shape)
    exact = answers(theirs.double(), x.double())
    for found, wanted in zip(answers(ours, x), exact, strict=True):
        assert found.shape == wanted.shape and found.dtype == torch.float32
        assert (found - wanted).abs().max() < ROUNDING * wanted.abs().max()


def test_rows_that_do_not_lie_side_by_side_are_the_same_rows(pair: tuple[Linear, nn.Linear]) -> None:
    ours, theirs = pair
    turned = torch.randn(90, 48, 4).permute(2, 0, 1)
    torch.testing.assert_close(ours(turned), theirs(turned), rtol=0, atol=1e-5)
    assert torch.equal(ours(turned), ours(turned.contiguous()))


def test_the_same_rows_have_the_same_answers_to_the_bit(pair: tuple[Linear, nn.Linear]) -> None:
    x = torch.randn(4, 100, 48)
    for first, second in zip(answers(pair[0], x), answers(pair[0], x), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("case", ["few rows", "no rows", "double", "autocast"])
def test_where_onednn_would_gain_nothing_it_is_nn_linear_to_the_bit(
    pair: tuple[Linear, nn.Linear], case: str
) -> None:
    ours, theirs = pair
    x = torch.randn({"few rows": 5, "no rows": 0}.get(case, 500), 48)
    if case == "double":
        ours, theirs, x = ours.double(), theirs.double(), x.double()
    with torch.autocast("cpu", enabled=case == "autocast"):
        found, wanted = ours(x), theirs(x)
    assert found.dtype == wanted.dtype and torch.equal(found, wanted)


def test_an_exported_map_takes_any_number_of_rows() -> None:
    rows = torch.export.Dim("rows", min=2)
    program = torch.export.export(Linear(8, 4), (torch.randn(80, 8),), dynamic_shapes=({0: rows},))
    assert program.module()(torch.randn(3, 8)).shape == (3, 4)
