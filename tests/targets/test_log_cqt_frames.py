"""Log-CQT frames to regress: the same of audio and of its spectra, loud or soft; a tone stands in its bin."""

from dataclasses import replace

import torch

from solfa.data.clips import Clips
from solfa.features import MelCQT, MelCQTConfig
from solfa.targets import LogCQTFrames, LogCQTFramesConfig

TARGET = LogCQTFrames(LogCQTFramesConfig())


def tones(gain: float = 1.0) -> Clips:
    """A clip of 440 Hz and one of 110 Hz, in noise that is above all floors."""
    time = torch.arange(48_000) / 24_000
    wave = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (440.0, 110.0)])
    noise = 0.3 * torch.randn(2, 48_000, generator=torch.Generator().manual_seed(0))
    return Clips(gain * (wave + noise), 24_000, torch.arange(2), torch.zeros(2, dtype=torch.long))


def test_a_louder_clip_has_the_same_frames() -> None:
    difference = TARGET(tones(0.5)).values - TARGET(tones()).values
    assert difference.abs().mean() < 1e-3  # some values lie near the floor


def test_frames_of_audio_are_those_of_its_spectra() -> None:
    clips = tones()
    spectra = MelCQT(MelCQTConfig())(clips.waveform)
    given = replace(clips, waveform=torch.zeros(2, 0), spectra=spectra)
    torch.testing.assert_close(TARGET(given).values, TARGET(clips).values, atol=1e-4, rtol=0)


def test_a_tone_stands_in_its_bin() -> None:
    loudest = TARGET(tones()).values[:, 10:-10].mean(1).argmax(1)
    bins = 36 * torch.log2(torch.tensor([440.0, 110.0]) / 32.7)
    assert (loudest - bins.round()).abs().max() <= 1
