"""A clip and its louder copy have the same targets where the level is removed; its loud parts stay loud."""

import pytest
import torch

from solfa.data.clips import Clips
from solfa.targets import (
    CQTRVQ,
    CQTLevelFramesConfig,
    CQTRVQConfig,
    FittableTarget,
    MelRVQ,
    MelRVQConfig,
    ResidualKMeansConfig,
    StackedMelConfig,
)
from solfa.targets.level import without_level

SMALL = ResidualKMeansConfig(n_codebooks=2, codebook_size=8)
LEVEL_FREE = [
    MelRVQ(MelRVQConfig(frames=StackedMelConfig(level="removed"), quantizer=SMALL)),
    CQTRVQ(CQTRVQConfig(quantizer=ResidualKMeansConfig(dim=252, n_codebooks=2, codebook_size=8))),
]
every_target = pytest.mark.parametrize("target", LEVEL_FREE, ids=lambda target: target.title)


def music(gain: float = 1.0) -> Clips:
    """Two chords in noise that is above all floors, one after the other; the second is softer."""
    time = torch.arange(48_000) / 24_000
    chords = [
        sum(torch.sin(2 * torch.pi * f * time) for f in chord) for chord in ((220, 277, 330), (196, 247))
    ]
    noise = 0.3 * torch.randn(2, 48_000, generator=torch.Generator().manual_seed(0))
    loudness = torch.where(time < 1, 1.0, 0.5)
    wave = gain * loudness * (torch.stack(chords) + noise)  # type: ignore[arg-type]
    return Clips(wave, 24_000, torch.arange(2), torch.zeros(2, dtype=torch.long))


@every_target
def test_a_louder_clip_has_the_same_frames(target: FittableTarget) -> None:
    frames, louder = target.frames_to_quantize(music(30.0)), target.frames_to_quantize(music(90.0))
    torch.testing.assert_close(louder, frames, atol=2e-3, rtol=0)


@every_target
def test_the_loud_part_of_a_clip_stays_above_its_soft_part(target: FittableTarget) -> None:
    frames = target.frames_to_quantize(music())
    assert bool((frames[:, 5:20].mean((1, 2)) > 0.2 + frames[:, 30:45].mean((1, 2))).all())


@every_target
def test_a_clip_does_not_hear_the_level_of_others(target: FittableTarget) -> None:
    clips = music()
    mixed = Clips(clips.waveform * torch.tensor([[1.0], [0.01]]), 24_000, clips.numbers, clips.tracks)
    frames = target.frames_to_quantize(mixed)[0]
    torch.testing.assert_close(frames, target.frames_to_quantize(clips)[0], atol=1e-5, rtol=0)


@every_target
def test_frames_of_stored_decibels_are_those_of_the_audio(target: MelRVQ | CQTRVQ) -> None:
    waveform = music().waveform
    decibels = (
        target.frames.log_mel.decibels(waveform)
        if isinstance(target, MelRVQ)
        else target.frames.log_cqt(waveform)
    )
    assert torch.equal(target.frames.of_decibels(decibels), target.frames(waveform))


def test_a_level_that_is_kept_changes_nothing() -> None:
    frames = torch.randn(2, 5, 4)
    assert without_level(frames, "kept") is frames
    torch.testing.assert_close(
        without_level(frames, "removed").mean((1, 2)), torch.zeros(2), atol=1e-6, rtol=0
    )


def test_a_semitone_higher_moves_a_cqt_frame_by_three_bins() -> None:
    time = torch.arange(48_000) / 24_000
    waves = torch.stack([torch.sin(2 * torch.pi * 220 * 2 ** (k / 12) * time) for k in range(2)])
    clips = Clips(waves, 24_000, torch.arange(2), torch.zeros(2, dtype=torch.long))
    peaks = CQTRVQ(CQTRVQConfig()).frames_to_quantize(clips)[:, 20].argmax(1)
    assert int(peaks[1] - peaks[0]) == 3
    assert CQTLevelFramesConfig().dim == 252
