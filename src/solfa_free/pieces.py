"""What can be rendered: songs, a folder of MIDI files, single notes; and on which side each stands."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from solfa_free.midi import read_midi
from solfa_free.score import FAMILIES, Note, Score, ScoreError

SHARES = (("train", 0.7), ("valid", 0.1), ("test", 0.2))
MIDI_SUFFIXES = (".mid", ".midi")
NOTE_SPLITS = ("train", "train", "train", "valid", "test")  # of the first programs of a family
NOTE_FAMILIES = FAMILIES[:12]  # effects, drums and what one family does not hold together are left out
NOTE_PITCHES = range(21, 109)  # the 88 keys of a piano
NOTE_VELOCITIES = (60, 90, 120)
NOTE_SECONDS, NOTE_HELD_SECONDS = 2.0, 1.5


@runtime_checkable
class Piece(Protocol):
    """Music that can be rendered: small enough to be sent to another process."""

    @property
    def name(self) -> str:
        """Unlike that of any other piece, and fit to name a file."""

    @property
    def split(self) -> str:
        """``train``, ``valid`` or ``test``: the same for any soundfont."""

    @property
    def group(self) -> str:
        """What must not stand in two splits: a song, an instrument."""

    def score(self) -> Score:
        """Its notes and labels. Raises ScoreError."""


@dataclass(frozen=True)
class MidiFile:
    """A MIDI file of somebody's folder."""

    path: Path
    name: str

    @property
    def split(self) -> str:
        """By its name."""
        return draw_split(self.name)

    @property
    def group(self) -> str:
        """The file alone."""
        return self.name

    def score(self) -> Score:
        """As ``read_midi``."""
        return read_midi(self.path.read_bytes(), self.name)


@dataclass(frozen=True)
class SingleNote:
    """One note of one instrument, held and let go."""

    program: int  # General MIDI, counted from zero
    pitch: int

    @property
    def name(self) -> str:
        """Instrument and pitch."""
        return f"note-{self.program:03d}-{self.pitch:03d}"

    @property
    def split(self) -> str:
        """By its instrument: each family has some that are trained on, and others."""
        return NOTE_SPLITS[self.program % 8]

    @property
    def group(self) -> str:
        """All notes of an instrument."""
        return f"program-{self.program:03d}"

    def score(self) -> Score:
        """The note, in one of three strengths by turns."""
        velocity = NOTE_VELOCITIES[(self.program + self.pitch) % len(NOTE_VELOCITIES)]
        note = Note(
            start=0.0, end=NOTE_HELD_SECONDS, pitch=self.pitch, velocity=velocity, program=self.program
        )
        return Score(name=self.name, notes=(note,), seconds=NOTE_SECONDS, tags={"corpus": "notes"})


def single_notes() -> list[Piece]:
    """All 88 pitches of five instruments of each of twelve families."""
    programs = [8 * family + k for family in range(len(NOTE_FAMILIES)) for k in range(len(NOTE_SPLITS))]
    return [SingleNote(program, pitch) for program in programs for pitch in NOTE_PITCHES]


def midi_files(folder: Path) -> list[Piece]:
    """The MIDI files below ``folder``. Raises ScoreError if there are none."""
    if not folder.is_dir():
        raise FileNotFoundError(f"No folder {folder}. Give a folder of MIDI files, or 'notes'.")
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in MIDI_SUFFIXES]
    if not paths:
        raise ScoreError(
            f"{folder} holds no MIDI files ({', '.join(MIDI_SUFFIXES)}). Give a folder that does."
        )
    return list(_named(paths, folder))


def draw_split(name: str) -> str:
    """The split of a piece by its name alone: which others there are does not matter."""
    draw = int(hashlib.sha256(f"split {name}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    for split, share in SHARES:
        if draw <= share:
            return split
        draw -= share
    return SHARES[-1][0]


def choose_pieces(pieces: Sequence[Piece], n_most: int | None, split: str | None = None) -> list[Piece]:
    """Pieces of ``split``, or of all; ``n_most`` of them by lot, the same ones each time."""
    wanted = [piece for piece in pieces if split in (None, piece.split)]
    wanted.sort(key=lambda piece: hashlib.sha256(f"lot {piece.name}".encode()).hexdigest())
    return wanted[:n_most]


def _named(paths: Sequence[Path], folder: Path) -> Iterator[MidiFile]:
    taken: set[str] = set()
    for path in paths:
        relative = path.relative_to(folder).with_suffix("").as_posix()
        name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in relative)
        if name in taken:  # two names that differ in signs only
            name = f"{name}-{hashlib.sha256(path.relative_to(folder).as_posix().encode()).hexdigest()[:8]}"
        taken.add(name)
        yield MidiFile(path, name)
