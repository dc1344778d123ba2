"""Tunes and chorales of the corpus that music21 carries, as scores with beats and keys as they are written.

music21 says of its corpus that encoders permitted its distribution, and that restrictions stand in files and
folders. Only collections of old music are taken, and of these only files that state no claim: chorales whose
engraving is copyrighted and "used by permission" are left out, as are the Essen folk songs (not commercially,
"unclear"), Palestrina (rights reserved), and what is kept by parts or in mensural notation.
"""

import random
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from solfa_free.score import DRUM_CHANNEL, Note, Score, ScoreError, Stretch

COLLECTIONS = {  # folder of music21's corpus -> its files
    "airdsAirs": "*.abc",
    "oneills1850": "*.abc",
    "ryansMammoth": "*.abc",
    "nottingham-dataset": "*.abc",
    "bach": "*.mxl",
}
CLAIM = re.compile(r"©|\(c\)|copyright|commercial|permission|rights reserved", re.IGNORECASE)
LICENCE = "public domain; its encoding comes with music21 and states no restriction"
CURE = "It comes with music21: pip install 'solfa[tunes]', and run again."
TUNE_SECONDS = 60.0  # about; of short ones, all of it again
LEAST_SECONDS, LONGEST_SECONDS = 30.0, 240.0
TEMPI_BPM = (80, 132)  # quarter notes, where none is written
PROGRAMS = (0, 6, 11, 19, 21, 22, 24, 25, 40, 42, 46, 48, 56, 60, 65, 68, 71, 73, 74, 75)
MODES = ("major", "minor")


@dataclass(frozen=True)
class Tune:
    """A tune of a file, to be parsed when it is played."""

    name: str
    title: str
    content: bytes  # ABC of this tune alone, or compressed MusicXML
    format: str  # as music21 calls it

    @property
    def split(self) -> str:
        """It is in no benchmark."""
        return "train"

    @property
    def group(self) -> str:
        """All tunes of one title, in whichever collection."""
        return "tune-" + "-".join(re.findall(r"[a-z0-9]+", self.title.lower()))

    def score(self) -> Score:
        """Its notes, beats and keys. Raises ScoreError."""
        return read_tune(self)


def find_corpus() -> Path:
    """The folder of the corpus. Raises FileNotFoundError if music21 is not installed."""
    found = find_spec("music21")
    if found is None or found.origin is None:
        raise FileNotFoundError(f"There are no tunes. {CURE}")
    return Path(found.origin).parent / "corpus"


def read_tunes(root: Path) -> Iterator[Tune]:
    """The tunes of a corpus that may be used. Raises ScoreError if there are none."""
    paths = [path for name, files in COLLECTIONS.items() for path in sorted((root / name).glob(files))]
    tunes = [tune for path in paths for tune in (_of_abc if path.suffix == ".abc" else _of_xml)(path)]
    if not tunes:
        raise ScoreError(f"{root} holds no tunes that may be used. {CURE}")
    yield from {tune.name: tune for tune in tunes}.values()


def _of_abc(path: Path) -> Iterator[Tune]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if CLAIM.search(text):
        return
    for number, part in enumerate(re.split(r"(?m)^(?=X:)", text)[1:], start=1):
        title = re.search(r"(?m)^T:\s*(.*\S)", part)
        if title:
            yield Tune(_name(path, number), title[1], part.encode(), "abc")


def _of_xml(path: Path) -> Iterator[Tune]:
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [archive.read(name).decode("utf-8", "replace") for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError):
        return
    if not any(CLAIM.search(text) for text in texts):
        yield Tune(_name(path, 1), f"{path.parent.name} {path.stem}", path.read_bytes(), "musicxml")


def _name(path: Path, number: int) -> str:
    words = re.findall(r"[A-Za-z0-9]+", f"{path.parent.name} {path.stem}")
    return "-".join(("music21", *words, f"{number:03d}"))


def read_tune(tune: Tune) -> Score:
    """A tune by music21, repeats played, in one tempo; each part by an instrument that its name chooses.

    Raises:
        ScoreError: music21 cannot read it, or it holds no notes.
    """
    from music21 import converter  # an extra

    try:
        data = tune.content.decode() if tune.format == "abc" else tune.content
        written = converter.parse(data, format=tune.format)
        played = _with_repeats(written)
        return _score(tune, played)
    except ScoreError:
        raise
    except Exception as error:  # of whatever class: files of others
        raise ScoreError(f"music21 cannot read {tune.name} ({error!r:.80}). Leave it out.") from None


def _with_repeats(written: Any) -> Any:
    from music21.repeat import ExpanderException

    try:
        return written.expandRepeats()
    except ExpanderException:  # signs that do not fit: once through
        return written


def _score(tune: Tune, played: Any) -> Score:
    chance = random.Random(tune.name)
    marks = [mark.getQuarterBPM() for mark in played.flatten().getElementsByClass("MetronomeMark")]
    tempo_bpm = next((bpm for bpm in marks if bpm), None) or chance.randint(*TEMPI_BPM)
    second = 60 / tempo_bpm  # of a quarter note
    channels = [channel for channel in range(16) if channel != DRUM_CHANNEL]
    notes = [
        note
        for channel, part in zip(channels, played.parts, strict=False)
        for note in _notes(part, channel, chance.choice(PROGRAMS), second)
    ]
    once = float(played.quarterLength) * second
    if not notes or once > LONGEST_SECONDS:
        raise ScoreError(f"{tune.name} has no notes, or lasts {once:.0f} s. Leave it out.")
    beats, downbeats = _beats(played.parts[0], second)
    times = [lap * once for lap in range(max(1, -int(-LEAST_SECONDS // once)))]
    moved = [_moved(note, by) for by in times for note in notes]
    return Score(
        name=tune.name,
        notes=tuple(sorted(moved, key=lambda note: (note.start, note.channel, note.pitch))),
        seconds=once * len(times),
        beats=tuple(by + beat for by in times for beat in beats),
        downbeats=tuple(by + beat for by in times for beat in downbeats),
        keys=tuple(_keys(played, once * len(times))),
        tags={"corpus": "music21", "collection": tune.name.split("-")[1], "licence": LICENCE},
    )


def _moved(note: Note, by: float) -> Note:
    return Note(
        start=note.start + by, end=note.end + by, pitch=note.pitch, velocity=note.velocity,
        program=note.program, channel=note.channel, part=note.part,
    )  # fmt: skip


def _notes(part: Any, channel: int, program: int, second: float) -> Iterator[Note]:
    """What sounds of a part: ties joined, no grace notes, and no chords that are only named above it."""
    for sound in part.stripTies().flatten().notes:
        if "ChordSymbol" in sound.classes or not sound.quarterLength:
            continue
        start = float(sound.offset) * second
        end = start + float(sound.quarterLength) * second * 0.95
        for pitch in sound.pitches:
            yield Note(
                start=start,
                end=end,
                pitch=int(pitch.midi),
                program=program,
                channel=channel,
                part=str(part.id),
            )


def _beats(part: Any, second: float) -> tuple[list[float], list[float]]:
    """Beats and downbeats of whole bars; of an upbeat, the beats counted from its end."""
    beats: list[float] = []
    downbeats: list[float] = []
    beat, bar = 1.0, 4.0  # in quarter notes
    for measure in part.getElementsByClass("Measure"):
        if measure.timeSignature is not None:
            beat = float(measure.timeSignature.beatDuration.quarterLength)
            bar = float(measure.timeSignature.barDuration.quarterLength)
        start, length = float(measure.offset), float(measure.duration.quarterLength)
        first = length % beat if length < bar else 0.0
        beats += [(start + first + k * beat) * second for k in range(round((length - first) / beat))]
        if length >= bar:
            downbeats.append(start * second)
    return beats, [one for one in downbeats if one in set(beats)]


def _keys(played: Any, seconds: float) -> Iterator[Stretch]:
    """The key that is written, if it is one for the whole piece, and major or minor."""
    written = {
        (key.tonic.name.replace("-", "b"), key.mode) for key in played.flatten().getElementsByClass("Key")
    }
    if len(written) == 1:
        [(tonic, mode)] = written
        if mode in MODES:
            yield Stretch(start=0.0, end=seconds, name=f"{tonic} {mode}")
