"""MFCC: equal to librosa's, slopes as least squares, and a clip alone is the clip in a batch."""

import librosa
import numpy as np
import pytest
import torch

from solfa.features import MFCC, LogMelConfig, MFCCConfig
from solfa.features.mfcc import cosines
from solfa.features.neighbours import slopes, with_neighbours
from synth import melody

CONFIG = MFCCConfig(mel=LogMelConfig(hop_length=960))


def test_coefficients_equal_those_of_librosa() -> None:
    waveform, mel = melody(2.0), CONFIG.mel
    power = librosa.feature.melspectrogram(
        y=waveform, sr=mel.sample_rate, n_fft=mel.n_fft, hop_length=mel.hop_length, n_mels=mel.n_mels,
        htk=True, norm=None, pad_mode="reflect",
    )  # fmt: skip
    decibels = librosa.power_to_db(power, amin=mel.floor_power, top_db=None)
    expected = librosa.feature.mfcc(S=decibels, n_mfcc=20).T[:50]
    found = MFCC(CONFIG).coefficients(torch.from_numpy(waveform)[None])[0]
    np.testing.assert_allclose(found, expected, atol=0.02)  # of coefficients of some hundreds


def test_slopes_equal_those_of_librosa() -> None:
    frames = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32)
    found = slopes(torch.from_numpy(frames)[None], torch.tensor([30]), 4)[0]
    expected = librosa.feature.delta(frames.T, width=9, mode="nearest").T
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_cosines_are_orthonormal() -> None:
    rows = cosines(20, 128)
    torch.testing.assert_close(rows @ rows.T, torch.eye(20), atol=1e-5, rtol=0)


def test_beyond_the_ends_of_a_clip_stand_its_first_and_last_frame() -> None:
    frames = torch.arange(4.0)[None, :, None]
    around = with_neighbours(frames, torch.tensor([3]), 1)[0, :, :, 0]
    assert around[:3].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2]]


def test_a_padded_clip_has_the_frames_that_it_has_alone() -> None:
    mfcc, clip = MFCC(CONFIG), torch.from_numpy(melody(1.0))[None]
    alone = mfcc(clip)
    padded = mfcc(torch.nn.functional.pad(clip, (0, 9000)), torch.tensor([clip.shape[1]]))
    torch.testing.assert_close(padded[:, : alone.shape[1]], alone, atol=1e-3, rtol=1e-5)


def test_more_cosines_than_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="Change n_coefficients"):
        MFCCConfig(n_coefficients=200)
