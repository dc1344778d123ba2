"""Two-step masked prediction: hidden frames are unseen, whole clips count right, every context can do it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from contracts.test_encoders import MERT, MERT2, MUQ, SMALL
from solfa.config import override
from solfa.data.clips import Clips
from solfa.errors import ArgumentError
from solfa.features import MelCQTFrames
from solfa.models import RotaryTransformerConfig
from solfa.objectives import (
    BatchMixingConfig,
    BlockMaskingConfig,
    MaskedPrediction,
    MaskedPredictionConfig,
    MaskingConfig,
    PredictionConfig,
    Predictor,
    PredictorConfig,
    SpanMaskingConfig,
    SpreadSpanMaskingConfig,
    TrackAgreementConfig,
    build_objective,
)
from solfa.objectives.predictor import visible_states, with_something_visible
from solfa.targets import CQTFramesConfig, MelRandomProjectionConfig, RandomProjectionConfig

CODES = MelRandomProjectionConfig(quantizer=RandomProjectionConfig(codebook_size=32, codebook_dim=4))
NOTES = override(CQTFramesConfig(), {"constant_q.n_bins": 48, "constant_q.f_min": 523.25})
PREDICTOR = PredictorConfig(transformer=RotaryTransformerConfig(n_layers=1, dim=8, n_heads=2))
HALF = SpreadSpanMaskingConfig(hidden_share=0.5, span_seconds=(0.2, 0.4), whole_share=0.0)
SOME_WHOLE = replace(HALF, whole_share=0.5)
BASE = MaskedPredictionConfig(
    encoder=SMALL, masking=HALF, predictions=(PredictionConfig(target=CODES),), predictor=PREDICTOR
)


def objective(**changes: object) -> MaskedPrediction:
    torch.manual_seed(0)
    built = build_objective(replace(BASE, **changes))  # type: ignore[arg-type]
    assert isinstance(built, MaskedPrediction)
    return built


def clips(n: int = 4, n_samples: int = 48_000) -> Clips:
    waveform = 0.1 * torch.randn(n, n_samples, generator=torch.Generator().manual_seed(1))
    return Clips(waveform, 24_000, torch.arange(n), torch.arange(n) // 2)


def with_spectra(model: MaskedPrediction, of: Clips) -> Clips:
    return replace(of, spectra=model.encoder.frontend.spectra_of(of.waveform))


def changed_where(spectra: MelCQTFrames, mask: Tensor) -> MelCQTFrames:
    """Other decibels in the frames where ``mask`` is True, in both halves."""
    mel = spectra.mel + 20 * mask.repeat_interleave(4, 1)[..., None] * torch.rand_like(spectra.mel)
    return MelCQTFrames(mel, spectra.cqt + 20 * mask[..., None] * torch.rand_like(spectra.cqt))


def one_part(of: Clips, rows: slice) -> Clips:
    return replace(of, waveform=of.waveform[rows], numbers=of.numbers[rows], tracks=of.tracks[rows])


@pytest.mark.parametrize("is_training", [False, True])
def test_what_is_hidden_is_never_seen_by_the_encoder(is_training: bool) -> None:
    model = objective(masking=SOME_WHOLE).train(is_training)
    known = with_spectra(model, clips())
    mask = model.masking.sample(known, 50)
    assert mask.any() and not mask.any(1).all()
    other = replace(known, spectra=changed_where(known.spectra, mask))
    with torch.no_grad():
        seen, of_other = model._see(known, mask), model._see(other, mask)
    assert torch.equal(seen.states, of_other.states) and torch.equal(seen.answers, of_other.answers)
    assert torch.equal(seen.visible, ~mask) and not seen.states[mask].any()
    visible_changed = replace(known, spectra=changed_where(known.spectra, ~mask))
    with torch.no_grad():
        assert not torch.equal(model._see(visible_changed, mask).states, seen.states)


def test_states_of_visible_frames_are_those_of_a_clip_without_the_others() -> None:
    """Attention to what is visible is attention in which hidden frames are masked out."""
    encoder = objective().encoder.eval()
    frames = torch.randn(3, 40, 16)
    visible = torch.rand(3, 40, generator=torch.Generator().manual_seed(0)) < 0.4
    with torch.no_grad():
        found = visible_states(encoder, frames, visible)
        for row in range(3):
            places = visible[row].nonzero().T
            alone = encoder.context(frames[row : row + 1, visible[row]], None, places=places).last
            torch.testing.assert_close(found[row, visible[row]], alone[0], atol=1e-5, rtol=1e-4)


def test_a_whole_clip_has_the_states_of_use() -> None:
    model = objective().eval()
    with torch.no_grad():
        known = with_spectra(model, clips())
        nothing_hidden = torch.zeros(4, 50, dtype=torch.bool)
        states = model._see(known, nothing_hidden).states
        torch.testing.assert_close(states, model.encoder(known.waveform).last, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("predictor", [PREDICTOR, None], ids=["two steps", "one step"])
def test_stored_spectra_give_the_loss_of_audio(predictor: PredictorConfig | None) -> None:
    model = objective(masking=SOME_WHOLE, predictor=predictor).train()
    heard = with_spectra(model, clips())
    with torch.no_grad():
        assert float(model(clips()).loss) == float(model(heard).loss)


@pytest.mark.parametrize("predictor", [PREDICTOR, None], ids=["two steps", "one step"])
def test_sums_of_parts_are_the_sum_of_the_whole(predictor: PredictorConfig | None) -> None:
    model = objective(masking=SOME_WHOLE, predictor=predictor).eval()
    whole = clips(6)
    with torch.no_grad():
        together = model(whole)
        parts = [model(one_part(whole, slice(n, n + 1))) for n in range(6)]
    counts = [float(part.count) for part in parts]
    assert 0 in counts and max(counts) == 25  # clips that are whole give nothing to predict, and no NaN
    assert float(together.count) == sum(counts)
    assert float(together.loss) == pytest.approx(sum(float(part.loss) for part in parts), rel=1e-5)


@pytest.mark.parametrize("predictor", [PREDICTOR, None], ids=["two steps", "one step"])
def test_whole_clips_count_in_agreement(predictor: PredictorConfig | None) -> None:
    """Its figure is the mean over all clips, in the expectation that the configuration states."""
    model = objective(masking=SOME_WHOLE, predictor=predictor, agreement=TrackAgreementConfig()).eval()
    with torch.no_grad():
        step = model(clips(6))
        seen = model._see(with_spectra(model, clips(6)), model.masking.sample(clips(6), 50))
        losses = model.agreement(seen.states, clips(6).tracks, seen.visible)
    assert bool((losses > 0).all())
    assert float(step.sums["agreement_loss"]) == pytest.approx(float(losses.sum()) * 25 * 0.5, rel=1e-5)


def test_agreement_is_of_the_mean_of_visible_states() -> None:
    agreement = objective(agreement=TrackAgreementConfig()).agreement
    states, visible = torch.randn(4, 10, 16), torch.rand(4, 10) < 0.5
    visible[:, 0] = True
    other = states.masked_fill(~visible[..., None], 7.0)
    tracks = torch.tensor([0, 0, 1, 1])
    assert torch.equal(agreement(states, tracks, visible), agreement(other, tracks, visible))
    everywhere = torch.ones_like(visible)
    torch.testing.assert_close(agreement(states, tracks, everywhere), agreement(states, tracks))


def test_a_pass_of_whole_clips_gives_every_parameter_a_gradient() -> None:
    """On several ranks each pass must; one of them may have whole clips only."""
    model = objective(masking=replace(HALF, whole_share=0.999), agreement=TrackAgreementConfig()).train()
    step = model(clips())
    assert float(step.count) == 0
    step.loss.backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_clip_is_never_hidden_as_a_whole() -> None:
    mask = torch.tensor([[True, True, True], [True, False, True]])
    assert with_something_visible(mask).tolist() == [[False, True, True], [True, False, True]]
    everything = objective(encoder=MUQ, masking=BlockMaskingConfig(probability=1.0)).train()
    step = everything(clips())
    assert float(step.count) == 4 * 49 and step.loss.isfinite()


@pytest.mark.parametrize(
    ("encoder", "masking", "target"),
    [
        (MUQ, BlockMaskingConfig(block_seconds=0.2), CODES),
        (MUQ, SOME_WHOLE, CODES),
        (MERT, SpanMaskingConfig(), NOTES),
        (MERT, HALF, NOTES),
        (MERT2, BlockMaskingConfig(block_seconds=0.2), CODES),
        (SMALL, BlockMaskingConfig(block_seconds=0.2), CODES),
    ],
    ids=["muq blocks", "muq spans", "mert spans", "mert spread", "mert2 blocks", "small blocks"],
)
def test_every_encoder_learns_in_two_steps(encoder: object, masking: MaskingConfig, target: object) -> None:
    prediction = PredictionConfig(target=target)  # type: ignore[arg-type]
    if encoder is MUQ:
        encoder = override(MUQ, {"conformer.dropout": 0.0})
    model = objective(encoder=encoder, masking=masking, predictions=(prediction,)).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(40):
        step = model(clips())
        (step.loss / step.count).backward()
        if not losses:
            missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
            assert not missing
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(step.loss.detach() / step.count))
    assert losses[-1] < 0.93 * losses[0]


def test_gradients_of_the_predictor_are_those_of_differences() -> None:
    torch.manual_seed(0)
    predictor = Predictor(PREDICTOR, 6).double()
    mask = torch.tensor([[True, False, True, True], [False] * 4, [False, True, False, False]])
    states = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    torch.nn.init.normal_(predictor.transformer.layers[0].narrow.weight)
    assert torch.autograd.gradcheck(lambda x: predictor(x, mask), states)
    parameters = [predictor.vector, predictor.narrow.weight]
    assert torch.autograd.gradcheck(lambda *_: predictor(states.detach(), mask), parameters)


def test_a_guess_depends_on_where_it_is_asked_for_and_on_all_that_is_visible() -> None:
    torch.manual_seed(0)
    predictor = Predictor(PREDICTOR, 6).eval()
    mask = torch.tensor([[False, True, True, False, False, True]])
    states = torch.randn(1, 6, 6).masked_fill(mask[..., None], 0)
    other = states.clone()
    other[0, 4] += 1
    with torch.no_grad():
        answers, of_other = predictor(states, mask)[mask], predictor(other, mask)[mask]
    assert not torch.allclose(answers[0], answers[1], atol=1e-5)
    assert bool(((answers - of_other).abs().amax(1) > 1e-6).all())


def test_heads_are_as_wide_as_the_predictor_and_only_the_encoder_outlives_training() -> None:
    model = objective()
    assert model.heads[0].linear.in_features == 8 and model.model is model.encoder
    assert model.masking.vector is None


def test_noise_among_samples_is_refused_for_an_encoder_of_spectra_in_one_step() -> None:
    with pytest.raises(ArgumentError, match=r"spread_span.*or give it a predictor"):
        objective(masking=BlockMaskingConfig(), predictor=None)


def test_stored_spectra_are_not_mixed_as_audio() -> None:
    model = objective(mixing=BatchMixingConfig()).train()
    stored = replace(with_spectra(model, clips()), waveform=torch.zeros(4, 0))
    with pytest.raises(ArgumentError, match="mixing to null"):
        model.mixing(stored)
    assert model(clips()).loss.isfinite()
