"""Tracks through a music-text model: its own clips, read from files of any length."""

from pathlib import Path

import pytest
import soundfile
import torch

import solfa
from golden_data import GOLDEN
from solfa.embedding import WindowConfig, default_windows
from solfa.embedding.windows import cut_windows
from solfa.models import load_encoder
from solfa.models.bundled import MUSIC_TEXT
from synth import melody


@pytest.mark.parametrize("seconds", [0.7, 1.3, 2.0, 3.2, 7.5])
def test_a_file_gets_the_vector_of_its_waveform(seconds: float, tmp_path: Path) -> None:
    mulan, wave = solfa.load(GOLDEN / "muq_mulan"), melody(seconds, seed=1)
    soundfile.write(tmp_path / "tune.wav", wave, 24_000, subtype="FLOAT")
    (vector,) = solfa.embed(tmp_path / "tune.wav", GOLDEN / "muq_mulan")
    expected = mulan.embed_audio(torch.from_numpy(wave)[None])[0]
    assert (vector - expected).abs().max() < 1e-6


@pytest.mark.parametrize("n_samples", [60_000, 120_000, 120_001, 180_000, 240_000, 240_500, 285_000])
def test_a_last_clip_that_ends_with_the_file_is_a_whole_one(n_samples: int, tmp_path: Path) -> None:
    mulan, wave = solfa.load(MUSIC_TEXT), melody(12.0, seed=1)[:n_samples]
    soundfile.write(tmp_path / "tune.wav", wave, 24_000, subtype="FLOAT")
    (vector,) = solfa.embed(tmp_path / "tune.wav", MUSIC_TEXT)
    expected = mulan.embed_audio(torch.from_numpy(wave)[None])[0]
    assert (vector - expected).abs().max() < 1e-5
    encoder = load_encoder(MUSIC_TEXT)
    windows = list(cut_windows(tmp_path / "tune.wav", encoder.grid, default_windows(encoder)))
    assert [len(window.waveform) for window in windows] == [min(120_000, n_samples)] * len(windows)
    assert (windows[-1].waveform == wave[-120_000:]).all()
    assert len(windows) == -(-n_samples // 120_000)


def test_the_published_rule_can_be_overridden(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tune.wav", melody(3.2, seed=1), 24_000, subtype="FLOAT")
    windows = WindowConfig(window_seconds=2.0, context_seconds=0.0)
    own, other = (
        solfa.embed(tmp_path / "tune.wav", GOLDEN / "muq_mulan", windows=w) for w in (None, windows)
    )
    assert (own - other).abs().max() > 1e-4


def test_windows_that_wrap_are_filled_up_from_the_beginning(tmp_path: Path) -> None:
    wave = melody(5.0, seed=2)
    soundfile.write(tmp_path / "tune.wav", wave, 24_000, subtype="FLOAT")
    encoder = load_encoder(GOLDEN / "muq_mulan")
    *_, last = cut_windows(tmp_path / "tune.wav", encoder.grid, default_windows(encoder))
    assert last.is_last and len(last.waveform) == 48_000
    assert (last.waveform[:24_000] == wave[96_000:]).all() and (last.waveform[24_000:] == wave[:24_000]).all()


def test_windows_that_wrap_have_no_context() -> None:
    with pytest.raises(ValueError, match="Set context_seconds to 0"):
        WindowConfig(wraps=True)
