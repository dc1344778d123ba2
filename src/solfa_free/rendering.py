"""Score and soundfont -> waveform, with every event on its sample."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from jaxtyping import Float

from solfa.frames import seconds_to_samples
from solfa_free.score import DRUM_CHANNEL, SUSTAIN_PEDAL, Control, Note, Score, ScoreError

INSTALL = (
    "Rendering needs tinysoundfont. Install it with: pip install --no-deps tinysoundfont (without "
    "--no-deps it asks for PyAudio, which needs a compiler and is only used to play aloud)"
)
FLUSH_SECONDS = 0.1  # after a reset, until the last voice has faded
N_CHANNELS = 16
DRUM_BANK = 128
FRAME_BYTES = 8  # left and right, float32
MAX_HOLD_SECONDS = 4.0  # some files never lift a pedal; by then a string is still, a pad is not
PEDAL_DOWN = 64  # a value from which on the pedal holds


@dataclass(frozen=True, kw_only=True)
class RenderingConfig:
    """How a score becomes audio."""

    sample_rate: int = 24_000  # Hz
    oversampling: int = 2  # the synthesiser interpolates without a filter: it works at so many times the rate
    level_db: float = -20.0  # RMS of a whole rendering, against full scale
    peak: float = 0.98  # a rendering that would exceed it is turned down
    max_voices: int = 256
    fade_seconds: float = 0.02  # at the end, where what still sounds is cut


class _Kind(IntEnum):
    """Effect of an event; of one moment, the lower comes first."""

    LET_GO = 0  # pitch
    BEND = 1  # pitch wheel
    SET = 2  # number of a controller, value
    SOUND = 3  # program, pitch, velocity


@dataclass(frozen=True, order=True)
class _Event:
    sample: int
    kind: _Kind
    channel: int
    values: tuple[int, ...]


class Renderer:
    """A soundfont that plays scores, one after the other, none hearing of the one before it.

    Source:
        Synthesis: TinySoundFont, through tinysoundfont. Departs from its sequencer, which drifts: here the
        samples between two events are generated in one piece, so that an event falls on its sample. The
        sustain pedal, which it does not know, is played by holding notes.
    """

    def __init__(self, soundfont: Path, config: RenderingConfig) -> None:
        self.soundfont, self.config = soundfont, config
        self.rate = config.sample_rate * config.oversampling
        self.synth = _open_synth(self.rate)
        try:
            self.font = self.synth.sfload(str(soundfont), max_voices=config.max_voices)
        except Exception as error:  # the binding raises what it likes
            raise ScoreError(
                f"{soundfont} cannot be read as a soundfont ({error}). Give another, or fetch it again."
            ) from None

    def render(self, score: Score) -> Float[np.ndarray, " sample"]:
        """``score`` as mono audio of its length, in float32.

        Raises:
            ScoreError: nothing sounds: the soundfont has none of its instruments.
        """
        return levelled(self.sound(score), self.config, f"{score.name} is silent with {self.soundfont.name}")

    def sound(self, score: Score, cents: Mapping[int, float] | None = None) -> Float[np.ndarray, " sample"]:
        """``score`` as ``render`` plays it, as loud as the soundfont has it; ``cents`` detune channels."""
        self._reset()
        for channel, detuning in (cents or {}).items():
            self.synth.soundfonts[self.font].channel_set_tuning(channel, detuning / 100)
        n_samples = seconds_to_samples(score.seconds, self.rate)
        stereo = self._generate(_events(score, self.rate), n_samples)
        waveform = soxr.resample(stereo.mean(axis=1), self.rate, self.config.sample_rate)
        n_wanted = seconds_to_samples(score.seconds, self.config.sample_rate)
        return np.pad(waveform[:n_wanted], (0, max(0, n_wanted - len(waveform)))).astype(np.float32)

    def has(self, program: int, is_drums: bool) -> bool:
        """Whether the soundfont has a program, or any kit of drums."""
        if is_drums:
            return int(self.synth.soundfonts[self.font].get_preset_index(DRUM_BANK, 0)) >= 0
        return int(self.synth.soundfonts[self.font].get_preset_index(0, program)) >= 0

    def _reset(self) -> None:
        self.synth.soundfonts[self.font].reset()
        self.synth.generate_simple(seconds_to_samples(FLUSH_SECONDS, self.rate))
        for channel in range(N_CHANNELS):
            with suppress(RuntimeError):  # not every soundfont has this instrument, and no piece may need it
                self.synth.program_select(channel, self.font, 0, 0, channel == DRUM_CHANNEL)

    def _generate(self, events: list[_Event], n_samples: int) -> Float[np.ndarray, "sample channel"]:
        stereo = np.zeros((n_samples, 2), np.float32)
        view = stereo.data.cast("B")
        done = 0
        for event in events:
            until = min(event.sample, n_samples)
            if until > done:
                self.synth.generate_simple(until - done, view[done * FRAME_BYTES : until * FRAME_BYTES])
                done = until
            if event.sample >= n_samples:
                break
            self._play(event)
        if n_samples > done:
            self.synth.generate_simple(n_samples - done, view[done * FRAME_BYTES :])
        return stereo

    def _play(self, event: _Event) -> None:
        channel = event.channel
        match event.kind, event.values:
            case _Kind.LET_GO, (pitch,):
                self.synth.noteoff(channel, pitch)
            case _Kind.BEND, (bend,):
                self.synth.pitchbend(channel, bend)
            case _Kind.SET, (number, value):
                self.synth.control_change(channel, number, value)
            case _Kind.SOUND, (program, pitch, velocity):
                self._choose(channel, program)
                self.synth.noteon(channel, pitch, velocity)

    def _choose(self, channel: int, program: int) -> None:
        try:
            self.synth.program_change(channel, program, channel == DRUM_CHANNEL)
        except RuntimeError:
            raise ScoreError(
                f"{self.soundfont.name} lacks program {program} (channel {channel}). Leave the piece out, or "
                "take a soundfont of General MIDI."
            ) from None


def levelled(
    waveform: Float[np.ndarray, " sample"], config: RenderingConfig, silence: str
) -> Float[np.ndarray, " sample"]:
    """A waveform at the level of ``config``, faded at its end.

    Raises:
        ScoreError: it is silent; the message begins with ``silence``.
    """
    power = float(np.square(waveform, dtype=np.float64).mean()) if len(waveform) else 0.0
    if power < 1e-12:
        raise ScoreError(
            f"{silence}: it lacks its instruments. Leave it out, or take a soundfont of General MIDI."
        )
    gain = 10 ** (config.level_db / 20) / power**0.5
    gain = min(gain, config.peak / float(np.abs(waveform).max()))
    faded = (waveform * gain).astype(np.float32)
    n_fade = min(len(faded), seconds_to_samples(config.fade_seconds, config.sample_rate))
    faded[len(faded) - n_fade :] *= np.linspace(1, 0, n_fade, dtype=np.float32)
    return faded


def hold_by_pedal(score: Score) -> list[Note]:
    """Notes with the ends that one hears: while the pedal is down, they last until it rises.

    That is not for ever. A note ends at the latest where its channel plays the same pitch again.
    """
    rises: dict[int, list[tuple[float, float]]] = defaultdict(list)  # channel -> from when to when it is down
    down: dict[int, float] = {}
    for control in score.controls:
        if control.number != SUSTAIN_PEDAL:
            continue
        if control.value >= PEDAL_DOWN:
            down.setdefault(control.channel, control.seconds)
        elif control.channel in down:
            rises[control.channel].append((down.pop(control.channel), control.seconds))
    for channel, since in down.items():
        rises[channel].append((since, score.seconds))
    held: list[Note] = []
    latest: dict[tuple[int, int], int] = {}
    for note in score.notes:
        heard = replace(note, end=_heard_until(note, rises[note.channel]))
        before = latest.get((note.channel, note.pitch))
        if before is not None and held[before].start == note.start:  # one key, struck twice
            held[before] = max(held[before], heard, key=lambda one: one.end)
            continue
        if before is not None and held[before].end > note.start:
            held[before] = replace(held[before], end=note.start)
        latest[note.channel, note.pitch] = len(held)
        held.append(heard)
    return held


def _heard_until(note: Note, rises: list[tuple[float, float]]) -> float:
    until = next((until for since, until in rises if since <= note.end < until), note.end)
    return min(until, note.end + MAX_HOLD_SECONDS)


def _events(score: Score, rate: int) -> list[_Event]:
    events = [_set(control, rate) for control in score.controls if control.number != SUSTAIN_PEDAL]
    for note in hold_by_pedal(score):
        start, end = (seconds_to_samples(seconds, rate) for seconds in (note.start, note.end))
        events.append(_Event(start, _Kind.SOUND, note.channel, (note.program, note.pitch, note.velocity)))
        events.append(_Event(max(end, start + 1), _Kind.LET_GO, note.channel, (note.pitch,)))
    return sorted(events)


def _set(control: Control, rate: int) -> _Event:
    sample = seconds_to_samples(control.seconds, rate)
    if control.number is None:
        return _Event(sample, _Kind.BEND, control.channel, (control.value,))
    return _Event(sample, _Kind.SET, control.channel, (control.number, control.value))


def _open_synth(rate: int) -> Any:
    try:
        import tinysoundfont
    except ImportError:
        raise ImportError(INSTALL) from None
    return tinysoundfont.Synth(samplerate=rate)
