"""Symbolic music: notes, beats, keys and chords in seconds; cut to a stretch, and written as labels.

All times are seconds from the beginning of the score, and of the audio rendered from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from solfa.errors import SolfaError

DRUM_CHANNEL = 9  # counted from zero, as General MIDI has it
SUSTAIN_PEDAL = 64
FAMILIES = (
    *("piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass"),
    *("reed", "pipe", "synth lead", "synth pad", "synth effects", "ethnic", "percussive", "sound effects"),
)


class ScoreError(SolfaError, ValueError):
    """Symbolic music that cannot be read; the message says the cure."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """One note of one instrument."""

    start: float  # seconds
    end: float
    pitch: int  # MIDI: 69 is A4; on the drum channel, which drum
    velocity: int = 90  # 1 to 127
    program: int = 0  # General MIDI, counted from zero
    channel: int = 0  # 0 to 15
    part: str = ""  # name of the track of the file

    @property
    def family(self) -> str:
        """One of the 16 families of General MIDI, or ``drums``."""
        return "drums" if self.channel == DRUM_CHANNEL else FAMILIES[self.program // 8]


@dataclass(frozen=True, kw_only=True)
class Control:
    """A controller of a channel set to a value."""

    seconds: float
    channel: int
    number: int | None  # of the controller; None for the pitch wheel
    value: int  # 0 to 127; 0 to 16383 for the pitch wheel, whose middle is 8192


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A key or a chord, and how long it lasts."""

    start: float
    end: float
    name: str  # "Eb minor" of a key; Harte's syntax, "D:min7", of a chord


@dataclass(frozen=True, kw_only=True)
class Score:
    """A piece of music, with what is known about it."""

    name: str
    notes: tuple[Note, ...]  # by their start
    seconds: float  # its length
    controls: tuple[Control, ...] = ()  # by their time
    beats: tuple[float, ...] = ()
    downbeats: tuple[float, ...] = ()  # some of the beats
    keys: tuple[Stretch, ...] = ()
    chords: tuple[Stretch, ...] = ()
    melody: str | None = None  # the part that sings, if there is one
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def tempo_bpm(self) -> float | None:
        """Beats per minute: the median over pairs of beats; None with fewer than three beats."""
        gaps = sorted(after - before for before, after in zip(self.beats, self.beats[1:], strict=False))
        return 60 / gaps[len(gaps) // 2] if len(gaps) > 1 and gaps[len(gaps) // 2] > 0 else None

    def crop(self, start: float, seconds: float) -> "Score":
        """The stretch from ``start`` on, ``seconds`` long or to the end; it begins at zero.

        Notes and stretches are cut at its edges. A controller that was set before is set at its beginning.
        """
        end = min(start + seconds, self.seconds)
        before: dict[tuple[int, int | None], Control] = {}
        for control in self.controls:
            if control.seconds <= start:
                before[control.channel, control.number] = replace(control, seconds=0.0)
        within = [replace(c, seconds=c.seconds - start) for c in self.controls if start < c.seconds < end]
        return replace(
            self,
            notes=tuple(_cut(self.notes, start, end)),
            seconds=end - start,
            controls=(*before.values(), *within),
            beats=tuple(beat - start for beat in self.beats if start <= beat < end),
            downbeats=tuple(beat - start for beat in self.downbeats if start <= beat < end),
            keys=tuple(_cut(self.keys, start, end)),
            chords=tuple(_cut(self.chords, start, end)),
        )

    def melody_line(self) -> list[Note]:
        """Notes of the melody, one at a time: each ends at the latest where the next one begins."""
        singing = [note for note in self.notes if note.part == self.melody]
        line: list[Note] = []
        for note in singing:
            if line and note.start <= line[-1].start:  # of two at once, the upper one
                line[-1] = max(line[-1], note, key=lambda one: one.pitch)
                continue
            if line and line[-1].end > note.start:
                line[-1] = replace(line[-1], end=note.start)
            line.append(note)
        return line

    def labels(self) -> dict[str, Any]:
        """Labels of this piece, ready for JSON."""
        return {
            "name": self.name,
            "seconds": self.seconds,
            "tempo_bpm": self.tempo_bpm,
            "beats": list(self.beats),
            "downbeats": list(self.downbeats),
            "keys": [[stretch.start, stretch.end, stretch.name] for stretch in self.keys],
            "chords": [[stretch.start, stretch.end, stretch.name] for stretch in self.chords],
            "melody": [[note.start, note.end, note.pitch] for note in self.melody_line()],
            "families": sorted({note.family for note in self.notes}),
            "notes": [[n.start, n.end, n.pitch, n.velocity, n.program, n.channel] for n in self.notes],
            "tags": self.tags,
        }


Timed = TypeVar("Timed", Note, Stretch)


def _cut(items: Sequence[Timed], start: float, end: float) -> list[Timed]:
    """What of ``items`` lies between ``start`` and ``end``, counted from ``start``."""
    return [
        replace(item, start=max(item.start, start) - start, end=min(item.end, end) - start)
        for item in items
        if item.start < end and item.end > start
    ]
