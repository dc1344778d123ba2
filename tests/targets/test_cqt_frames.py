"""CQTFrames: what tones of known pitch and loudness give."""

import math

import pytest
import torch

from solfa.data.clips import Clips
from solfa.targets import (
    AmplitudeConfig,
    CQTFrames,
    CQTFramesConfig,
    LinearMagnitudeConfig,
    LogMagnitudeConfig,
)
from synth import tone

LOW, HIGH = 65.4, 2093.0  # Hz: C2 and C7, in the middle of their bins


def values(hz: float, magnitude: object, gain: float = 0.3) -> torch.Tensor:
    """Values of the bins in the middle of four seconds of a tone."""
    waveform = torch.from_numpy(tone(hz, 4.0, gain=gain))[None]
    clips = Clips(waveform, 24_000, torch.arange(1), torch.zeros(1, dtype=torch.long))
    return CQTFrames(CQTFramesConfig(magnitude=magnitude))(clips).values[0, 150]


@pytest.mark.parametrize("magnitude", [LinearMagnitudeConfig(), LogMagnitudeConfig(), AmplitudeConfig()])
def test_a_tone_is_loudest_in_its_bin(magnitude: object) -> None:
    assert int(values(440.0, magnitude).argmax()) == round(48 * math.log2(440.0 / 32.7))


def test_an_octave_is_48_bins() -> None:
    lower, higher = (int(values(hz, LinearMagnitudeConfig()).argmax()) for hz in (220.0, 440.0))
    assert higher - lower == 48


def test_linear_magnitudes_of_low_notes_are_larger() -> None:
    low, high = (float(values(hz, LinearMagnitudeConfig()).max()) for hz in (LOW, HIGH))
    assert low / high == pytest.approx((HIGH / LOW) ** 0.5, rel=0.05)


@pytest.mark.parametrize("hz", [LOW, HIGH])
def test_the_amplitude_of_a_tone_is_its_amplitude_at_any_pitch(hz: float) -> None:
    assert float(values(hz, AmplitudeConfig()).max()) == pytest.approx(0.3, rel=0.03)


def test_a_logarithm_brings_soft_and_loud_together() -> None:
    soft, loud = (float(values(440.0, LogMagnitudeConfig(), gain).max()) for gain in (0.03, 0.3))
    assert 1 < loud / soft < 3


def test_the_logarithm_is_of_one_plus_the_gain_times_the_magnitude() -> None:
    plain, log = values(440.0, LinearMagnitudeConfig()), values(440.0, LogMagnitudeConfig(gain=2.0))
    torch.testing.assert_close(log, (1 + 2 * plain).log())
