"""The free benchmark: tasks on music rendered by ``solfa data render``, whose labels are exact.

What trains and what tests differ in piece and in soundfont, single notes in instrument too. A folder holds
any number of rendered folders; what stands on neither side (a piece to train on, played by the soundfont to
test with) is passed over.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from solfa.tasks.base import SPLITS, ClipRule, Item, Label, Split, Task, TaskError
from solfa.tasks.harmony import CHORDS, KEYS, chord_number, key_number
from solfa.tasks.kinds import Classes, FrameClasses, FrameEvents, LabelKind, Numbers, Span, Tags  # fmt: skip
from solfa.tasks.reading import Row, find_audio, read_json_lines
from solfa_free.free_benchmark import SOUNDFONTS as PLAYERS
from solfa_free.mma import STYLES as MMA_STYLES
from solfa_free.score import FAMILIES

SOUNDFONTS: dict[str, tuple[Split, ...]] = {  # in which splits each one plays
    name: tuple(split for split in SPLITS if split in splits) for name, splits in PLAYERS.items()
}
LISTS = "labels.jsonl"
PITCHES = tuple(str(pitch) for pitch in range(21, 109))  # the 88 keys of a piano
INSTRUMENTS = FAMILIES[:12]
NO_MELODY = "none"
ROUNDING_SECONDS = 1e-6  # by which the end of a label may miss that of its recording
MIN_KEY_SECONDS = 10.0  # of a stretch in one key; in less, it can hardly be heard
FRAME_RATE = 25.0  # Hz, of what is asked in time: encoders with more frames answer by their means
DOWNLOAD = (
    "Make it with: solfa data render free --out data/free --pop909 FOLDER, of your own copy of POP909 "
    "(github.com/music-x-lab/POP909-Dataset); without one, the tasks on other music are made."
)

Labelled = tuple[Label, float, float | None]  # a label, and where its stretch begins and how long it is


def label_lists(folder: Path) -> list[Path]:
    """The lists of labels anywhere below a folder, in order; a part of the benchmark may be a link."""
    below = (Path(place) for place, _, names in os.walk(folder, followlinks=True) if LISTS in names)
    return sorted(place / LISTS for place in below)


def free_version(folder: Path) -> str:
    """A hash over all audio and labels of the folder: scores compare only where it is the same."""
    digest = hashlib.sha256()
    for line in sorted(line for path in label_lists(folder) for line in path.read_bytes().splitlines()):
        digest.update(line + b"\n")
    return digest.hexdigest()[:12]


def _loader(corpus: str, label: Callable[[Row], Iterator[Labelled]]) -> Callable[[Path], list[Item]]:
    """Items of a corpus, with what ``label`` reads out of a line."""

    def load(folder: Path) -> list[Item]:
        items = []
        for row, split in _rows(folder, corpus):
            audio = find_audio([row.file.parent / row.text("path")], row)
            name = f"{row.text('piece')} {row.text('soundfont')}"
            for number, (value, start, seconds) in enumerate(label(row)):
                track = name if number == 0 else f"{name} {number}"
                items.append(
                    Item(audio, split, value, track, row.text("group"), start, seconds,
                         content=row.text("content_hash"), soundfont=row.text("soundfont"))
                )  # fmt: skip
        return check_splits(items, folder)

    return load


def corpus_rows(folder: Path, corpus: str) -> Iterator[tuple[Row, dict[str, str]]]:
    """What the lists of labels below a folder say of a corpus, and the tags of each row."""
    for path in label_lists(folder):
        for row in read_json_lines(path, DOWNLOAD):
            tags = row.values.get("tags")
            if not isinstance(tags, dict):
                raise row.broken("has no 'tags'", "Delete its folder, and make it again.")
            if tags.get("corpus") == corpus:
                yield row, tags


def check_splits(items: list[Item], folder: Path) -> list[Item]:
    """The items, if every split has some."""
    missing = set(SPLITS) - {item.split for item in items}
    if missing:
        raise TaskError(f"{folder} holds nothing to {', '.join(sorted(missing))} with. {DOWNLOAD}")
    return items


def _rows(folder: Path, corpus: str) -> Iterator[tuple[Row, Split]]:
    for row, _ in corpus_rows(folder, corpus):
        for split in SOUNDFONTS.get(row.text("soundfont"), ()):
            if split == row.text("split"):
                yield row, split


def _stretches(row: Row, name: str) -> Iterator[tuple[float, float, str]]:
    for entry in row.entries(name):
        if not isinstance(entry, list) or len(entry) != 3:
            raise row.broken(f"has an entry under '{name}' that is not start, end and name: {entry!r}")
        yield row.as_number(entry[0], "as a start"), row.as_number(entry[1], "as an end"), str(entry[2])


def _keys(row: Row) -> Iterator[Labelled]:
    for start, end, name in _stretches(row, "keys"):
        number = _number(row, key_number, name)
        if number is not None and end - start >= MIN_KEY_SECONDS:
            is_whole = start <= 0 and end >= row.number("seconds") - ROUNDING_SECONDS
            yield (number, 0.0, None) if is_whole else (number, start, end - start)


def _chords(row: Row) -> Iterator[Labelled]:
    spans = []
    for start, end, name in _stretches(row, "chords"):
        number = _number(row, chord_number, name)
        if number is not None:
            spans.append(Span(start, end, number))
    if spans:
        yield tuple(spans), 0.0, None


def _melody(row: Row) -> Iterator[Labelled]:
    spans, silent_since = [], 0.0
    for start, end, name in _stretches(row, "melody"):
        if start > silent_since:
            spans.append(Span(silent_since, start, 0))
        if name in PITCHES:
            spans.append(Span(start, end, 1 + PITCHES.index(name)))
        silent_since = end
    if spans:
        seconds = row.number("seconds")
        yield (*spans, *([Span(silent_since, seconds, 0)] if seconds > silent_since else [])), 0.0, None


def _beats(row: Row) -> Iterator[Labelled]:
    beats, downbeats = (
        tuple(row.as_number(at, f"among '{name}'") for at in row.entries(name))
        for name in ("beats", "downbeats")
    )
    if beats:
        yield (beats, downbeats), 0.0, None


def _tempo(row: Row) -> Iterator[Labelled]:
    if row.values.get("tempo_bpm") is not None:
        tempo_bpm = row.number("tempo_bpm")
        if tempo_bpm <= 0:
            raise row.broken(f"has a tempo of {tempo_bpm}", "Render it again.")
        yield (math.log2(tempo_bpm),), 0.0, None


def _style(row: Row) -> Iterator[Labelled]:
    style = row.values["tags"].get("style")
    if style not in MMA_STYLES:
        raise row.broken(f"has an unknown style {style!r}", "Render the corpus 'mma' again.")
    yield tuple(MMA_STYLES).index(style), 0.0, None


def _tags(row: Row) -> Iterator[Labelled]:
    numbers = sorted(INSTRUMENTS.index(name) for name in row.entries("families") if name in INSTRUMENTS)
    if numbers:
        yield tuple(numbers), 0.0, None


def _pitch(row: Row) -> Iterator[Labelled]:
    yield PITCHES.index(str(_note(row)[0])), 0.0, None


def _family(row: Row) -> Iterator[Labelled]:
    yield INSTRUMENTS.index(FAMILIES[_note(row)[1] // 8]), 0.0, None


def _note(row: Row) -> tuple[int, int]:
    """Pitch and program of the only note."""
    notes = row.entries("notes")
    if len(notes) != 1 or str(notes[0][2]) not in PITCHES or not 0 <= notes[0][4] // 8 < len(INSTRUMENTS):
        raise row.broken("is not one note of a known instrument", "Render the corpus 'notes' again.")
    return notes[0][2], notes[0][4]


def _number(row: Row, number: Callable[[str], int | None], name: str) -> int | None:
    try:
        return number(name)
    except ValueError as error:
        raise row.broken(f"has an unknown label: {error}", "Render it again.") from None


def _task(
    name: str,
    title: str,
    kind: LabelKind[Any],
    metrics: tuple[str, ...],
    label: Callable[[Row], Iterator[Labelled]],
    *,
    corpus: str = "POP909",
    clip_seconds: float = 30.0,
    faults: str = "",
) -> Task:
    return Task(
        name=f"free_{name}",
        title=f"Free benchmark: {title}",
        kind=kind,
        metrics=metrics,
        clips=ClipRule(seconds=clip_seconds, min_ratio=0.3, channel="first", frame_rate=FRAME_RATE),
        licence="MIT (POP909), GPL-2 (MMA's grooves); soundfonts: MIT (MuseScore-Lite, FluidR3), GPL-2 "
        "(TimGM6mb)",
        size="as much as was rendered; the version is a hash over audio and labels",
        split_source="by hash of the piece, and by soundfont; notes by instrument too, styles by groove and "
        "chart. Ours",
        faults=f"Sampled instruments, no singing, no effects. {faults}".strip(),
        download=DOWNLOAD,
        source="solfa; POP909: Wang et al., POP909: A Pop-song Dataset for Music Arrangement, ISMIR 2020",
        load=_loader(corpus, label),
        version=free_version,
        folders=("free",),
    )


RENDERED_TASKS = (
    _task("key", "key", Classes(KEYS), ("key_score", "accuracy"), _keys,
          faults="Annotated by ear on the recordings; a change is moved to the nearest downbeat."),
    _task("chords", "chords", FrameClasses(CHORDS), ("frame_accuracy",), _chords,
          faults="9% of the sounding time is outside the labelled chord: passing notes, added tones."),
    _task("beats", "beats and downbeats", FrameEvents(("beat", "downbeat")), ("beat_f1", "downbeat_f1"),
          _beats, corpus="POP909", faults="1 beat of 11 has no note within 30 ms."),
    _task("tempo", "tempo", Numbers(("log2_bpm",)), ("tempo_accuracy_1", "tempo_accuracy_2", "r2"), _tempo,
          faults="Epoch, layer and rate are chosen by R2: of few tracks within 4%, chance decides."),
    _task("melody", "pitch of the melody", FrameClasses((NO_MELODY, *PITCHES)), ("frame_accuracy",),
          _melody),
    _task("instruments", "families of instruments that play", Tags(INSTRUMENTS), ("roc_auc", "pr_auc"),
          _tags, corpus="POP909", faults="At most three play; families that nobody plays are not counted."),
    _task("pitch", "pitch of single notes", Classes(PITCHES), ("accuracy",), _pitch, corpus="notes",
          clip_seconds=2.0, faults="Also pitches that no player of the instrument can reach."),
    _task("family", "instrument family of single notes", Classes(INSTRUMENTS), ("accuracy",), _family,
          corpus="notes", clip_seconds=2.0, faults="Families are General MIDI's, by no ear."),
    _task("style", "style of an accompaniment", Classes(tuple(MMA_STYLES)), ("accuracy",), _style,
          corpus="mma", clip_seconds=15.0,
          faults="Few grooves of each style, and a style's tempi lie in one range."),
)  # fmt: skip
