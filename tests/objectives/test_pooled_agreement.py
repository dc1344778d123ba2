"""Agreement by mean and deviation: who is drawn to whom, who is no negative, what hidden frames count."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import from_dict, to_dict
from solfa.models.layers.pooling import mean_and_deviation
from solfa.objectives import MaskedPredictionConfig, TrackAgreementConfig
from solfa.objectives.pooled_agreement import PooledAgreement, PooledAgreementConfig, build_agreement
from solfa.recipes import recipe


def agreement(dim: int = 2) -> PooledAgreement:
    """With vectors that are the mean states themselves."""
    built = PooledAgreement(PooledAgreementConfig(temperature=0.5), dim)
    built.projection = nn.Sequential(nn.Linear(2 * dim, dim, bias=False))
    with torch.no_grad():
        built.projection[0].weight.copy_(torch.eye(dim, 2 * dim))
    return built


def states(*directions: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(directions).float()[:, None].repeat(1, 3, 1)


def test_the_loss_is_minus_the_mean_likeness_of_positives_plus_the_log_sum_over_other_tracks() -> None:
    given = states((1, 0), (0.6, 0.8), (0, 1), (-1, 0))
    loss = agreement()(given, torch.tensor([7, 7, 7, 3])).detach()
    likeness = [[float(a @ b) / 0.5 for b in given[:, 0]] for a in given[:, 0]]
    first = -(likeness[0][1] + likeness[0][2]) / 2 + math.log(math.exp(likeness[0][3]))
    assert float(loss[0]) == pytest.approx(first, rel=1e-5)
    assert float(loss[3]) == 0  # it is alone of its track


def test_clips_of_one_track_are_no_negatives() -> None:
    """A third clip of the track may turn anywhere: the denominators of the others do not notice."""
    tracks = torch.tensor([0, 0, 0, 1, 1])
    near, far = (
        states((1, 0), (0.6, 0.8), third, (0, 1), (0.8, -0.6)) for third in ((0.8, 0.6), (-0.6, -0.8))
    )
    a, b = agreement()(near, tracks).detach(), agreement()(far, tracks).detach()
    mean = [float((g[0, 0] @ g[1, 0] + g[0, 0] @ g[2, 0]) / 2 / 0.5) for g in (near, far)]
    assert float(a[0]) + mean[0] == pytest.approx(float(b[0]) + mean[1], rel=1e-5)


def test_without_any_other_track_it_is_zero_and_so_is_its_gradient() -> None:
    given = states((1, 0), (0, 1)).requires_grad_()
    loss = agreement()(given, torch.tensor([0, 0]))
    loss.sum().backward()
    assert loss.tolist() == [0, 0] and given.grad is not None and bool((given.grad == 0).all())


def test_hidden_frames_do_not_count() -> None:
    torch.manual_seed(0)
    built = PooledAgreement(PooledAgreementConfig(), 6)
    given, visible = torch.randn(4, 9, 6), torch.rand(4, 9) < 0.5
    visible[:, 0] = True
    tracks = torch.tensor([0, 0, 1, 1])
    changed = torch.where(visible[..., None], given, 100.0)
    torch.testing.assert_close(built(given, tracks, visible), built(changed, tracks, visible))


def test_mean_and_deviation_are_those_of_the_visible_frames() -> None:
    given, visible = torch.randn(2, 9, 4), torch.zeros(2, 9, dtype=torch.bool)
    visible[0, :5], visible[1, 3:] = True, True
    pooled = mean_and_deviation(given, visible)
    torch.testing.assert_close(pooled[0, :4], given[0, :5].mean(0))
    torch.testing.assert_close(pooled[1, 4:], given[1, 3:].std(0, correction=0), atol=1e-5, rtol=1e-5)
    everything = mean_and_deviation(given, None)
    torch.testing.assert_close(everything, mean_and_deviation(given, torch.ones(2, 9, dtype=torch.bool)))


def test_a_single_visible_frame_has_a_finite_gradient() -> None:
    given = torch.randn(2, 3, 4, requires_grad=True)
    mean_and_deviation(given, F.one_hot(torch.tensor([0, 2]), 3).bool()).sum().backward()
    assert given.grad is not None and bool(torch.isfinite(given.grad).all())


def test_clips_learn_to_agree() -> None:
    torch.manual_seed(0)
    built, given = PooledAgreement(PooledAgreementConfig(), 8), torch.randn(8, 5, 8)
    tracks = torch.arange(8) // 2
    optimizer = torch.optim.Adam(built.parameters(), lr=1e-3)
    losses = []
    for _ in range(60):
        loss = built(given, tracks).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 3


def test_settings_from_before_there_were_two_are_those_of_the_first() -> None:
    config = MaskedPredictionConfig(
        encoder=recipe("muq_tiny").objective.encoder, agreement=TrackAgreementConfig(weight=2.0)
    )
    values = to_dict(config)
    del values["agreement"]["kind"]
    assert from_dict(MaskedPredictionConfig, values) == config


@pytest.mark.parametrize("config", [TrackAgreementConfig(), PooledAgreementConfig()])
def test_the_settings_say_which_is_built(config: TrackAgreementConfig | PooledAgreementConfig) -> None:
    assert build_agreement(config, 8).config == config
