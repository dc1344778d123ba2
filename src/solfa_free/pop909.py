"""POP909: Chinese pop songs as MIDI, with keys, chords and beats by hand and by machine.

The data set keeps two clocks. Notes, ``beat_midi`` and ``chord_midi`` share that of the MIDI file, which is
the one of rendered audio. ``beat_audio`` and ``key_audio`` follow the original recordings, which nobody
renders: their beats fall about 0.06 s earlier, and songs drift against each other. So beats and chords are
taken from the MIDI side, and the borders of keys are moved to the nearest downbeat of it.

Source:
    Wang et al., POP909: A Pop-song Dataset for Music Arrangement Generation, ISMIR 2020. MIT licence.
"""

import hashlib
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from solfa_free.midi import read_midi
from solfa_free.pieces import draw_split
from solfa_free.score import Score, ScoreError, Stretch

CURE = (
    "Fetch https://github.com/music-x-lab/POP909-Dataset and give its folder POP909, or a .tar.xz of that "
    "folder, in which every song is NNN/NNN.mid with beat_midi.txt, chord_midi.txt and key_audio.txt"
)
FILES = ("beat_midi.txt", "chord_midi.txt", "key_audio.txt")
MELODY = "MELODY"
MODES = {"maj": "major", "min": "minor"}
# The MIDI files ask for a piano thrice. Others by turns, so that a melody can be told from what goes with it.
SINGERS = (0, 11, 22, 26, 40, 42, 52, 56, 60, 65, 68, 71, 73, 75, 80, 81)
BRIDGES = (0, 4, 11, 24, 40, 48, 61, 66, 73, 88)
ACCOMPANISTS = (0, 0, 0, 1, 2, 4, 5, 11, 24, 25, 46)  # they use the pedal: their notes must die away


@dataclass(frozen=True)
class Song:
    """The files of a song."""

    number: str  # three digits
    files: dict[str, bytes]  # by name

    @property
    def name(self) -> str:
        """Its name among pieces of other corpora."""
        return f"pop909-{self.number}"

    @property
    def split(self) -> str:
        """Where the song stands in a benchmark."""
        return draw_split(self.name)

    @property
    def group(self) -> str:
        """The song alone."""
        return self.name

    def score(self) -> Score:
        """The song, played by instruments that its number chooses. Raises ScoreError."""
        return read_song(self)


def read_songs(source: Path) -> Iterator[Song]:
    """Songs of a folder or of a tar archive, by their number. Raises ScoreError if there are none."""
    if not source.exists():
        raise FileNotFoundError(f"No POP909 at {source}. {CURE}.")
    found: dict[str, dict[str, bytes]] = {}
    for path, content in _contents(source):
        if re.fullmatch(r"\d{3}", path.parent.name) and path.name in (*FILES, f"{path.parent.name}.mid"):
            found.setdefault(path.parent.name, {})[path.name] = content
    if not found:
        raise ScoreError(f"{source} holds no songs of POP909. {CURE}.")
    yield from (Song(name, found[name]) for name in sorted(found))


def read_song(song: Song) -> Score:
    """The score of a song, played by instruments that its number chooses.

    Raises:
        ScoreError: a file of the song is missing or broken.
    """
    missing = [name for name in (f"{song.number}.mid", *FILES) if name not in song.files]
    if missing:
        raise ScoreError(f"Song {song.number} of POP909 lacks {', '.join(missing)}. {CURE}.")
    played = read_midi(song.files[f"{song.number}.mid"], song.name)
    beats = _rows(song, "beat_midi.txt", 3)
    downbeats = tuple(float(row[0]) for row in beats if float(row[2]) == 1.0)
    return replace(
        _orchestrate(played),
        beats=tuple(float(row[0]) for row in beats),
        downbeats=downbeats,
        chords=tuple(
            Stretch(start=float(row[0]), end=float(row[1]), name=row[2])
            for row in _rows(song, "chord_midi.txt", 3)
        ),
        keys=_keys(song, downbeats, played.seconds),
        melody=MELODY,
        tags={"corpus": "POP909", "licence": "MIT"},
    )


def _contents(source: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    if source.is_dir():
        for path in sorted(source.glob("**/*")):
            if path.is_file() and path.suffix in (".mid", ".txt"):
                yield PurePosixPath(path.relative_to(source.parent).as_posix()), path.read_bytes()
        return
    try:
        with tarfile.open(source, mode="r|*") as archive:
            for member in archive:
                if (file := archive.extractfile(member)) is not None:
                    yield PurePosixPath(member.name), file.read()
    except (tarfile.TarError, EOFError) as error:
        raise ScoreError(f"{source} is not a tar archive, or is damaged ({error}). {CURE}.") from None


def _rows(song: Song, name: str, n_columns: int) -> list[list[str]]:
    rows = [line.split() for line in song.files[name].decode("ascii", "replace").splitlines() if line.strip()]
    try:
        for row in rows:
            float(row[0]), float(row[1])
        if not rows or any(len(row) != n_columns for row in rows):
            raise ValueError
    except (ValueError, IndexError):
        raise ScoreError(f"{name} of song {song.number} of POP909 is broken. {CURE}.") from None
    return rows


def _keys(song: Song, downbeats: tuple[float, ...], seconds: float) -> tuple[Stretch, ...]:
    """Keys, from the first note to the last. They change at a downbeat; what modulates too early is lost."""
    rows = _rows(song, "key_audio.txt", 3)
    changes = [min(downbeats, key=lambda beat: abs(beat - float(row[0]))) for row in rows[1:]]
    edges = [0.0, *changes, seconds]
    keys = []
    for start, end, row in zip(edges, edges[1:], rows, strict=False):
        tonic, _, mode = row[2].partition(":")
        if mode not in MODES:
            raise ScoreError(f"key_audio.txt of song {song.number} of POP909 is broken. {CURE}.")
        if end > start:
            keys.append(Stretch(start=start, end=end, name=f"{tonic} {MODES[mode]}"))
    return tuple(keys)


def _orchestrate(score: Score) -> Score:
    draw = hashlib.sha256(score.name.encode()).digest()
    programs = {
        MELODY: SINGERS[draw[0] % len(SINGERS)],
        "BRIDGE": BRIDGES[draw[1] % len(BRIDGES)],
        "PIANO": ACCOMPANISTS[draw[2] % len(ACCOMPANISTS)],
    }
    notes = tuple(replace(note, program=programs.get(note.part, note.program)) for note in score.notes)
    return replace(score, notes=notes)
