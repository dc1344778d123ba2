"""MaskedPrediction: what guessing costs, what is frozen, what is refused."""

import math

import pytest
import torch

from solfa.config import override
from solfa.data.clips import Clips
from solfa.objectives import MaskedPrediction, MaskedPredictionConfig, PredictionConfig, build_objective
from solfa.objectives.heads import code_loss
from solfa.objectives.scored import inner_frames
from solfa.recipes import recipe
from solfa.targets import MelFramesConfig, MelRandomProjectionConfig, MelRVQConfig, TargetError


def objective(*predictions: PredictionConfig) -> MaskedPrediction:
    torch.manual_seed(0)
    encoder = recipe("muq_tiny").objective.encoder
    built = build_objective(MaskedPredictionConfig(encoder=encoder, predictions=predictions))
    assert isinstance(built, MaskedPrediction)
    return built


def clips(n: int = 3) -> Clips:
    waveform = 0.1 * torch.randn(n, 48_000, generator=torch.Generator().manual_seed(1))
    return Clips(waveform, 24_000, torch.arange(n), torch.zeros(n, dtype=torch.long))


def test_uniform_logits_cost_the_log_of_the_codebook_size() -> None:
    loss = code_loss(torch.zeros(7, 3, 64), torch.randint(64, (7, 3))).mean()
    assert float(loss) == pytest.approx(math.log(64), rel=1e-6)


def test_targets_get_no_gradient_and_stay_in_eval_mode() -> None:
    model = objective(PredictionConfig(target=MelRVQConfig())).train()
    step = model(clips())
    step.loss.backward()
    assert not any(p.requires_grad for p in model.targets.parameters())
    assert not any(module.training for module in model.targets.modules())
    assert all(p.grad is not None for p in [*model.encoder.parameters(), *model.heads.parameters()])


def test_a_second_prediction_adds_its_weighted_loss() -> None:
    codes = PredictionConfig(target=MelRandomProjectionConfig())
    both = objective(codes, PredictionConfig(target=MelFramesConfig(), weight=0.1)).eval()
    with torch.no_grad():
        step = both(clips())
        expected = [target(clips()) for target in both.targets]
        mask = both.masking.sample(clips(), 50)
        hidden = both.encoder(both.masking.hide_samples(clips(), mask)).last[mask]
        parts = [head.loss(hidden, e, mask).loss for head, e in zip(both.heads, expected, strict=True)]
    assert float(step.loss) == pytest.approx(float(parts[0] + 0.1 * parts[1]), rel=1e-6)


def test_a_margin_asks_only_for_frames_well_inside_hidden_blocks() -> None:
    near, far = (
        objective(PredictionConfig(target=MelFramesConfig(), margin_seconds=margin)).eval()
        for margin in (0.0, 0.16)
    )
    with torch.no_grad():
        mask = far.masking.sample(clips(), 50)
        hidden = far.encoder(far.masking.hide_samples(clips(), mask)).last
        scored = inner_frames(mask, 4)
        alone = far.heads[0].loss(hidden[scored], far.targets[0](clips()), scored)  # type: ignore[operator]
        step, whole = far(clips()), near(clips())
    assert 0 < float(alone.count) < float(step.count) == float(mask.sum())
    assert float(step.loss / step.count) == pytest.approx(float(alone.loss / alone.count), rel=1e-5)
    assert float(step.loss) != float(whole.loss) and float(step.count) == float(whole.count)


def test_sums_of_parts_are_the_sum_of_the_whole() -> None:
    model = objective(PredictionConfig(target=MelRandomProjectionConfig())).eval()
    whole = clips(4)

    def part(of: slice) -> Clips:
        return Clips(whole.waveform[of], 24_000, whole.numbers[of], whole.tracks[of])

    with torch.no_grad():
        together, first, rest = model(whole), model(part(slice(1))), model(part(slice(1, 4)))
    assert float(together.count) == float(first.count + rest.count)
    assert float(together.loss) == pytest.approx(float(first.loss + rest.loss), rel=1e-5)
    assert torch.equal(together.code_uses, first.code_uses + rest.code_uses)


def test_an_unfitted_quantizer_is_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match=r"solfa train mel_rvq.*target\.fitted=RUN"):
        objective(PredictionConfig(target=MelRVQConfig())).start(clips())


def test_a_target_at_another_frame_rate_is_refused_with_the_cure() -> None:
    target = override(MelRandomProjectionConfig(), {"frames.n_stacked": 2})
    with pytest.raises(TargetError, match=r"25 frames a second, the target 50.*n_stacked"):
        objective(PredictionConfig(target=target))


def test_a_margin_that_leaves_hardly_a_frame_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """Hidden blocks of 0.4 s often lie side by side; hardly ever eleven of them."""
    longer = Clips(torch.zeros(8, 240_000), 24_000, torch.arange(8), torch.zeros(8, dtype=torch.long))
    for margin, is_said in ((0.16, False), (2.0, True)):
        caplog.clear()
        objective(PredictionConfig(target=MelFramesConfig(), margin_seconds=margin)).start(longer)
        assert any("Lower margin_seconds" in text for text in caplog.messages) == is_said


def test_every_prediction_of_the_small_recipes_is_asked_for_enough_frames(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("solfa_small", "solfa_small_one_step"):
        built = build_objective(recipe(name).objective)
        built._warn_of_margins(clips(64), 250)  # type: ignore[operator]
    assert not caplog.messages
