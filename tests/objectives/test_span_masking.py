"""SpanMasking: shares, equal counts, and what stands where frames are hidden."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.data.clips import Clips
from solfa.objectives.masking import SpanMasking, SpanMaskingConfig, sample_span_mask, thin_out


def masking(dim: int = 4) -> SpanMasking:
    torch.manual_seed(0)
    return SpanMasking(SpanMaskingConfig(), dim)


def clips(n: int, first: int = 0, seed: int = 3) -> Clips:
    numbers = torch.arange(first, first + n)
    return Clips(torch.zeros(n, 400), 24_000, numbers, torch.zeros_like(numbers), seed)


def hidden_share(n_frames: int, n_spans: int, span_frames: int) -> float:
    """Expected share of frames under spans that begin at different ones of ``n_frames - span_frames``."""
    n_starts = n_frames - span_frames
    shares = []
    for frame in range(n_frames):
        covering = min(frame, n_starts - 1) - max(0, frame - span_frames + 1) + 1
        none = math.comb(n_starts - covering, n_spans) / math.comb(n_starts, n_spans) if covering > 0 else 1.0
        shares.append(1 - none)
    return sum(shares) / n_frames


def test_overlapping_spans_hide_the_share_that_theory_says() -> None:
    mask = masking().eval().sample(clips(2000), 374)
    whole, part = divmod(0.8 * 374 / 5, 1)
    expected = (1 - part) * hidden_share(374, int(whole), 5) + part * hidden_share(374, int(whole) + 1, 5)
    assert float(mask.float().mean()) == pytest.approx(expected, abs=0.002)
    assert expected == pytest.approx(0.58, abs=0.005)  # as published


def test_the_number_of_spans_is_rounded_at_random_to_its_mean() -> None:
    draws = torch.stack(
        [sample_span_mask(33, span_frames=1, drawn_share=0.1, min_spans=1).sum() for _ in range(3000)]
    )
    assert set(draws.tolist()) == {3, 4}
    assert float(draws.float().mean()) == pytest.approx(3.3, abs=0.04)


def test_a_short_clip_has_two_spans() -> None:
    draws = [
        sample_span_mask(30, span_frames=1, drawn_share=0.0, min_spans=2).sum().item() for _ in range(100)
    ]
    assert set(draws) == {2}


def test_hidden_frames_stand_in_runs_of_a_span_or_longer() -> None:
    for _ in range(50):
        mask = sample_span_mask(200, span_frames=5, drawn_share=0.3, min_spans=2)
        runs = "".join("x" if hidden else " " for hidden in mask.tolist()).split()
        assert min(len(run) for run in runs) >= 5


@settings(max_examples=40, deadline=None)
@given(n_frames=st.integers(1, 60), span=st.integers(1, 8), share=st.sampled_from([0.0, 0.4, 0.8]))
def test_a_mask_fits_any_clip(n_frames: int, span: int, share: float) -> None:
    mask = sample_span_mask(n_frames, span_frames=span, drawn_share=share, min_spans=2)
    assert mask.shape == (n_frames,) and mask.any()


def test_in_training_every_clip_hides_as_many_frames_as_the_one_with_the_fewest() -> None:
    drawn = masking().eval().sample(clips(16), 150)
    trained = masking().sample(clips(16), 150)
    assert len(drawn.sum(1).unique()) > 1
    assert trained.sum(1).tolist() == [int(drawn.sum(1).min())] * 16


def test_frames_that_stay_visible_are_drawn_and_not_the_last_ones() -> None:
    mask = torch.ones(100, dtype=torch.bool)
    kept = torch.stack([thin_out(mask, 50) for _ in range(400)]).float().mean(0)
    assert float(kept.mean()) == 0.5
    assert float((kept - 0.5).abs().max()) < 0.12


def test_thinning_hides_nothing_that_was_visible() -> None:
    mask = sample_span_mask(150, span_frames=5, drawn_share=0.8, min_spans=2)
    thinned = thin_out(mask, 40)
    assert int(thinned.sum()) == 40 and not (thinned & ~mask).any()


def test_while_validating_a_mask_depends_on_the_clip_and_not_on_its_batch() -> None:
    hides = masking().eval()
    assert torch.equal(hides.sample(clips(4, first=10), 150)[2], hides.sample(clips(1, first=12), 150)[0])


def test_another_seed_gives_another_mask() -> None:
    hides = masking()
    assert not torch.equal(hides.sample(clips(4, seed=1), 150), hides.sample(clips(4, seed=2), 150))


def test_the_learned_vector_stands_at_hidden_frames_and_nowhere_else() -> None:
    hides, frames = masking(), torch.randn(3, 20, 4)
    mask = torch.rand(3, 20) < 0.5
    seen = hides.hide_frames(frames, mask)
    assert torch.equal(seen[mask], hides.vector.expand(int(mask.sum()), 4))
    assert torch.equal(seen[~mask], frames[~mask])


def test_the_vector_learns_and_the_frames_under_it_do_not() -> None:
    hides, frames = masking(), torch.randn(1, 3, 4, requires_grad=True)
    hides.hide_frames(frames, torch.tensor([[True, False, False]])).sum().backward()
    assert hides.vector.grad is not None and (hides.vector.grad == 1).all()
    assert frames.grad is not None and frames.grad[0, :, 0].tolist() == [0, 1, 1]


def test_a_frame_beyond_the_last_target_is_left_alone() -> None:
    hides, frames = masking(), torch.randn(1, 5, 4)
    seen = hides.hide_frames(frames, torch.ones(1, 4, dtype=torch.bool))
    assert torch.equal(seen[0, 4], frames[0, 4])


def test_spans_of_no_frames_are_refused() -> None:
    with pytest.raises(ValueError, match=r"span_frames and masking\.min_spans must be at least 1"):
        SpanMaskingConfig(span_frames=0)
