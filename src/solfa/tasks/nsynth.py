"""NSynth: instrument family and pitch of single notes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Split, Task, TaskError
from solfa.tasks.kinds import Classes
from solfa.tasks.reading import Row, class_number, find_audio, numbered, read_json

FAMILIES = (  # in the set's own order
    *("bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string"),
    *("synth_lead", "vocal"),
)
PITCHES = tuple(str(pitch) for pitch in range(128))  # MIDI
FOLDERS: dict[Split, str] = {"train": "nsynth-train", "valid": "nsynth-valid", "test": "nsynth-test"}
DOWNLOAD = (
    "Unpack nsynth-train, nsynth-valid and nsynth-test (.jsonwav.tar.gz of "
    "magenta.tensorflow.org/datasets/nsynth) into data/NSynth: each holds examples.json and audio/. MARBLE "
    "v2 has no files for this task."
)


def load_instrument(folder: Path) -> Sequence[Item]:
    """Items of NSynth with the family of their instrument. Raises TaskError."""
    numbers = numbered(FAMILIES)
    return _load(folder, lambda row: class_number(row, row.values.get("instrument_family_str"), numbers))


def load_pitch(folder: Path) -> Sequence[Item]:
    """Items of NSynth with their MIDI pitch. Raises TaskError."""
    numbers = numbered(PITCHES)
    return _load(folder, lambda row: class_number(row, str(row.values.get("pitch")), numbers))


def _load(folder: Path, label: Callable[[Row], int]) -> list[Item]:
    items = []
    for split, name in FOLDERS.items():
        table = folder / name / "examples.json"
        notes = read_json(table, DOWNLOAD)
        if not notes:
            raise TaskError(f"{table} holds no notes. {DOWNLOAD}")
        for number, (note, values) in enumerate(notes.items(), start=1):
            row = Row(values, table, number)  # the file is one line: its notes are counted
            if not isinstance(values, dict):
                raise row.broken(f"says nothing of the note {note}")
            audio = find_audio([folder / name / "audio" / f"{note}.wav"], row)
            items.append(Item(audio, split, label(row), track=note, group=row.text("instrument_str")))
    return items


NSYNTH_INSTRUMENT = Task(
    name="nsynth_instrument",
    title="NSynth instrument",
    kind=Classes(FAMILIES),
    metrics=("accuracy",),
    clips=ClipRule(seconds=4.0, min_ratio=0.8, channel="first"),
    licence="CC BY 4.0",
    size="305,979 notes of 4 s: 289,205 to train, 12,678 to validate, 4,096 to test; 1,006 instruments",
    split_source="the data set's own; instruments to train on are not in the other two",
    faults=(
        "Only the instruments to train on are kept apart: those to validate and to test on may be the same "
        "ones. In errors, lines of examples.json are its notes, counted."
    ),
    download=DOWNLOAD,
    source="Engel et al., arXiv:1704.01279; protocol: MARBLE v1, arXiv:2306.10548",
    load=load_instrument,
    folders=("NSynth", "nsynth"),
)

NSYNTH_PITCH = replace(
    NSYNTH_INSTRUMENT,
    name="nsynth_pitch",
    title="NSynth pitch",
    kind=Classes(PITCHES),
    faults=NSYNTH_INSTRUMENT.faults + " Classes are MIDI pitches; MARBLE v1 numbers them from one less.",
    load=load_pitch,
)
