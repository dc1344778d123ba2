"""Music by lot that no chart holds: notes and chords of one instrument, and patterns of drums."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from solfa_free.pieces import NOTE_FAMILIES, NOTE_PITCHES, NOTE_SPLITS
from solfa_free.score import DRUM_CHANNEL, Note, Score

PHRASE_SECONDS = 24.0
TRAINING_PROGRAMS = tuple(  # of single notes; the others are for the benchmark's other sides
    8 * family + place
    for family in range(len(NOTE_FAMILIES))
    for place, split in enumerate(NOTE_SPLITS)
    if split == "train"
)
CHORD_PROBABILITY = 0.25
NOTE_LENGTHS, RESTS = (0.15, 2.5), (0.03, 0.5)  # seconds, shortest and longest
HELD_SECONDS, LONG_RESTS = (1.0, 6.0), (0.0, 1.0)  # of long notes
CELL_SECONDS, RUNG_SECONDS = 4.0, (0.3, 3.0)  # of single notes: silence goes on to the end of a cell
STEPS_PER_SECOND = (1.5, 8.0)  # of a steady rhythm
STEP_SHARES = (0.5, 0.98)  # of a step for which a note is held
LATEST_STEP_SECONDS = 0.6  # before the end of a phrase; what sounds then dies away
TIMES = (2, 8)  # that a figure is played, and a note of repeated ones
SCALES = (  # semitones above the first note, an octave
    *((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 8, 11), (0, 2, 3, 5, 7, 9, 10)),
    *((0, 2, 4, 7, 9), (0, 3, 5, 7, 10), tuple(range(12)), (0, 2, 4, 6, 8, 10)),
)
CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 11), (0, 3, 7, 10), (0, 4, 7, 10), (0, 3, 6), (0, 5, 7), (0, 7, 12))
OCTAVES = (1, 2)  # that a scale or a broken chord spans
KITS = (0, 8, 16, 24, 25, 32, 40, 48)
TEMPI_BPM = (70, 180)
STEPS_PER_BEAT = 4
# Drum -> how likely it is struck on a beat, between two beats, and elsewhere; keys as General MIDI has them.
DRUMS = {
    36: (0.6, 0.25, 0.1),
    38: (0.4, 0.1, 0.08),
    37: (0.1, 0.1, 0.05),
    42: (0.7, 0.7, 0.3),
    46: (0.05, 0.15, 0.03),
    51: (0.3, 0.2, 0.05),
    45: (0.05, 0.05, 0.05),
    50: (0.05, 0.05, 0.05),
    54: (0.1, 0.2, 0.05),
    56: (0.1, 0.1, 0.02),
}
CRASH = 49
DRUMS_IN_PATTERN = (2, 6)
CHANGE_PROBABILITY = 0.03  # of a stroke, from bar to bar


@dataclass(frozen=True)
class InstrumentPhrase(ABC):
    """Music of one instrument that is trained on."""

    number: int
    kind: ClassVar[str]  # begins the name

    @property
    def name(self) -> str:
        """Its kind and number."""
        return f"{self.kind}-{self.number:05d}"

    @property
    def split(self) -> str:
        """Of an instrument that is trained on."""
        return "train"

    @property
    def group(self) -> str:
        """All phrases of an instrument."""
        return f"program-{self._program:03d}"

    @property
    def _program(self) -> int:
        return random.Random(f"{self.name} program").choice(TRAINING_PROGRAMS)

    def score(self) -> Score:
        """Its notes; nothing else is known of it."""
        return Score(
            name=self.name,
            notes=tuple(self._notes(random.Random(self.name), self._program)),
            seconds=PHRASE_SECONDS,
            tags={"corpus": "notes", "licence": "drawn by lot: nobody's"},
        )

    @abstractmethod
    def _notes(self, chance: random.Random, program: int) -> Iterator[Note]:
        """Its notes, by their start."""


@dataclass(frozen=True)
class NotePhrase(InstrumentPhrase):
    """Notes and chords of one instrument, one after the other, in no key."""

    kind = "notes"

    def _notes(self, chance: random.Random, program: int) -> Iterator[Note]:
        start = 0.1
        while start < PHRASE_SECONDS - NOTE_LENGTHS[1]:
            end = start + NOTE_LENGTHS[0] * (NOTE_LENGTHS[1] / NOTE_LENGTHS[0]) ** chance.random()
            n_notes = chance.randint(2, 4) if chance.random() < CHORD_PROBABILITY else 1
            velocity = chance.randint(40, 120)
            for pitch in sorted(chance.sample(NOTE_PITCHES, n_notes)):
                yield Note(start=start, end=end, pitch=pitch, velocity=velocity, program=program)
            start = end + chance.uniform(*RESTS)


class Sound(NamedTuple):
    """Pitches that begin together, and for how long."""

    start: float  # seconds
    end: float
    pitches: tuple[int, ...]
    velocity: int


@dataclass(frozen=True)
class SteadyPhrase(InstrumentPhrase):
    """Notes of one instrument of which some can be guessed from others.

    By the number: long notes and chords; repeated ones; scales; broken chords, all three in steady rhythm;
    single notes, each with silence until its cell of 4 s is over.
    """

    kind = "steady"

    def _notes(self, chance: random.Random, program: int) -> Iterator[Note]:
        for start, end, pitches, velocity in MANNERS[self.number % len(MANNERS)](chance):
            for pitch in pitches:
                yield Note(start=start, end=end, pitch=pitch, velocity=velocity, program=program)


def _long(chance: random.Random) -> Iterator[Sound]:
    """Notes and chords that are held, and rests in which they die away."""
    start = 0.1
    while start < PHRASE_SECONDS - HELD_SECONDS[0]:
        end = min(start + chance.uniform(*HELD_SECONDS), PHRASE_SECONDS - 0.1)
        yield Sound(start, end, _pitches(chance), chance.randint(40, 120))
        start = end + chance.uniform(*LONG_RESTS)


def _single(chance: random.Random) -> Iterator[Sound]:
    """A note at the beginning of each cell."""
    for number in range(int(PHRASE_SECONDS / CELL_SECONDS)):
        start = number * CELL_SECONDS + 0.1
        end = start + chance.uniform(*RUNG_SECONDS)
        yield Sound(start, end, (chance.choice(NOTE_PITCHES),), chance.randint(40, 120))


def _repeated(chance: random.Random) -> Iterator[Sound]:
    """A note or chord several times, then another."""

    def sounds() -> Iterator[tuple[int, ...]]:
        while True:
            pitches = _pitches(chance)
            yield from [pitches] * chance.randint(*TIMES)

    return _in_rhythm(chance, sounds())


def _scale(chance: random.Random) -> Iterator[Sound]:
    """A scale up and down, several times, then another."""
    return _in_rhythm(chance, _figures(chance, SCALES))


def _broken_chord(chance: random.Random) -> Iterator[Sound]:
    """The notes of a chord up, or up and down, several times, then another."""
    return _in_rhythm(chance, _figures(chance, CHORDS))


MANNERS: tuple[Callable[[random.Random], Iterator[Sound]], ...] = (
    *(_long, _repeated, _scale, _broken_chord, _single),
)


def _pitches(chance: random.Random) -> tuple[int, ...]:
    """One note, or a chord."""
    if chance.random() >= CHORD_PROBABILITY:
        return (chance.choice(NOTE_PITCHES),)
    steps = chance.choice(CHORDS)
    first = chance.randint(NOTE_PITCHES[0], NOTE_PITCHES[-1] - steps[-1])
    return tuple(first + step for step in steps)


def _figures(chance: random.Random, shapes: tuple[tuple[int, ...], ...]) -> Iterator[tuple[int, ...]]:
    """Single pitches of one shape after the other, each in a place and a direction of its own."""
    while True:
        shape, n_octaves = chance.choice(shapes), chance.randint(*OCTAVES)
        rising = [12 * octave + step for octave in range(n_octaves) for step in shape if step < 12]
        rising.append(12 * n_octaves)
        first = chance.randint(NOTE_PITCHES[0], NOTE_PITCHES[-1] - rising[-1])
        falling = rising[-2:0:-1]
        figure = chance.choice((rising + falling, rising[:-1], rising[::-1][:-1]))
        for _ in range(chance.randint(*TIMES)):
            yield from ((first + step,) for step in figure)


def _in_rhythm(chance: random.Random, sounds: Iterator[tuple[int, ...]]) -> Iterator[Sound]:
    """As many as there is time for, at equal distances; every note as loud and as long as the others."""
    slowest, fastest = STEPS_PER_SECOND
    step = 1 / (slowest * (fastest / slowest) ** chance.random())
    held, velocity = step * chance.uniform(*STEP_SHARES), chance.randint(50, 115)
    n_steps = int((PHRASE_SECONDS - LATEST_STEP_SECONDS) / step)
    for number, pitches in zip(range(n_steps), sounds, strict=False):
        yield Sound(0.1 + number * step, 0.1 + number * step + held, pitches, velocity)


@dataclass(frozen=True)
class DrumPattern:
    """One bar of drums that goes on, and changes a little from bar to bar."""

    number: int

    @property
    def name(self) -> str:
        """Its number."""
        return f"drums-{self.number:05d}"

    @property
    def split(self) -> str:
        """Its kits are trained on."""
        return "train"

    @property
    def group(self) -> str:
        """The pattern alone."""
        return self.name

    def score(self) -> Score:
        """Its strokes, with exact beats."""
        chance = random.Random(self.name)
        tempo, beats_per_bar = chance.randint(*TEMPI_BPM), chance.choice((3, 4, 4, 4))
        beat_seconds = 60 / tempo
        n_beats = int(PHRASE_SECONDS / beat_seconds)
        beats = tuple(k * beat_seconds for k in range(n_beats))
        notes = sorted(
            self._notes(chance, beat_seconds, beats_per_bar, n_beats),
            key=lambda note: (note.start, note.pitch),
        )
        return Score(
            name=self.name,
            notes=tuple(notes),
            seconds=PHRASE_SECONDS,
            beats=beats,
            downbeats=beats[::beats_per_bar],
            tags={"corpus": "drums", "licence": "drawn by lot: nobody's"},
        )

    def _notes(
        self, chance: random.Random, beat_seconds: float, beats_per_bar: int, n_beats: int
    ) -> Iterator[Note]:
        kit = chance.choice(KITS)
        drums = chance.sample(sorted(DRUMS), chance.randint(*DRUMS_IN_PATTERN))
        n_steps = beats_per_bar * STEPS_PER_BEAT
        pattern = {
            drum: [chance.random() < DRUMS[drum][_place(step)] for step in range(n_steps)] for drum in drums
        }
        pattern[drums[0]][0] = True  # so that something sounds
        for step in range(n_beats * STEPS_PER_BEAT):
            start = step * beat_seconds / STEPS_PER_BEAT
            struck = [
                d for d in drums if pattern[d][step % n_steps] != (chance.random() < CHANGE_PROBABILITY)
            ]
            if step % (4 * n_steps) == 0 and chance.random() < 0.5:
                struck.append(CRASH)
            for drum in struck:
                velocity = chance.randint(70, 120) - (20 if _place(step) == 2 else 0)
                yield Note(
                    start=start, end=start + 0.1, pitch=drum, velocity=velocity, program=kit,
                    channel=DRUM_CHANNEL,
                )  # fmt: skip


def _place(step: int) -> int:
    """0 on a beat, 1 between two, 2 elsewhere."""
    return (0, 2, 1, 2)[step % STEPS_PER_BEAT]
