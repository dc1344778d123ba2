"""MIDI files -> Score: notes, controllers, and the beats that their tempo and metre imply."""

import io
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from solfa_free.score import Control, Note, Score, ScoreError

INSTALL = "Reading MIDI files needs mido. Install it with: pip install 'solfa[render]'"
DEFAULT_TEMPO = 500_000  # microseconds per quarter note, where a file says nothing
BEND_CENTRE = 8192


@dataclass(frozen=True)
class _Event:
    ticks: int
    part: str
    message: Any


class _Clock:
    """Ticks of a file -> seconds, by its changes of tempo."""

    def __init__(self, events: list[_Event], ticks_per_quarter: int) -> None:
        self.ticks_per_quarter = ticks_per_quarter
        self.changes = [(0, 0.0, DEFAULT_TEMPO)]  # tick, second, microseconds per quarter
        for event in events:
            if event.message.type == "set_tempo":
                self.changes.append((event.ticks, self.seconds(event.ticks), event.message.tempo))

    def seconds(self, ticks: int | float) -> float:
        """When ``ticks`` is."""
        tick, second, tempo = self.changes[
            bisect_right(self.changes, ticks, key=lambda change: change[0]) - 1
        ]
        return second + (ticks - tick) * tempo / 1e6 / self.ticks_per_quarter


def read_midi(content: bytes, name: str) -> Score:
    """The score in the bytes of a MIDI file, by the name ``name``.

    Beats are those of the written metre: an eighth of 6/8 is none, three of them are. Keys and chords stay
    unknown: the key signature of a MIDI file is nearly always the one that the program wrote by itself.

    Raises:
        ScoreError: this is no MIDI file, or one without notes, or its times are not musical ones (SMPTE).
        ImportError: mido is not installed.
    """
    file = _open(content, name)
    events = sorted(_events(file), key=lambda event: event.ticks)  # stable: within a track, order counts
    clock = _Clock(events, file.ticks_per_beat)
    notes, controls = _play(events, clock)
    if not notes:
        raise ScoreError(f"{name} holds no notes. Leave it out.")
    seconds = max(note.end for note in notes)
    beats, downbeats = _beats(events, clock, seconds)
    return Score(name=name, notes=notes, seconds=seconds, controls=controls, beats=beats, downbeats=downbeats)


def _open(content: bytes, name: str) -> Any:
    try:
        import mido
    except ImportError:
        raise ImportError(INSTALL) from None
    try:
        file = mido.MidiFile(file=io.BytesIO(content))
    except Exception as error:  # mido raises whatever the bytes provoke
        raise ScoreError(f"{name} is not a MIDI file, or is damaged ({error}). Leave it out.") from None
    if file.type == 2 or not 0 < file.ticks_per_beat < 0x8000:
        raise ScoreError(f"{name} has no common musical clock (type 2 or SMPTE). Save it again as type 1.")
    return file


def _events(file: Any) -> Iterator[_Event]:
    for track in file.tracks:
        ticks = 0
        for message in track:
            ticks += message.time
            yield _Event(ticks, track.name, message)


def _play(events: list[_Event], clock: _Clock) -> tuple[tuple[Note, ...], tuple[Control, ...]]:
    """Notes and controllers. Of two equal notes that overlap, the first one ends first."""
    programs: dict[int, int] = defaultdict(int)
    sounding: dict[tuple[int, int], list[tuple[float, int, int, str]]] = defaultdict(list)
    notes, controls = [], []
    for event in events:
        message, seconds = event.message, clock.seconds(event.ticks)
        match message.type:
            case "program_change":
                programs[message.channel] = message.program
            case "control_change":
                controls.append(
                    Control(
                        seconds=seconds, channel=message.channel, number=message.control, value=message.value
                    )
                )
            case "pitchwheel":
                bend = message.pitch + BEND_CENTRE
                controls.append(Control(seconds=seconds, channel=message.channel, number=None, value=bend))
            case "note_on" if message.velocity:
                heard = (seconds, message.velocity, programs[message.channel], event.part)
                sounding[message.channel, message.note].append(heard)
            case "note_on" | "note_off" if sounding[message.channel, message.note]:
                start, velocity, program, part = sounding[message.channel, message.note].pop(0)
                if seconds > start:
                    notes.append(
                        Note(
                            start=start, end=seconds, pitch=message.note, velocity=velocity,
                            program=program, channel=message.channel, part=part,
                        )
                    )  # fmt: skip
    return tuple(sorted(notes, key=lambda note: (note.start, note.channel, note.pitch))), tuple(controls)


def _beats(
    events: list[_Event], clock: _Clock, seconds: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    metres = [(e.ticks, e.message) for e in events if e.message.type == "time_signature"]
    if not metres or metres[0][0] > 0:
        metres.insert(0, (0, None))
    beats, downbeats = [], []
    for number, (tick, metre) in enumerate(metres):
        is_last = number + 1 == len(metres)
        numerator, denominator = (metre.numerator, metre.denominator) if metre else (4, 4)
        is_compound = numerator > 3 and numerator % 3 == 0 and denominator >= 8
        units = 3 if is_compound else 1  # written notes in a beat
        step = units * clock.ticks_per_quarter * 4 / denominator
        count = 0
        while True:
            at = tick + count * step
            when = clock.seconds(at)
            if when >= seconds or (not is_last and at >= metres[number + 1][0]):
                break
            beats.append(when)
            if count % (numerator // units) == 0:
                downbeats.append(when)
            count += 1
    return tuple(beats), tuple(downbeats)
