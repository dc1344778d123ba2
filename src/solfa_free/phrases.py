"""Music by lot that no chart holds: notes and chords alone, between rests, and patterns of drums."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

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
class NotePhrase:
    """Notes and chords of one instrument, one after the other, in no key."""

    number: int

    @property
    def name(self) -> str:
        """Its number."""
        return f"notes-{self.number:05d}"

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
            notes=tuple(self._notes()),
            seconds=PHRASE_SECONDS,
            tags={"corpus": "notes", "licence": "drawn by lot: nobody's"},
        )

    def _notes(self) -> Iterator[Note]:
        chance, program, start = random.Random(self.name), self._program, 0.1
        while start < PHRASE_SECONDS - NOTE_LENGTHS[1]:
            end = start + NOTE_LENGTHS[0] * (NOTE_LENGTHS[1] / NOTE_LENGTHS[0]) ** chance.random()
            n_notes = chance.randint(2, 4) if chance.random() < CHORD_PROBABILITY else 1
            velocity = chance.randint(40, 120)
            for pitch in sorted(chance.sample(NOTE_PITCHES, n_notes)):
                yield Note(start=start, end=end, pitch=pitch, velocity=velocity, program=program)
            start = end + chance.uniform(*RESTS)


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
