"""TrackAgreement: what telling tracks apart costs, and who is compared with whom."""

import math

import pytest
import torch

from solfa.config import override
from solfa.data.clips import Clips
from solfa.objectives import MaskedPrediction, build_objective
from solfa.objectives.agreement import TrackAgreement, TrackAgreementConfig
from solfa.recipes import recipe


def agreement(temperature: float = 0.1) -> TrackAgreement:
    torch.manual_seed(0)
    return TrackAgreement(TrackAgreementConfig(temperature=temperature, dim=8), 4)


def test_among_equal_clips_a_guess_costs_the_log_of_the_others() -> None:
    loss = agreement()(torch.ones(6, 3, 4), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert loss.tolist() == pytest.approx([math.log(5)] * 6, rel=1e-5)


def test_clips_of_a_track_that_are_alike_cost_nothing() -> None:
    directions = torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 0], [-1, 0, 0, 0], [-1, 0, 0, 0]])
    model = agreement(temperature=0.02)
    torch.nn.init.zeros_(model.projection.bias)
    loss = model(directions[:, None].expand(4, 5, 4), torch.tensor([3, 3, 9, 9]))
    assert float(loss.detach().max()) < 1e-6


def test_a_clip_alone_of_its_track_costs_nothing_and_gives_no_nan() -> None:
    hidden = torch.randn(3, 5, 4, requires_grad=True)
    loss = agreement()(hidden, torch.tensor([0, 0, 1]))
    loss.sum().backward()
    assert loss[2] == 0 and (loss[:2] > 0).all()
    assert hidden.grad is not None and torch.isfinite(hidden.grad).all()


def test_what_is_compared_is_the_mean_over_all_frames() -> None:
    hidden, tracks = torch.randn(4, 5, 4), torch.tensor([0, 0, 1, 1])
    shuffled = hidden[:, torch.randperm(5)]
    assert torch.allclose(agreement()(hidden, tracks), agreement()(shuffled, tracks), atol=1e-5)


def test_it_joins_the_loss_of_masked_prediction_with_its_weight() -> None:
    codes = {"predictions.0.target": {"kind": "mel_random_projection"}}
    plain = override(recipe("muq_tiny").objective, codes)
    waveform = 0.1 * torch.randn(4, 48_000, generator=torch.Generator().manual_seed(1))
    clips = Clips(waveform, 24_000, torch.arange(4), torch.tensor([0, 0, 1, 1]))
    built = build_objective(override(plain, {"agreement": TrackAgreementConfig(weight=0.5)}))
    assert isinstance(built, MaskedPrediction)
    with torch.no_grad():
        joint = built.eval()(clips)
        built.agreement = None
        alone = built(clips)
    added = float(joint.loss - alone.loss)
    assert added == pytest.approx(0.5 * float(joint.sums["agreement_loss"]), rel=1e-3)
    assert added > 0
