"""ConstantQ: parity with the original, and what a musician expects of it."""

import math

import pytest
import torch
from torch.testing import assert_close

from golden_data import io_of, relative_error
from solfa.features import ConstantQ, ConstantQConfig, cqt

SETTINGS = {
    "mert_teacher_75hz_336": ConstantQConfig(),
    "mert_teacher_75hz_84": ConstantQConfig(n_bins=84, bins_per_octave=12),
    "mert_input_50hz_336": ConstantQConfig(hop_length=480),
}
SEMITONES = SETTINGS["mert_teacher_75hz_84"]


def tone(frequency: float, seconds: float = 1.5, sample_rate: int = 24_000) -> torch.Tensor:
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    return 0.5 * torch.sin(2 * math.pi * frequency * time)[None]


@pytest.mark.parametrize("setting", SETTINGS)
def test_magnitudes_equal_the_original(setting: str) -> None:
    io = io_of("cqt")
    assert relative_error(io[setting].mT, ConstantQ(SETTINGS[setting])(io["wav"])) < 1e-4


def test_magnitudes_at_16_khz_equal_the_original() -> None:
    io = io_of("mert_16khz_cqt_input")
    assert relative_error(io["cqt"].mT, ConstantQ(ConstantQConfig(sample_rate=16_000))(io["wav"])) < 1e-4


def test_a_tone_peaks_in_the_bin_of_its_pitch_and_an_octave_higher_bins_per_octave_later() -> None:
    constant_q = ConstantQ(SEMITONES)
    c1, a4 = 24, 69  # MIDI numbers: the first bin is C1
    peaks = [int(constant_q(tone(frequency))[0, 56].argmax()) for frequency in (440.0, 880.0)]
    assert peaks == [a4 - c1, a4 - c1 + SEMITONES.bins_per_octave]


def test_silence_is_zero_and_not_nan() -> None:
    assert torch.equal(ConstantQ(SEMITONES)(torch.zeros(1, 24_000)), torch.zeros(1, 76, 84))


@pytest.mark.parametrize("n_samples", [1, 319, 320, 5_000])
def test_a_clip_of_any_length_has_a_frame_for_each_hop_begun(n_samples: int) -> None:
    constant_q = ConstantQ(SEMITONES)
    magnitudes = constant_q(torch.ones(2, n_samples))
    assert magnitudes.shape == (2, constant_q.n_frames(n_samples), 84)
    assert torch.isfinite(magnitudes).all()


def test_frames_of_a_padded_clip_are_those_it_has_alone() -> None:
    constant_q = ConstantQ(SEMITONES)
    clips = torch.randn(2, 9_000, generator=torch.Generator().manual_seed(0))
    alone = constant_q(clips[:1, :7_001])
    padded = constant_q(clips, torch.tensor([7_001, 9_000]))
    assert_close(padded[:1, : alone.shape[1]], alone, atol=1e-5, rtol=0)


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    constant_q = ConstantQ(SEMITONES)
    waveform = torch.randn(1, 200_000, generator=torch.Generator().manual_seed(0))
    whole = constant_q(waveform)
    monkeypatch.setattr(cqt, "SAMPLES_AT_ONCE", 1)
    assert_close(constant_q(waveform), whole, atol=1e-5, rtol=0)
    delayed = constant_q(torch.nn.functional.pad(waveform, (640, 0)))  # another frame at each block's start
    assert_close(delayed[:, 2:], whole, atol=1e-4, rtol=0)


def test_bins_above_half_the_sample_rate_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match="Lower n_bins"):
        ConstantQConfig(sample_rate=8_000)
