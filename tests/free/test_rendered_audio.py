"""What sounds is what the labels say: pitches, beats and chords, measured on the audio itself."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tinysoundfont")

from sine_soundfont import write_sine_soundfont
from solfa_free.charts import Chart, draw_chart
from solfa_free.rendering import Renderer, RenderingConfig
from solfa_free.score import Note, Score
from solfa_free.soundfonts import fetch_soundfont

RATE = RenderingConfig.sample_rate
TRIADS = {"maj": (0, 4, 7), "min": (0, 3, 7)}


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    path = write_sine_soundfont(tmp_path_factory.mktemp("soundfont") / "sine.sf2")
    return Renderer(path, RenderingConfig())


def peak_hz(waveform: np.ndarray) -> float:
    """Where the spectrum is highest, to a tenth of a hertz."""
    power = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 10 * RATE))
    return float(power.argmax()) / 10


def played(chart: Chart) -> Score:
    """The chords of a chart as triads, struck on each beat and let go in time for the next."""
    notes, step = [], 60 / chart.tempo_bpm
    for beat, chord in itertools.product(chart.beats, chart.chords):
        if chord.start <= beat + 1e-6 < chord.end:
            root, quality = chord.name.split(":")
            tonic = 60 + ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B").index(root)
            notes += [Note(start=beat, end=beat + step / 2, pitch=tonic + tone) for tone in TRIADS[quality]]
    return Score(name="chart", notes=tuple(notes), seconds=chart.seconds, beats=chart.beats)


def rises(waveform: np.ndarray) -> np.ndarray:
    """Seconds at which sound begins after silence of 30 ms."""
    loud = np.flatnonzero(np.abs(waveform) > 0.02 * np.abs(waveform).max())
    return loud[np.diff(loud, prepend=-RATE) > 0.03 * RATE] / RATE


def pitch_classes(waveform: np.ndarray) -> np.ndarray:
    """Power of each pitch class from C, between A2 and A6."""
    power = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 2**17)) ** 2
    hz = np.fft.rfftfreq(2**17, 1 / RATE)
    within = (hz > 110) & (hz < 1760)
    steps = np.round(69 + 12 * np.log2(hz[within] / 440)).astype(int) % 12
    return np.bincount(steps, weights=power[within], minlength=12)


def test_a_rendered_a4_peaks_at_440_hz(renderer: Renderer) -> None:
    waveform = renderer.render(Score(name="a4", notes=(Note(start=0.0, end=1.0, pitch=69),), seconds=1.0))
    assert peak_hz(waveform) == pytest.approx(440, abs=0.3)


@pytest.mark.parametrize("pitch", [45, 57, 60, 70, 81, 93])
def test_every_pitch_peaks_where_it_is_written(renderer: Renderer, pitch: int) -> None:
    score = Score(name="note", notes=(Note(start=0.0, end=1.0, pitch=pitch),), seconds=1.0)
    assert 1200 * abs(np.log2(peak_hz(renderer.render(score)) / (440 * 2 ** ((pitch - 69) / 12)))) < 5


@pytest.mark.parametrize("beats_per_bar", [3, 4])
def test_beats_fall_on_onsets(renderer: Renderer, beats_per_bar: int) -> None:
    chart = draw_chart("onsets", "train", "triads", beats_per_bar, (97, 143))
    found = rises(renderer.render(played(chart)))
    assert len(found) == len(chart.beats)
    assert np.abs(found - np.array(chart.beats)).max() < 0.005


@pytest.mark.parametrize("split", ["train", "test"])
def test_chroma_agrees_with_the_chords(renderer: Renderer, split: str) -> None:
    chart = draw_chart("chroma", split, "triads", 4, (97, 143))
    waveform = renderer.render(played(chart))
    for chord in chart.chords:
        classes = pitch_classes(waveform[round(chord.start * RATE) : round(chord.end * RATE)])
        root, quality = chord.name.split(":")
        tonic = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B").index(root)
        assert set(np.argsort(classes)[-3:].tolist()) == {(tonic + step) % 12 for step in TRIADS[quality]}


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("name", ["timgm6mb", "musescore-lite"])
@pytest.mark.parametrize("pitch", [57, 69, 81])
def test_a_real_soundfont_is_in_tune(name: str, pitch: int, opened: Callable[[str], Renderer]) -> None:
    notes = (Note(start=0.0, end=1.8, pitch=pitch, program=73),)  # a flute, which has hardly any partials
    waveform = opened(name).render(Score(name="note", notes=notes, seconds=2.0))
    partial = peak_hz(waveform[RATE // 4 :]) / (440 * 2 ** ((pitch - 69) / 12))
    assert 1200 * abs(np.log2(partial / round(partial))) < 15


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Renderer]:
    """Soundfonts by name, fetched once."""
    folder: Path = tmp_path_factory.mktemp("soundfonts")
    return lambda name: Renderer(fetch_soundfont(name, folder).path, RenderingConfig())
