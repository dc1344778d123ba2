"""The guard against narrow states: a Gaussian costs least, a collapse most, and it pushes away from one."""

import math

import pytest
import torch
from scipy import integrate

from solfa.objectives.gaussian_guard import GaussianGuard, GaussianGuardConfig, epps_pulley


def gaussian(n: int, dim: int = 16) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(0))


def loss_of(vectors: torch.Tensor) -> float:
    """Of clips with one frame each."""
    guard = GaussianGuard(GaussianGuardConfig()).eval()
    return float(guard(vectors[:, None]))


def test_it_is_the_integral_of_epps_and_pulley() -> None:
    """Of clips that all lie at h, |f(t)| is 1: the integral is known to any digit."""
    for h in (0.0, 0.7, 2.0):
        true, _ = integrate.quad(
            lambda t, h=h: (
                (1 + math.exp(-t * t) - 2 * math.cos(t * h) * math.exp(-t * t / 2)) * math.exp(-t * t / 2)
            ),
            -5,
            5,
        )
        assert float(epps_pulley(torch.full((9, 1), h))) == pytest.approx(true, abs=2e-4)


def test_a_gaussian_costs_least() -> None:
    best = loss_of(gaussian(2000))
    assert best < 0.003
    narrow = gaussian(2000) * torch.tensor([1.0] * 2 + [0.01] * 14)
    for other in (0.3 * gaussian(2000), 3 * gaussian(2000), gaussian(2000) + 1, narrow):
        assert loss_of(other) > best + 0.001


def test_a_collapse_costs_most() -> None:
    collapsed = loss_of(torch.zeros(100, 16))
    assert collapsed > 10 * loss_of(gaussian(100)) and collapsed > loss_of(gaussian(100) * 0.1)


def test_a_whole_batch_costs_as_much_as_one_twice_as_large() -> None:
    vectors = gaussian(100) * 0.2
    assert loss_of(vectors) == pytest.approx(loss_of(vectors.repeat(2, 1)), rel=1e-5)


def test_hidden_frames_do_not_count() -> None:
    guard, states = GaussianGuard(GaussianGuardConfig()).eval(), torch.randn(5, 7, 6)
    visible = torch.zeros(5, 7, dtype=torch.bool)
    visible[:, 2:4] = True
    torch.testing.assert_close(guard(states, visible), guard(states[:, 2:4]))


def test_following_it_widens_states_that_lay_close_together() -> None:
    torch.manual_seed(0)
    vectors = (0.05 * torch.randn(64, 8)).requires_grad_()
    guard = GaussianGuard(GaussianGuardConfig()).train()
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(150):
        loss = guard(vectors[:, None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    deviation = vectors.detach().std(0)
    assert float(deviation.min()) > 0.6 and float(deviation.max()) < 1.5
