import numpy as np
import pytest

from solfa.errors import ArgumentError
from solfa.features import Measured, Measurements
from synth import chord, clicks, noise, pitch_hz, tone

RATE = 24_000
SECONDS = 10.0


def measured(waveform: np.ndarray) -> Measured:
    found = Measurements()(np.asarray(waveform, dtype=np.float32))
    assert found is not None
    return found


@pytest.mark.parametrize("bpm", [60.0, 100.0, 150.0])
def test_clicks_have_their_tempo_their_number_and_a_clear_beat(bpm: float) -> None:
    found = measured(clicks(bpm, SECONDS) + noise(SECONDS, gain=1e-5))
    octaves = np.log2(found.tempo_bpm / bpm)
    assert abs(octaves - round(octaves)) < 0.04 and abs(octaves) < 1.1  # half or twice may be as good
    assert found.onsets_per_second == pytest.approx(bpm / 60, rel=0.15)
    assert found.beat_strength > 0.5


def test_strokes_are_percussive_and_tones_are_not() -> None:
    strokes = measured(clicks(120.0, SECONDS) + noise(SECONDS, gain=1e-5))
    still = measured(tone(pitch_hz(69), SECONDS))
    assert strokes.percussive > 0.6 > 0.2 > still.percussive
    assert still.beat_strength < 0.3


def test_a_high_tone_is_brighter_and_a_tone_ten_times_as_large_twenty_decibels_louder() -> None:
    low, high = measured(tone(pitch_hz(45), SECONDS)), measured(tone(pitch_hz(81), SECONDS))
    assert high.brightness_hz > 2 * low.brightness_hz
    softer = measured(0.1 * tone(pitch_hz(45), SECONDS))
    assert low.level_db - softer.level_db == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("tonic", [0, 3, 7])
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_a_cadence_has_the_mode_of_its_key(tonic: int, mode: str) -> None:
    own = "maj" if mode == "major" else "min"
    cadence = ((48, own), (53, own), (55, "maj"), (48, own))
    music = np.concatenate([chord(root + tonic, kind, SECONDS / 4) for root, kind in cadence])
    assert measured(music).mode == mode


def test_silence_says_nothing() -> None:
    assert Measurements()(np.zeros(int(SECONDS * RATE), np.float32)) is None


def test_an_excerpt_that_says_too_little_is_refused() -> None:
    with pytest.raises(ArgumentError, match="at least 3 s"):
        Measurements()(np.ones(RATE, np.float32))
