"""StoredCodes: what the clips carry, and refusal of anything else."""

from dataclasses import replace

import pytest
import torch

from solfa.data.clips import Clips
from solfa.data.stored_frames import ClipCodes
from solfa.frames import FrameGrid
from solfa.targets import Codes, CodesShape, StoredCodesConfig, TargetError, build_target

CONFIG = StoredCodesConfig(n_codebooks=2, codebook_size=64)
VALUES = torch.arange(40).view(2, 2, 10)
CLIPS = Clips(
    torch.zeros(2, 9600), 24_000, torch.arange(2), torch.arange(2),
    codes=ClipCodes(VALUES, 64, FrameGrid(24_000, 960)),
)  # fmt: skip


def test_it_gives_the_codes_that_the_clips_carry() -> None:
    answer = build_target(CONFIG).with_context(CLIPS)
    assert isinstance(answer, Codes)
    assert torch.equal(answer.values, VALUES) and answer.codebook_size == 64
    assert CONFIG.shape == CodesShape(2, 64)


def test_of_codes_that_reach_into_the_surroundings_it_gives_those_of_the_clip() -> None:
    surrounded = replace(
        CLIPS, waveform=torch.zeros(2, 6 * 960), surroundings=torch.zeros(2, 9600), context_samples=2 * 960
    )
    assert torch.equal(build_target(CONFIG).with_context(surrounded).values, VALUES[:, :, 2:8])


def test_clips_without_codes_are_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match=r"solfa data label .*--set data\.codes=CODES"):
        build_target(CONFIG).with_context(replace(CLIPS, codes=None))


@pytest.mark.parametrize(
    "other",
    [
        StoredCodesConfig(n_codebooks=3, codebook_size=64),
        StoredCodesConfig(n_codebooks=2, codebook_size=65),
        StoredCodesConfig(n_codebooks=2, codebook_size=64, hop_length=320),
        StoredCodesConfig(n_codebooks=2, codebook_size=64, sample_rate=16_000),
    ],
)
def test_codes_of_other_sizes_are_refused_with_the_cure(other: StoredCodesConfig) -> None:
    with pytest.raises(TargetError, match=r"predictions\.0\.target to agree with their codes\.json"):
        build_target(other).with_context(CLIPS)
