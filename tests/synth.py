"""Synthetic music: tones, chords and beats of known pitch, key and tempo."""

import numpy as np
from jaxtyping import Float

CHORDS = {"maj": (0, 4, 7), "min": (0, 3, 7), "dim": (0, 3, 6), "maj7": (0, 4, 7, 11)}  # semitones


def pitch_hz(midi: float) -> float:
    """Frequency of a MIDI pitch: 69 is A4, 440 Hz."""
    return 440.0 * 2 ** ((midi - 69) / 12)


def tone(
    hz: float, seconds: float, *, sample_rate: int = 24000, n_partials: int = 1, gain: float = 0.3
) -> Float[np.ndarray, "sample"]:
    """A steady tone whose partials fall as one over their number."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    partials = [np.sin(2 * np.pi * hz * n * time) / n for n in range(1, n_partials + 1)]
    return (gain * np.sum(partials, axis=0)).astype(np.float32)


def chord(
    root: int, kind: str, seconds: float, *, sample_rate: int = 24000, gain: float = 0.3
) -> Float[np.ndarray, "sample"]:
    """A chord on MIDI pitch ``root``."""
    pitches = [root + step for step in CHORDS[kind]]
    tones = [tone(pitch_hz(pitch), seconds, sample_rate=sample_rate, n_partials=4) for pitch in pitches]
    return (gain / 0.3 / len(tones) * np.sum(tones, axis=0)).astype(np.float32)


def clicks(
    tempo_bpm: float, seconds: float, *, sample_rate: int = 24000, gain: float = 0.8
) -> Float[np.ndarray, "sample"]:
    """A short click on each beat, the first at zero."""
    waveform = np.zeros(round(seconds * sample_rate), np.float32)
    length = round(0.01 * sample_rate)
    click = gain * np.hanning(length) * np.sin(2 * np.pi * 1500 * np.arange(length) / sample_rate)
    for beat in np.arange(0, seconds, 60 / tempo_bpm):
        start = round(beat * sample_rate)
        end = min(start + length, len(waveform))
        waveform[start:end] += click[: end - start].astype(np.float32)
    return waveform


def noise(
    seconds: float, *, seed: int = 0, sample_rate: int = 24000, gain: float = 0.1
) -> Float[np.ndarray, "sample"]:
    """White noise."""
    n_samples = round(seconds * sample_rate)
    return (gain * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def melody(
    seconds: float, *, seed: int = 0, sample_rate: int = 24000, tempo_bpm: float = 120.0
) -> Float[np.ndarray, "sample"]:
    """Chords, a tune and a beat that change all the time: no two moments are equal."""
    random = np.random.default_rng(seed)
    n_beats = int(np.ceil(seconds * tempo_bpm / 60))
    beat_seconds = 60 / tempo_bpm
    beats = []
    for _ in range(n_beats):
        harmony = chord(int(random.integers(48, 60)), "maj", beat_seconds, sample_rate=sample_rate, gain=0.3)
        tune = tone(pitch_hz(int(random.integers(67, 84))), beat_seconds, sample_rate=sample_rate, gain=0.15)
        beats.append(harmony + tune)
    waveform = np.concatenate(beats)[: round(seconds * sample_rate)]
    hiss = noise(len(waveform) / sample_rate, seed=seed, sample_rate=sample_rate, gain=0.02)
    beat = clicks(tempo_bpm, len(waveform) / sample_rate, sample_rate=sample_rate, gain=0.3)
    return (waveform + hiss[: len(waveform)] + beat[: len(waveform)]).astype(np.float32)
