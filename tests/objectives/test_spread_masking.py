"""SpreadSpanMasking: exact shares, lengths, gaps, clips that are left whole; for one step and for two."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.data.clips import Clips
from solfa.frames import FrameGrid
from solfa.objectives import SpreadSpanMasking, SpreadSpanMaskingConfig
from solfa.objectives.masking import sample_spread_mask

GRID = FrameGrid(24_000, 960)


def masking(dim: int | None = 4, **changes: object) -> SpreadSpanMasking:
    torch.manual_seed(0)
    return SpreadSpanMasking(SpreadSpanMaskingConfig(**changes), GRID, dim)  # type: ignore[arg-type]


def clips(n: int, first: int = 0) -> Clips:
    numbers = torch.arange(first, first + n)
    return Clips(torch.zeros(n, 400), 24_000, numbers, torch.zeros_like(numbers), 3)


def runs(mask: Tensor) -> list[tuple[bool, int]]:
    return [(hidden, len(list(frames))) for hidden, frames in itertools.groupby(mask.tolist())]


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 300), st.data())
def test_as_many_frames_are_hidden_as_are_wanted(n_frames: int, data: st.DataObject) -> None:
    n_hidden = data.draw(st.integers(0, n_frames))
    spans = tuple(data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=4)))
    mask = sample_spread_mask(n_frames, n_hidden=n_hidden, span_frames=spans)
    assert len(mask) == n_frames and int(mask.sum()) == n_hidden


def test_every_clip_hides_the_same_share_or_nothing() -> None:
    mask = masking().sample(clips(3_000), 250)
    counts = mask.sum(1)
    assert set(counts.tolist()) == {0, 188}  # three quarters of 250, rounded
    assert float((counts == 0).float().mean()) == pytest.approx(0.1, abs=0.02)


def test_spans_have_the_lengths_that_were_drawn_and_lie_apart() -> None:
    mask = masking(whole_share=0.0).sample(clips(500), 250)
    lengths = [n for row in mask for hidden, n in runs(row)[1:-1] if hidden]
    assert set(lengths) >= {10, 20, 40}
    for row in mask:
        odd = [n for hidden, n in runs(row)[1:-1] if hidden and n not in (10, 20, 40)]
        assert (
            len(odd) <= 1
        )  # the last that was drawn is cut short; others may be cut by the ends of the clip
    thirds = [lengths.count(n) / len(lengths) for n in (10, 20, 40)]
    assert min(thirds) > 0.2 and max(thirds) < 0.45


def test_every_place_of_a_clip_is_hidden_as_often() -> None:
    often = masking(whole_share=0.0).sample(clips(4_000), 250).float().mean(0)
    torch.testing.assert_close(often, torch.full((250,), 188 / 250), atol=0.03, rtol=0)


def test_a_mask_is_that_of_the_clip_wherever_it_is_made() -> None:
    whole = masking().sample(clips(6), 100)
    parts = [masking().train().sample(clips(2, first), 100) for first in (0, 2, 4)]
    assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(whole, masking(None).eval().sample(clips(6), 100))  # for one step and for two


def test_a_vector_stands_where_frames_are_hidden_unless_they_are_left_out() -> None:
    part = masking()
    mask, frames = part.sample(clips(2), 50), torch.randn(2, 51, 4)
    hidden = part.hide_frames(frames, mask)
    assert torch.equal(hidden[:, :50][~mask], frames[:, :50][~mask])
    assert bool((hidden[:, :50][mask] == part.vector).all())
    assert not list(masking(None).parameters())


def test_whole_clips_weigh_as_much_as_others_and_their_mean_is_one() -> None:
    part = masking()
    mask = part.sample(clips(3_000), 250)
    weights = part.clip_weights(mask)
    assert len(weights.unique()) == 1
    assert float(weights.sum() / mask.sum()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    "changes", [{"span_seconds": ()}, {"hidden_share": 0.0}, {"hidden_share": 1.0}, {"whole_share": 1.0}]
)
def test_masks_from_which_nothing_can_be_learned_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        SpreadSpanMaskingConfig(**changes)  # type: ignore[arg-type]
