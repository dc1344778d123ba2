"""Contexts that are given some frames of a clip with their places: nothing reaches across a gap unseen."""

import pytest
import torch
from torch import Tensor

from contracts.test_encoders import MERT, MERT2, MERT_LARGE, MUQ, SMALL
from solfa.models import build_encoder
from solfa.models.encoder import Context
from solfa.models.layers.conformer import ConformerConfig, ConvolutionModule
from solfa.models.layers.places import at_places, taken
from solfa.models.layers.transformer import PositionalConvolution

CONFIGS = {"muq": MUQ, "mert": MERT, "mert_large": MERT_LARGE, "mert2": MERT2, "small": SMALL}
every_context = pytest.mark.parametrize("name", CONFIGS)
FRAMES = torch.randn(2, 60, 16, generator=torch.Generator().manual_seed(1))
PLACES = torch.tensor([3, 4, 5, 6, 20, 21, 22, 50, 51, 59]).expand(2, -1)


def context(name: str) -> Context:
    torch.manual_seed(0)
    return build_encoder(CONFIGS[name]).context.eval()


def states(of: Context, places: Tensor, n_frames: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return of(taken(FRAMES, places), n_frames, places=places).layers


def test_frames_go_to_their_places_and_back() -> None:
    whole = at_places(taken(FRAMES, PLACES), PLACES)
    assert torch.equal(taken(whole, PLACES), taken(FRAMES, PLACES))
    between = torch.ones(60, dtype=torch.bool)
    between[PLACES[0]] = False
    assert not whole[:, between].any()


@every_context
def test_all_places_are_as_none(name: str) -> None:
    everywhere = torch.arange(60).expand(2, -1)
    with torch.no_grad():
        plain = context(name)(FRAMES, None).layers
    torch.testing.assert_close(states(context(name), everywhere), plain, atol=1e-5, rtol=1e-4)


@every_context
def test_the_width_of_a_gap_is_known(name: str) -> None:
    closer = PLACES.clone()
    closer[:, 4:] -= 10  # the first gap is narrower by ten frames; the frames are the same
    of = context(name)
    with torch.no_grad():
        wide, narrow = (of(taken(FRAMES, PLACES), None, places=p).last for p in (PLACES, closer))
        twice = of(taken(FRAMES, PLACES), None, places=PLACES).last
    assert torch.equal(wide, twice)
    assert float((wide - narrow).abs().max()) > 1e-4


@every_context
def test_padding_changes_nothing(name: str) -> None:
    """A clip with fewer visible frames than its neighbour has the states that it has alone."""
    few = torch.tensor([3, 4, 5, 20, 21, 40, 2, 50, 51, 59])  # the last four are padding
    places = torch.stack([few, PLACES[0]])
    of = context(name)
    beside = states(of, places, torch.tensor([6, 10]))
    with torch.no_grad():
        alone = of(FRAMES[:1, few[:6]], None, places=few[None, :6]).layers
    torch.testing.assert_close(beside[:, :1, :6], alone, atol=1e-5, rtol=1e-4)
    assert not beside[:, 0, 6:].any()


def test_the_convolution_of_a_conformer_hears_zeros_in_gaps() -> None:
    torch.manual_seed(0)
    module = ConvolutionModule(ConformerConfig(n_layers=1, dim=16, n_heads=2, kernel_frames=9)).eval()
    far = torch.tensor([[0, 1, 2, 10, 11, 12]])
    x = taken(FRAMES[:1], far)
    with torch.no_grad():
        together = module(x, None, far)
        apart = torch.cat([module(x[:, :3], None, None), module(x[:, 3:], None, None)], 1)
        as_neighbours = module(x, None, None)
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=1e-5)
    assert float((together - as_neighbours).abs().max()) > 1e-3


def test_statistics_of_a_batch_leave_padding_out() -> None:
    torch.manual_seed(0)
    module = ConvolutionModule(ConformerConfig(n_layers=1, dim=16, n_heads=2, kernel_frames=9, dropout=0.0))
    first = torch.tensor([[0, 1, 2, 3]])
    rows = torch.cat([first, first])
    given = module.train()(taken(FRAMES, rows), torch.tensor([[False] * 4, [False] * 2 + [True] * 2]), rows)
    variance = module.batch_norm.running_var.clone()
    module.batch_norm.reset_running_stats()
    longer = torch.cat([rows, rows + 20], 1)  # more padding
    padding = torch.tensor([[False] * 4 + [True] * 4, [False] * 2 + [True] * 6])
    again = module(taken(FRAMES, longer), padding, longer)
    torch.testing.assert_close(module.batch_norm.running_var, variance)
    torch.testing.assert_close(again[0, :4], given[0])


def test_positions_of_mert_are_those_of_a_clip_with_zeros_in_gaps() -> None:
    torch.manual_seed(0)
    module = PositionalConvolution(16, 8, 2)
    zeroed = torch.zeros_like(FRAMES)
    zeroed[:, PLACES[0]] = FRAMES[:, PLACES[0]]
    with torch.no_grad():
        expected = module(zeroed)[:, PLACES[0]]
        found = taken(module(at_places(taken(FRAMES, PLACES), PLACES)), PLACES)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@every_context
def test_gradients_are_those_of_differences(name: str) -> None:
    of = context(name).double()
    x = taken(FRAMES, PLACES).double().requires_grad_()
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    counts = torch.tensor([7, 10])

    def figure(frames: Tensor) -> Tensor:
        return (of(frames, counts, places=PLACES).last * weights).sum()

    figure(x).backward()
    with torch.no_grad():
        slope = (figure(x + 1e-6 * direction) - figure(x - 1e-6 * direction)) / 2e-6
    assert float((x.grad * direction).sum()) == pytest.approx(float(slope), rel=1e-5)
