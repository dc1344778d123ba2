"""Exact labels of rendered tracks -> numbers for each frame: what sounds, and where in bar, key and chord."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from solfa.data.stored_teachers import ColumnsConfig
from solfa.errors import ArgumentError
from solfa.files import sha256
from solfa.frames import FrameGrid
from solfa.json_files import read_lines
from solfa.tasks.harmony import CHORDS, KEYS, TONICS, chord_number, key_number

LOWEST_NOTE, N_NOTES = 21, 88  # a piano's
DRUM_CHANNEL = 9
FAMILIES = (
    "piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed",
    "pipe", "synth lead", "synth pad", "synth effects", "ethnic", "percussive", "sound effects", "drums",
)  # fmt: skip
STYLES = (  # of accompaniments by MMA
    "waltz", "jazz waltz", "swing", "old jazz", "bossa nova", "salsa", "rhumba", "march", "polka", "blues",
    "shuffle", "twist", "rock", "ballad", "soul", "funk", "country", "electronic dance", "8-beat pop",
    "16-beat pop",
)  # fmt: skip
TEMPO_CLASSES, SLOWEST_BPM, FASTEST_BPM = 60, 40.0, 240.0  # evenly in the logarithm

Rows = Float[np.ndarray, "frame number"]


def _columns() -> tuple[ColumnsConfig, ...]:
    many = {"notes": N_NOTES, "onsets": N_NOTES, "pitch-classes": 12, "beats": 1, "downbeats": 1}
    classes = {"bass": (*TONICS, "N"), "chord": CHORDS, "key": KEYS}
    return (
        *(ColumnsConfig(name=name, width=width, form="probability") for name, width in many.items()),
        ColumnsConfig(name="families", width=len(FAMILIES), form="probability", labels=FAMILIES),
        *(ColumnsConfig(name=name, width=1, form="class", labels=names) for name, names in classes.items()),
        ColumnsConfig(name="tempo", width=1, form="class"),
        ColumnsConfig(name="melody", width=1, form="class"),
        ColumnsConfig(name="style", width=1, form="class", labels=STYLES),
    )


@dataclass(frozen=True)
class ExactLabels:
    """Labels of tracks, by content."""

    by_content: Mapping[str, Mapping[str, Any]]
    sha256: str  # of the file
    columns: tuple[ColumnsConfig, ...] = _columns()

    def rows(self, content_hash: str, grid: FrameGrid, n_frames: int) -> Rows | None:
        """Numbers of each frame, NaN where nothing is known; None if nothing is of the track."""
        labels = self.by_content.get(content_hash)
        if labels is None:
            return None
        frames = _Frames(grid, n_frames)
        notes = labels["notes"]
        said = {
            **frames.of_notes([note for note in notes if note[5] != DRUM_CHANNEL]),
            "families": frames.families(notes),
            "beats": frames.events(labels["beats"]),
            "downbeats": frames.events(labels["downbeats"]),
            "chord": frames.stretches(labels["chords"], chord_number),
            "key": frames.stretches(labels["keys"], key_number),
            "tempo": frames.whole(tempo_class(labels["tempo_bpm"])),
            "melody": frames.melody(labels["melody"]),
            "style": frames.whole(style_class(labels.get("tags", {}).get("style"))),
        }
        return np.concatenate([said[columns.name] for columns in self.columns], axis=1)


class _Frames:
    """Labels in seconds -> numbers of frames."""

    def __init__(self, grid: FrameGrid, n_frames: int) -> None:
        self.rate, self.n_frames = grid.frame_rate, n_frames

    def empty(self, width: int = 1, value: float | int = 0) -> Rows:
        """The same number everywhere."""
        return np.full((self.n_frames, width), value, np.float32)

    def span(self, start: float, end: float) -> slice:
        """Frames that are more inside than outside; one at least."""
        first = round(start * self.rate)
        return slice(first, max(first + 1, round(end * self.rate)))

    def of_notes(self, notes: Sequence[Sequence[Any]]) -> dict[str, Rows]:
        """What sounds, what begins, its pitch classes, and the class of the lowest note."""
        sounding, begun = self.empty(N_NOTES), self.empty(N_NOTES)
        for start, end, note, *_ in notes:
            if 0 <= (place := note - LOWEST_NOTE) < N_NOTES:
                sounding[self.span(start, end), place] = 1
                begun[slice(int(start * self.rate), int(start * self.rate) + 1), place] = 1
        pitch_classes = self.empty(12)
        for place in range(N_NOTES):
            column = pitch_classes[:, (place + LOWEST_NOTE) % 12]
            np.maximum(column, sounding[:, place], out=column)
        lowest = (sounding.argmax(1) + LOWEST_NOTE) % 12
        bass = np.where(sounding.any(1), lowest, 12)[:, None].astype(np.float32)
        return {"notes": sounding, "onsets": begun, "pitch-classes": pitch_classes, "bass": bass}

    def families(self, notes: Iterable[Sequence[Any]]) -> Rows:
        """Which instruments sound."""
        found = self.empty(len(FAMILIES))
        for start, end, _, _, program, channel in notes:
            family = len(FAMILIES) - 1 if channel == DRUM_CHANNEL else program // 8
            found[self.span(start, end), family] = 1
        return found

    def events(self, seconds: Sequence[float]) -> Rows:
        """1 where one of them falls; unknown if there are none at all."""
        found = self.empty(value=0 if seconds else np.nan)
        for moment in seconds:
            found[slice(int(moment * self.rate), int(moment * self.rate) + 1)] = 1
        return found

    def stretches(self, named: Iterable[Sequence[Any]], number: Callable[[str], int | None]) -> Rows:
        """The class of each stretch; unknown where there is none, or it has no class."""
        found = self.empty(value=np.nan)
        for start, end, name in named:
            place = number(name)
            if place is not None:
                found[self.span(start, end)] = place
        return found

    def melody(self, notes: Sequence[Sequence[Any]]) -> Rows:
        """The place of its note, or one more than there are; unknown if there is no melody at all."""
        found = self.empty(value=N_NOTES if notes else np.nan)
        for start, end, note, *_ in notes:
            if 0 <= note - LOWEST_NOTE < N_NOTES:
                found[self.span(start, end)] = note - LOWEST_NOTE
        return found

    def whole(self, value: int | None) -> Rows:
        """One class of all frames."""
        return self.empty(value=np.nan if value is None else value)


def tempo_class(bpm: float | None) -> int | None:
    """Which of the classes of tempo, spaced evenly in the logarithm; the ends hold what lies beyond."""
    if not bpm:
        return None
    share = math.log(bpm / SLOWEST_BPM) / math.log(FASTEST_BPM / SLOWEST_BPM)
    return min(max(int(share * TEMPO_CLASSES), 0), TEMPO_CLASSES - 1)


def style_class(name: str | None) -> int | None:
    """The place of a style; None for one that is not among them, and where none is stated."""
    return STYLES.index(name) if name in STYLES else None


def read_exact_labels(path: Path) -> ExactLabels:
    """The labels of a file, a JSON object on each line.

    Raises:
        ArgumentError: there is no such file, or it lacks what labels have.
    """
    needed = {"content_hash", "notes", "beats", "downbeats", "chords", "keys", "tempo_bpm", "melody"}
    if not path.is_file():
        raise ArgumentError(f"There are no labels at {path}. Name labels.jsonl of 'solfa data render'.")
    rows = {row.get("content_hash", ""): row for row in read_lines(path)}
    missing = {key for row in rows.values() for key in needed - row.keys()}
    if missing or not rows:
        raise ArgumentError(
            f"{path} lacks {', '.join(sorted(missing)) or 'everything'}. Name labels.jsonl of 'solfa data "
            "render'."
        )
    return ExactLabels(rows, sha256(path))
