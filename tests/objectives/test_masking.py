"""BlockMasking: shares, places, and that labels stay clean."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.data.clips import Clips
from solfa.frames import FrameGrid
from solfa.objectives.masking import BlockMasking, BlockMaskingConfig, sample_block_mask

GRID = FrameGrid(24_000, 960)


def clips(n: int, seconds: float = 4.0, first: int = 0, seed: int = 3) -> Clips:
    numbers = torch.arange(first, first + n)
    return Clips(torch.zeros(n, round(seconds * 24_000)), 24_000, numbers, torch.zeros_like(numbers), seed)


def test_block_mask_hides_the_expected_share() -> None:
    mask = BlockMasking(BlockMaskingConfig(), GRID).sample(clips(2000), 100)
    assert float(mask.float().mean()) == pytest.approx(0.6, abs=0.01)


def test_blocks_are_hidden_or_kept_as_one() -> None:
    mask = BlockMasking(BlockMaskingConfig(), GRID).sample(clips(50), 100)
    blocks = mask.view(50, 10, 10)
    assert torch.equal(blocks.all(-1), blocks.any(-1))


@settings(max_examples=30, deadline=None)
@given(n_frames=st.integers(1, 200), block=st.integers(1, 30), probability=st.sampled_from([0.0, 0.3, 1.0]))
def test_a_mask_fits_any_clip(n_frames: int, block: int, probability: float) -> None:
    mask = sample_block_mask(n_frames, block_frames=block, probability=probability)
    assert mask.shape == (n_frames,)
    assert probability not in (0.0, 1.0) or bool((mask == bool(probability)).all())


def test_noise_of_the_stated_size_stands_under_hidden_frames_and_nowhere_else() -> None:
    masking, quiet = BlockMasking(BlockMaskingConfig(), GRID), clips(20)
    mask = masking.sample(quiet, 100)
    hidden = mask.repeat_interleave(960, dim=1)
    noisy = masking.hide_samples(quiet, mask)
    assert float(noisy[hidden].std()) == pytest.approx(0.1, rel=0.01)
    assert not noisy[~hidden].any()
    assert not quiet.waveform.any()


def test_mask_and_noise_of_a_clip_depend_on_its_number_and_not_on_its_batch() -> None:
    masking = BlockMasking(BlockMaskingConfig(), GRID)
    batch, alone = clips(4, first=10), clips(1, first=12)
    mask = masking.sample(batch, 100)
    assert torch.equal(mask[2], masking.sample(alone, 100)[0])
    assert torch.equal(masking.hide_samples(batch, mask)[2], masking.hide_samples(alone, mask[[2]])[0])


def test_another_seed_gives_another_mask() -> None:
    masking = BlockMasking(BlockMaskingConfig(), GRID)
    assert not torch.equal(masking.sample(clips(8, seed=1), 100), masking.sample(clips(8, seed=2), 100))


def test_samples_after_the_last_whole_frame_are_left_alone() -> None:
    masking, longer = BlockMasking(BlockMaskingConfig(probability=1.0), GRID), clips(1, seconds=4.02)
    noisy = masking.hide_samples(longer, masking.sample(longer, 100))
    assert not noisy[0, 96_000:].any()
