"""MaskedPrediction as MERT has it: what joins the loss, and frames that do not come out even."""

import math
from dataclasses import replace

import pytest
import torch

from solfa.config import override
from solfa.data.clips import Clips
from solfa.objectives import MaskedPrediction, MaskedPredictionConfig, PredictionConfig, build_objective
from solfa.recipes import recipe
from solfa.targets import CQTFramesConfig, LogMagnitudeConfig

N_FRAMES = (48_000 - 80) // 320


def objective(**changes: object) -> MaskedPrediction:
    torch.manual_seed(0)
    config = recipe("mert_tiny").objective
    assert isinstance(config, MaskedPredictionConfig)
    built = build_objective(override(config, changes))
    assert isinstance(built, MaskedPrediction)
    return built


def clips(n: int = 3, n_samples: int = 48_000) -> Clips:
    waveform = 0.1 * torch.randn(n, n_samples, generator=torch.Generator().manual_seed(1))
    return Clips(waveform, 24_000, torch.arange(n), torch.zeros(n, dtype=torch.long))


def test_the_first_loss_of_a_codebook_is_about_the_log_of_its_size() -> None:
    step = objective()(clips())
    loss = float(step.sums["loss_by_codebook"] / step.count)
    assert loss == pytest.approx(math.log(1024), rel=0.05)


def test_every_part_joins_the_loss_with_its_weight() -> None:
    with torch.no_grad():
        step = objective(**{"predictions.1.weight": 3.0})(clips())
    sums = {name: float(value) for name, value in step.sums.items()}
    parts = sums["loss_by_codebook"] + 3 * sums["squared_error"] + 10 * sums["feature_penalty"]
    assert float(step.loss) == pytest.approx(parts, rel=1e-5)
    assert sums["feature_penalty"] > 0 and sums["squared_error"] > 0


def test_the_feature_penalty_is_a_mean_however_many_frames_are_hidden() -> None:
    model = objective()
    with torch.no_grad():
        step = model(clips())
        features = model.encoder.frontend.convolutions(model.mixing(clips()).waveform)  # type: ignore[misc]
    penalty = float(step.sums["feature_penalty"] / step.count)
    assert penalty == pytest.approx(float(features.square().mean()), rel=1e-4)


@pytest.mark.parametrize("n_samples", [48_000, 48_001, 48_239, 48_240, 48_319])
def test_targets_are_cut_to_the_frames_of_the_encoder(n_samples: int) -> None:
    model = objective().eval()
    step = model(clips(n_samples=n_samples))
    mask = model.masking.sample(clips(n_samples=n_samples), (n_samples - 80) // 320)
    assert float(step.count) == int(mask.sum())


def test_two_predictions_of_one_kind_keep_their_own_figures() -> None:
    cqt = [PredictionConfig(target=CQTFramesConfig()),
           PredictionConfig(target=CQTFramesConfig(magnitude=LogMagnitudeConfig()))]  # fmt: skip
    model = objective()
    both = build_objective(
        MaskedPredictionConfig(
            encoder=model.config.encoder, masking=model.config.masking, predictions=tuple(cqt)
        )
    )
    with torch.no_grad():
        step = both(clips())
    linear, log = step.sums["squared_error"], step.sums["predictions.1.squared_error"]
    assert float(step.loss) == pytest.approx(float(linear + log), rel=1e-5)
    assert float(linear) != float(log)


def test_clips_are_mixed_in_training_only() -> None:
    mixed = objective(**{"mixing.mixing_probability": 1.0})
    clean = objective(**{"mixing": None})
    with torch.no_grad():
        assert float(mixed.train()(clips()).loss) != float(clean.train()(clips()).loss)
        assert float(mixed.eval()(clips()).loss) == float(clean.eval()(clips()).loss)


def test_mixing_leaves_what_is_to_be_predicted_clean() -> None:
    mixed, clean = objective(**{"mixing.mixing_probability": 1.0}), objective(**{"mixing": None})
    with torch.no_grad():
        assert torch.equal(mixed(clips()).code_uses, clean(clips()).code_uses)


def test_hidden_frames_give_away_nothing_of_themselves() -> None:
    # With every frame hidden, what the encoder says no longer depends on what it hears.
    model = objective(**{"masking.drawn_share": 100.0, "masking.span_frames": 1}).eval()
    mask = torch.ones(3, N_FRAMES, dtype=torch.bool)
    with torch.no_grad():
        one, other = (
            model._see(replace(clips(), waveform=waveform), mask).states
            for waveform in (clips().waveform, torch.zeros(3, 48_000))
        )
    assert torch.equal(one, other)


def test_all_that_should_learn_gets_a_gradient() -> None:
    model = objective().train()
    model(clips()).loss.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


def test_a_waveform_with_holes_is_refused_in_training_too() -> None:
    broken = clips()
    broken.waveform[1, 100] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite samples"):
        objective(**{"mixing": None}).train()(broken)


def test_a_target_at_another_frame_rate_is_refused_with_the_cure() -> None:
    with pytest.raises(Exception, match=r"75 frames a second, the target 50.*320 samples at 24000 Hz"):
        objective(**{"predictions.1.target.constant_q.hop_length": 480})


def test_a_configuration_from_before_heads_and_mixing_is_still_read() -> None:
    from solfa.config import from_dict, to_dict

    new = recipe("muq_tiny").objective
    values = to_dict(new)
    for name in ("mixing", "feature_penalty"):
        del values[name]
    del values["predictions"][0]["head"]
    assert from_dict(MaskedPredictionConfig, values) == new
