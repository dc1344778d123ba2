"""HybridConstantQ: as librosa's, in magnitude and in tuning."""

import math

import numpy as np
import pytest
import torch

from solfa.features.hybrid_cqt import HybridConstantQ, HybridConstantQConfig, tuning

RATE = 22_050


def tones(*pitches: float, seconds: float = 4.0) -> torch.Tensor:
    """Tones with three partials each, in a little noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(
        np.sin(2 * math.pi * pitch * n * time) / n for pitch in pitches for n in (1, 2, 3)
    ) + 0.01 * np.random.default_rng(0).standard_normal(len(time))
    return torch.from_numpy(0.1 * np.asarray(wave)).float()


@pytest.mark.parametrize("bins", [-0.3, 0.0, 0.22])
def test_how_a_track_is_tuned_is_heard(bins: float) -> None:
    shift = 2 ** (bins / 36)
    heard = tuning(tones(880.0 * shift, 1318.51 * shift), HybridConstantQConfig())
    assert heard == pytest.approx(bins, abs=0.08)


def test_silence_is_tuned_to_440_and_gives_zeros() -> None:
    silence = torch.zeros(RATE)
    assert tuning(silence, HybridConstantQConfig()) == 0
    assert not HybridConstantQ(HybridConstantQConfig())(silence).any()


def test_a_tone_peaks_in_its_bin_however_it_is_tuned() -> None:
    hybrid = HybridConstantQ(HybridConstantQConfig())
    for pitch in (440.0, 440.0 * 2 ** (0.3 / 36)):
        magnitudes = hybrid(tones(pitch))
        assert magnitudes.shape == (4 * RATE // 512 + 1, 252)
        assert magnitudes[20:-20].mean(0)[:200].argmax() == 36 * 3 + 27  # A4, three octaves above A1


@pytest.mark.slow  # librosa compiles itself first
def test_magnitudes_are_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    wave = tones(65.9, 233.0, 698.0, 3000.0)
    expected = np.abs(
        librosa.hybrid_cqt(
            wave.numpy(), sr=RATE, hop_length=512, fmin=librosa.note_to_hz("C1"), n_bins=252,
            bins_per_octave=36, tuning=None,
        )
    ).T  # fmt: skip
    found = HybridConstantQ(HybridConstantQConfig())(wave).numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.02 * expected.max()
    assert tuning(wave, HybridConstantQConfig()) == pytest.approx(
        librosa.estimate_tuning(y=wave.numpy(), sr=RATE, bins_per_octave=36), abs=0.011
    )
