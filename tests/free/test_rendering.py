from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("tinysoundfont")

from sine_soundfont import write_sine_soundfont
from solfa.features import Chroma, ChromaConfig
from solfa_free.pieces import SingleNote
from solfa_free.rendering import Renderer, RenderingConfig, hold_by_pedal
from solfa_free.score import SUSTAIN_PEDAL, Control, Note, Score, ScoreError, Stretch

RATE = RenderingConfig.sample_rate
TRIADS = {"C:maj": (60, 64, 67), "F:maj": (65, 69, 72), "G:maj": (67, 71, 74), "A:min": (69, 72, 76)}


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    path = write_sine_soundfont(tmp_path_factory.mktemp("sf") / "sine.sf2", range(96))
    return Renderer(path, RenderingConfig())


def score_of(*notes: Note, seconds: float = 2.0, **known: object) -> Score:
    return Score(name="piece", notes=notes, seconds=seconds, **known)


def is_loud(waveform: np.ndarray, start: float, end: float) -> bool:
    part = waveform[round(start * RATE) : round(end * RATE)]
    return float(np.abs(part).max()) > 0.01


def test_a_rendered_a4_peaks_at_440_hz(renderer: Renderer) -> None:
    waveform = renderer.render(score_of(Note(start=0.0, end=2.0, pitch=69)))
    assert np.abs(np.fft.rfft(waveform)).argmax() / 2.0 == pytest.approx(440, abs=0.5)


def test_an_octave_higher_is_twice_the_frequency(renderer: Renderer) -> None:
    waveform = renderer.render(score_of(Note(start=0.0, end=2.0, pitch=81)))
    assert np.abs(np.fft.rfft(waveform)).argmax() / 2.0 == pytest.approx(880, abs=1)


@pytest.mark.parametrize("start", [0.1, 0.33333, 1.23456])
def test_an_event_sounds_when_the_score_says(renderer: Renderer, start: float) -> None:
    waveform = renderer.render(score_of(Note(start=start, end=1.9, pitch=81)))
    heard = np.flatnonzero(np.abs(waveform) > 0.1 * np.abs(waveform).max())[0] / RATE
    assert heard == pytest.approx(start, abs=0.002)


def test_a_late_event_has_not_drifted(renderer: Renderer) -> None:
    ticks = [Note(start=k * 0.0777, end=k * 0.0777 + 0.02, pitch=60) for k in range(700)]
    last = Note(start=58.7654, end=59.5, pitch=81, velocity=127)
    waveform = renderer.render(score_of(*ticks, last, seconds=60.0))
    after = waveform[round(56 * RATE) :]
    heard = 56 + np.flatnonzero(np.abs(after) > 0.1 * np.abs(after).max())[0] / RATE
    assert heard == pytest.approx(last.start, abs=0.002)


def test_a_note_ends_when_the_score_says(renderer: Renderer) -> None:
    waveform = renderer.render(score_of(Note(start=0.0, end=0.5, pitch=69)))
    assert is_loud(waveform, 0.4, 0.49)
    assert not is_loud(waveform, 0.6, 2.0)


def test_the_pedal_holds_a_note_until_it_rises(renderer: Renderer) -> None:
    pedal = tuple(
        Control(seconds=at, channel=0, number=SUSTAIN_PEDAL, value=value)
        for at, value in ((0.2, 127), (1.5, 0))
    )
    waveform = renderer.render(score_of(Note(start=0.0, end=0.5, pitch=69), controls=pedal))
    assert is_loud(waveform, 1.3, 1.45)
    assert not is_loud(waveform, 1.6, 2.0)


def test_a_held_note_ends_where_its_key_is_struck_again() -> None:
    pedal = (Control(seconds=0.0, channel=0, number=SUSTAIN_PEDAL, value=127),)
    first, second = Note(start=0.0, end=0.2, pitch=60), Note(start=1.0, end=1.2, pitch=60)
    held = hold_by_pedal(score_of(first, second, controls=pedal))
    assert [(note.start, note.end) for note in held] == [(0.0, 1.0), (1.0, 2.0)]


def test_the_pedal_of_another_channel_holds_nothing() -> None:
    pedal = (Control(seconds=0.0, channel=1, number=SUSTAIN_PEDAL, value=127),)
    note = Note(start=0.0, end=0.2, pitch=60)
    assert hold_by_pedal(score_of(note, controls=pedal)) == [note]


def test_the_pitch_wheel_bends_by_two_semitones(renderer: Renderer) -> None:
    bend = (Control(seconds=0.0, channel=0, number=None, value=16383),)
    waveform = renderer.render(score_of(Note(start=0.0, end=2.0, pitch=69), controls=bend))
    assert np.abs(np.fft.rfft(waveform)).argmax() / 2.0 == pytest.approx(440 * 2 ** (2 / 12), abs=1)


def test_a_score_sounds_the_same_whatever_was_rendered_before(renderer: Renderer) -> None:
    piece = score_of(Note(start=0.0, end=1.0, pitch=60), Note(start=0.5, end=2.0, pitch=67))
    first = renderer.render(piece)
    bend = (
        Control(seconds=0.0, channel=0, number=None, value=0),
        Control(seconds=0.0, channel=0, number=7, value=9),
    )
    renderer.render(replace(piece, controls=bend, notes=(Note(start=0.0, end=9.0, pitch=40, program=30),)))
    assert np.array_equal(renderer.render(piece), first)


def test_audio_is_as_long_as_the_score_and_at_the_level_asked_for(renderer: Renderer) -> None:
    waveform = renderer.render(score_of(Note(start=0.0, end=2.0, pitch=60), seconds=1.23456))
    assert len(waveform) == round(1.23456 * RATE)
    assert 10 * np.log10(np.mean(waveform**2)) == pytest.approx(-20, abs=0.3)


def test_a_short_note_in_silence_is_not_clipped(renderer: Renderer) -> None:
    waveform = renderer.render(score_of(Note(start=0.0, end=0.02, pitch=60), seconds=30.0))
    assert np.abs(waveform).max() <= RenderingConfig.peak + 1e-6


def test_beats_fall_on_onsets(renderer: Renderer) -> None:
    beats = tuple(0.25 + 0.5 * k for k in range(8))
    notes = [Note(start=beat, end=beat + 0.1, pitch=72) for beat in beats]
    waveform = renderer.render(score_of(*notes, seconds=5.0, beats=beats))
    is_on = np.abs(waveform) > 0.05 * np.abs(waveform).max()
    since = np.convolve(is_on, np.ones(round(0.05 * RATE)), "full")[: len(is_on)]  # samples on before
    onsets = np.flatnonzero(is_on[1:] & (since[:-1] == 0)) / RATE
    assert onsets == pytest.approx(beats, abs=0.003)


def test_chroma_of_the_audio_agrees_with_the_chords(renderer: Renderer) -> None:
    notes = [
        Note(start=float(k), end=k + 1.0, pitch=pitch)
        for k, pitches in enumerate(TRIADS.values())
        for pitch in pitches
    ]
    chords = tuple(Stretch(start=float(k), end=k + 1.0, name=name) for k, name in enumerate(TRIADS))
    waveform = torch.from_numpy(renderer.render(score_of(*notes, seconds=4.0, chords=chords)))[None]
    chroma = Chroma(ChromaConfig())
    frames = chroma(waveform)[0].roll(11, -1).unfold(-1, 22, 22).sum(-1)  # frame, pitch class
    for chord in chords:
        middle = round((chord.start + 0.5) * chroma.config.grid.frame_rate)
        loudest = frames[middle - 5 : middle + 5].mean(0).topk(3).indices
        assert set(loudest.tolist()) == {pitch % 12 for pitch in TRIADS[chord.name]}


def test_a_soundfont_without_the_instrument_is_told_so(tmp_path: Path) -> None:
    renderer = Renderer(write_sine_soundfont(tmp_path / "one.sf2", [5]), RenderingConfig())
    drums = Note(start=0.0, end=1.0, pitch=38, channel=9)
    with pytest.raises(ScoreError, match=r"lacks program 0.*General MIDI"):
        renderer.render(score_of(drums))


def test_a_broken_soundfont_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "broken.sf2"
    path.write_bytes(b"RIFF nothing")
    with pytest.raises(ScoreError, match="fetch it again"):
        Renderer(path, RenderingConfig())


def test_single_notes_are_of_their_pitch(renderer: Renderer) -> None:
    waveform = renderer.render(SingleNote(40, 57).score())
    assert np.abs(np.fft.rfft(waveform)).argmax() / 2.0 == pytest.approx(220, abs=0.6)
