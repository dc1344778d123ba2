"""Chord charts by lot: a key, a progression that stays in it, a tempo and a metre."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from solfa_free.pieces import draw_split
from solfa_free.score import Stretch

Harmony = Literal["triads", "sevenths", "blues"]
Degree = tuple[int, str]  # semitones above the tonic, quality in Harte's syntax

TONICS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
MODES = ("major", "minor")
PHRASE_BARS = 8
MIN_SECONDS = 18.0  # of a chart of the benchmark: whole phrases until it is so long
SPLIT_BAR_PROBABILITY = 0.2  # of two chords in a bar, where it has an even number of beats

TONIC, DOMINANT = "I", "V"
NEXT = {  # mode -> degree -> what may follow it
    "major": {
        "I": ("IV", "V", "VI", "II", "III"),
        "II": ("V", "V", "IV"),
        "III": ("VI", "IV"),
        "IV": ("I", "V", "II"),
        "V": ("I", "VI", "IV"),
        "VI": ("II", "IV", "V"),
    },
    "minor": {
        "I": ("IV", "V", "VI", "VII", "III"),
        "III": ("VI", "IV", "VII"),
        "IV": ("V", "V", "I", "VII"),
        "V": ("I", "I", "VI"),
        "VI": ("IV", "III", "VII"),
        "VII": ("III", "I", "VI"),
    },
    "blues": {"I": ("IV", "IV", "V", "I"), "IV": ("I", "I", "V"), "V": ("IV", "I")},
}
CHORDS = {  # mode -> degree -> semitones above the tonic, triad, seventh chord
    "major": {
        "I": (0, "maj", "maj7"),
        "II": (2, "min", "min7"),
        "III": (4, "min", "min7"),
        "IV": (5, "maj", "maj7"),
        "V": (7, "maj", "7"),
        "VI": (9, "min", "min7"),
    },
    "minor": {
        "I": (0, "min", "min7"),
        "III": (3, "maj", "maj7"),
        "IV": (5, "min", "min7"),
        "V": (7, "maj", "7"),
        "VI": (8, "maj", "maj7"),
        "VII": (10, "maj", "7"),
    },
}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What a band reads: bars of one or two chords, each for an equal share of its bar."""

    tonic: int  # semitones above C
    mode: str  # major or minor
    tempo_bpm: int
    beats_per_bar: int
    bars: tuple[tuple[Degree, ...], ...]

    @property
    def key(self) -> str:
        """Such as ``Eb minor``."""
        return f"{TONICS[self.tonic]} {self.mode}"

    @property
    def progression(self) -> str:
        """Its chords in no key: charts with the same one are transpositions of each other."""
        return " | ".join(" ".join(f"{step}{quality}" for step, quality in bar) for bar in self.bars)

    @property
    def bar_seconds(self) -> float:
        """Length of a bar."""
        return self.beats_per_bar * 60 / self.tempo_bpm

    @property
    def seconds(self) -> float:
        """Length of all of it."""
        return len(self.bars) * self.bar_seconds

    @property
    def beats(self) -> tuple[float, ...]:
        """Every beat, in seconds."""
        return tuple(k * 60 / self.tempo_bpm for k in range(len(self.bars) * self.beats_per_bar))

    @property
    def chords(self) -> tuple[Stretch, ...]:
        """Every chord, from when to when."""
        return tuple(self._chords())

    def _chords(self) -> Iterator[Stretch]:
        for number, bar in enumerate(self.bars):
            length = self.bar_seconds / len(bar)
            for place, degree in enumerate(bar):
                start = number * self.bar_seconds + place * length
                yield Stretch(start=start, end=start + length, name=":".join(self.chord_name(degree)))

    def chord_name(self, degree: Degree) -> tuple[str, str]:
        """Root and quality of a degree in the key of this chart, such as ``Bb`` and ``min7``."""
        return TONICS[(self.tonic + degree[0]) % 12], degree[1]


def draw_chart(
    name: str,
    split: str,
    harmony: Harmony,
    beats_per_bar: int,
    tempi: tuple[int, int],
    min_seconds: float = MIN_SECONDS,
) -> Chart:
    """The chart of the piece ``name``: the same at each call.

    A progression stands in one split, whatever the key: it is drawn again until it falls into ``split``.

    Args:
        name: of the piece, the seed.
        split: train, valid or test.
        harmony: triads, seventh chords, or the three seventh chords of a blues.
        beats_per_bar: quarter notes.
        tempi: slowest and fastest, in beats per minute.
        min_seconds: whole phrases until it is so long.
    """
    for attempt in itertools.count():
        chance = random.Random(f"chart {name} {attempt}")
        chart = _draw(chance, harmony, beats_per_bar, tempi, min_seconds)
        if draw_split(chart.progression) == split:
            return chart
    raise AssertionError("endless")


def _draw(
    chance: random.Random, harmony: Harmony, beats_per_bar: int, tempi: tuple[int, int], min_seconds: float
) -> Chart:
    tempo, mode = chance.randint(*tempi), chance.choice(MODES)
    bar_seconds = beats_per_bar * 60 / tempo
    bars: list[tuple[Degree, ...]] = []
    while len(bars) * bar_seconds < min_seconds:
        may_split = beats_per_bar % 2 == 0 and harmony != "blues"
        phrase = _phrase(chance, NEXT["blues" if harmony == "blues" else mode], may_split)
        bars += [tuple(_degree(name, mode, harmony) for name in names) for names in phrase]
    return Chart(
        tonic=chance.randrange(12),
        mode=mode,
        tempo_bpm=tempo,
        beats_per_bar=beats_per_bar,
        bars=tuple(bars),
    )


def _phrase(
    chance: random.Random, following: dict[str, tuple[str, ...]], may_split: bool
) -> Iterator[tuple[str, ...]]:
    """Eight bars from the tonic to a cadence: dominant, tonic."""
    current = TONIC
    yield (current,)
    for _ in range(PHRASE_BARS - 3):
        is_split = may_split and chance.random() < SPLIT_BAR_PROBABILITY
        names = []
        for _ in range(2 if is_split else 1):
            current = chance.choice(following[current])
            names.append(current)
        yield tuple(names)
    yield (DOMINANT,)
    yield (TONIC,)


def _degree(name: str, mode: str, harmony: Harmony) -> Degree:
    step, triad, seventh = CHORDS[mode][name]
    if harmony == "blues" and mode == "major":
        return step, "7"
    return step, triad if harmony == "triads" else seventh
