"""FeaturePenalty: what it costs, whose gradients it scales, and which encoders have it."""

import pytest
import torch

from solfa.models import AudioEncoder, build_encoder
from solfa.objectives.feature_penalty import FeaturePenalty, FeaturePenaltyConfig
from solfa.recipes import recipe


def encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return build_encoder(recipe("mert_tiny").objective.encoder)


def clips() -> torch.Tensor:
    return 0.1 * torch.randn(2, 4_000, generator=torch.Generator().manual_seed(1))


def gradient(multiplier: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the first convolution, and of the projection after the last."""
    model = encoder()
    penalised = FeaturePenalty(FeaturePenaltyConfig(gradient_multiplier=multiplier), model)
    frames, _, penalty = penalised(clips())
    (frames.square().sum() + penalty.sum()).backward()
    frontend = model.frontend
    return frontend.convolutions.blocks[0].convolution.weight.grad, frontend.projection.weight.grad


def test_it_is_the_mean_square_of_what_the_convolutions_give() -> None:
    model = encoder()
    penalty = FeaturePenalty(FeaturePenaltyConfig(), model)(clips())[2]
    features = model.frontend.convolutions(clips())
    torch.testing.assert_close(penalty, features.square().mean((1, 2)))


def test_frames_are_those_of_the_frontend_alone() -> None:
    model = encoder()
    frames, n_frames, _ = FeaturePenalty(FeaturePenaltyConfig(), model)(clips())
    expected, n_expected = model.frontend(clips())
    assert torch.equal(frames, expected) and n_frames is n_expected is None  # all of them hold audio


def test_the_multiplier_scales_gradients_of_convolutions_and_of_nothing_else() -> None:
    (whole, after), (tenth, after_too) = gradient(1.0), gradient(0.1)
    torch.testing.assert_close(tenth, 0.1 * whole)
    torch.testing.assert_close(after_too, after)


def test_afterwards_the_encoder_is_as_it_was() -> None:
    model = encoder()
    FeaturePenalty(FeaturePenaltyConfig(gradient_multiplier=0.0), model)(clips())
    model(clips()).last.sum().backward()
    assert model.frontend.convolutions.blocks[0].convolution.weight.grad.abs().sum() > 0


def test_an_encoder_without_convolutions_on_the_waveform_is_refused_with_the_cure() -> None:
    muq = build_encoder(recipe("muq_tiny").objective.encoder)
    with pytest.raises(ValueError, match=r"MuQ has no convolutions.*feature_penalty to null"):
        FeaturePenalty(FeaturePenaltyConfig(), muq)
