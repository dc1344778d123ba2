"""Chroma: parity with librosa, and what a musician expects of it."""

import librosa
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from solfa.features import Chroma, ChromaConfig
from solfa.features.chroma import chroma_filters
from synth import chord, melody, pitch_hz, tone

C4, A4 = 60, 69  # MIDI numbers


def chroma(waveform: np.ndarray, config: ChromaConfig | None = None) -> torch.Tensor:
    return Chroma(config or ChromaConfig())(torch.from_numpy(waveform)[None])


def pitch_class(frame: torch.Tensor) -> int:
    """The nearest semitone from C of the bin with most power."""
    return round(int(frame.argmax()) * 12 / len(frame)) % 12


@pytest.mark.parametrize(
    "config", [ChromaConfig(), ChromaConfig(sample_rate=16_000), ChromaConfig(n_bins=12)]
)
def test_filters_above_0_hz_equal_those_of_librosa(config: ChromaConfig) -> None:
    expected = librosa.filters.chroma(
        sr=config.sample_rate, n_fft=config.n_fft, n_chroma=config.n_bins, tuning=0.0
    )
    filters = chroma_filters(config)
    assert_close(filters[:, 1:], torch.from_numpy(expected[:, 1:]), atol=1e-6, rtol=0)
    assert not filters[:, 0].any()


def test_frames_equal_those_of_librosa() -> None:
    waveform = melody(2.0)
    settings = {"norm": 2, "n_fft": 2048, "hop_length": 320, "n_chroma": 264, "tuning": 0.0}
    expected = librosa.feature.chroma_stft(y=waveform, sr=24_000, pad_mode="reflect", **settings)
    frames = chroma(waveform)[0]
    assert_close(frames, torch.from_numpy(expected.T[: len(frames)]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sample_rate", [16_000, 24_000])
@pytest.mark.parametrize("midi", [A4 - 12, A4, A4 + 12, C4, C4 + 12, 66])
def test_a_tone_peaks_in_its_pitch_class_in_any_octave(midi: int, sample_rate: int) -> None:
    waveform = tone(pitch_hz(midi), 1.0, sample_rate=sample_rate)
    assert pitch_class(chroma(waveform, ChromaConfig(sample_rate=sample_rate))[0, 25]) == midi % 12


def test_a_tone_a_quarter_tone_higher_peaks_half_a_semitone_later() -> None:
    # A6: there a semitone is many bins of the spectrum.
    lower, higher = (int(chroma(tone(pitch_hz(midi), 1.0))[0, 25].argmax()) for midi in (93.0, 93.5))
    assert higher - lower == pytest.approx(11, abs=2)


def test_a_triad_has_its_three_notes() -> None:
    frame = chroma(chord(A4, "maj", 1.0))[0, 25].view(12, 22)
    by_semitone = frame.flatten().roll(11).view(12, 22).sum(1)
    assert {9, 1, 4} <= set(by_semitone.topk(4).indices.tolist())


def test_a_louder_copy_gives_the_same_frames_of_length_one() -> None:
    waveform = melody(1.0)
    frames = chroma(waveform)
    assert_close(chroma(4 * waveform), frames, atol=1e-5, rtol=0)
    assert_close(frames.norm(dim=-1), torch.ones(1, 75), atol=1e-5, rtol=0)


def test_silence_is_zero_and_not_nan() -> None:
    assert torch.equal(chroma(np.zeros(24_000, np.float32)), torch.zeros(1, 75, 264))


def test_frames_of_a_padded_clip_are_those_it_has_alone() -> None:
    clips = torch.randn(2, 9_000, generator=torch.Generator().manual_seed(0))
    extractor = Chroma(ChromaConfig())
    alone = extractor(clips[:1, :7_001])
    padded = extractor(clips, torch.tensor([7_001, 9_000]))
    assert_close(padded[:1, : alone.shape[1]], alone, atol=1e-5, rtol=0)
    assert extractor.n_frames(7_001) == alone.shape[1]


def test_bins_that_twelve_pitch_classes_cannot_share_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match="multiple of 12"):
        ChromaConfig(n_bins=100)
