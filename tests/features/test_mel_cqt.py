"""MelCQT: both halves are those of LogMel and LogConstantQ, on one grid, alone and padded."""

import pytest
import torch

from solfa.config import override
from solfa.features import LogConstantQ, LogMel, MelCQT, MelCQTConfig, MelCQTFrames
from synth import tone

CONFIG = MelCQTConfig()
WAVE = 0.1 * torch.randn(2, 10_000, generator=torch.Generator().manual_seed(0))


def test_halves_are_the_decibels_of_their_features() -> None:
    frames = MelCQT(CONFIG)(WAVE)
    assert frames.mel.shape == (2, 40, 128) and frames.cqt.shape == (2, 10, 252)
    assert torch.equal(frames.mel, LogMel(CONFIG.mel).decibels(WAVE)[:, :40])
    assert torch.equal(frames.cqt, LogConstantQ(CONFIG.log_cqt)(WAVE))
    assert CONFIG.grid.frame_rate == 25 and MelCQT(CONFIG).n_frames(10_000) == frames.n_frames == 10


def test_a_sound_stands_in_the_same_frames_of_both_halves() -> None:
    wave = torch.zeros(1, 48_000)
    wave[0, 24_000:28_800] = torch.from_numpy(tone(880, 0.2))  # frames 25 to 29
    frames = MelCQT(CONFIG)(wave)
    for loudness in (frames.stacked_mel.amax(2)[0], frames.cqt.amax(2)[0]):
        assert int(loudness.argmax()) in range(25, 30)
        assert bool((loudness[25:30] > loudness.max() - 20).all())
        assert float(loudness[[20, 35]].max()) < float(loudness.max()) - 30


def test_silence_lies_on_both_floors() -> None:
    frames = MelCQT(CONFIG)(torch.zeros(1, 4_800))
    assert bool((frames.mel == -100).all()) and bool((frames.cqt == -80).all())


def test_a_clip_has_the_same_frames_alone_and_padded() -> None:
    padded = torch.nn.functional.pad(WAVE[:1], (0, 9_600))
    alone, beside = MelCQT(CONFIG)(WAVE[:1]), MelCQT(CONFIG)(padded, torch.tensor([10_000])).cut(10)
    torch.testing.assert_close(beside.mel, alone.mel, atol=1e-2, rtol=0)
    torch.testing.assert_close(beside.cqt, alone.cqt, atol=1e-2, rtol=0)


def test_a_cut_takes_the_same_seconds_of_both_halves() -> None:
    mel = torch.arange(12.0).view(1, 12, 1).expand(2, 12, 4)
    frames = MelCQTFrames(mel, torch.arange(3.0).view(1, 3, 1).expand(2, 3, 5))
    cut = frames.cut(1, 1)
    assert cut.mel[0, :, 0].tolist() == [4, 5, 6, 7] and cut.cqt[0, :, 0].tolist() == [1]
    assert cut.n_frames == 1 and cut.n_stacked == frames.n_stacked == 4 and len(cut) == 2
    assert frames.stacked_mel[0, 2].tolist() == [8] * 4 + [9] * 4 + [10] * 4 + [11] * 4
    assert frames.to(torch.device("meta")).mel.is_meta


@pytest.mark.parametrize(
    "changes",
    [{"mel.hop_length": 320}, {"n_stacked": 3}, {"log_cqt.constant_q.sample_rate": 22_050}],
)
def test_halves_on_other_grids_are_refused_with_the_cure(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="hop_length of constant_q that of mel times n_stacked"):
        override(CONFIG, changes)
