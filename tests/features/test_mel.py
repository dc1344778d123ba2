"""LogMel: parity with the original, and what a musician expects of it."""

import math

import pytest
import torch
from torch.testing import assert_close

from golden_data import MUQ, config_of, io_of
from solfa.features import LogMel, LogMelConfig
from solfa.models.published.muq import muq_config


def tone(frequency: float, seconds: float = 1.0, amplitude: float = 0.5) -> torch.Tensor:
    time = torch.arange(round(seconds * 24_000)) / 24_000
    return amplitude * torch.sin(2 * math.pi * frequency * time)[None]


@pytest.mark.parametrize("case", MUQ)
def test_decibels_and_normalised_frames_equal_the_original(case: str) -> None:
    io = io_of(case)
    log_mel = LogMel(muq_config(config_of(case)).mel)
    assert_close(log_mel.decibels(io["wav"]).mT, io["mel_db"], atol=1e-3, rtol=1e-5)
    assert_close(log_mel(io["wav"]).mT, io["mel_norm"], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("frequency", [220.0, 440.0, 3520.0])
def test_a_tone_peaks_in_the_band_of_its_pitch(frequency: float) -> None:
    peak = int(LogMel(LogMelConfig())(tone(frequency))[0, 50].argmax())
    top = 2595 * math.log10(1 + 12_000 / 700)
    assert abs(peak + 1 - 2595 * math.log10(1 + frequency / 700) / (top / 129)) <= 1


def test_ten_times_the_amplitude_is_twenty_decibels() -> None:
    log_mel = LogMel(LogMelConfig())
    loud, soft = log_mel.decibels(tone(440.0, amplitude=0.5)), log_mel.decibels(tone(440.0, amplitude=0.05))
    peak = int(loud[0, 50].argmax())
    assert_close(loud[0, 50, peak] - soft[0, 50, peak], torch.tensor(20.0), atol=1e-3, rtol=0)


def test_silence_is_the_floor_and_not_nan() -> None:
    decibels = LogMel(LogMelConfig()).decibels(torch.zeros(1, 24_000))
    assert torch.equal(decibels, torch.full_like(decibels, -100.0))


def test_frames_of_a_padded_clip_are_those_it_has_alone() -> None:
    log_mel = LogMel(LogMelConfig())
    clip = torch.randn(1, 10_007, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(clip, (0, 9_000), value=0.7)
    alone = log_mel(clip)
    assert_close(log_mel(padded, torch.tensor([10_007]))[:, : alone.shape[1]], alone, atol=1e-5, rtol=0)


def test_a_clip_too_short_to_be_mirrored_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"at least 1025 samples.*Pad it"):
        LogMel(LogMelConfig())(torch.zeros(1, 1024))
