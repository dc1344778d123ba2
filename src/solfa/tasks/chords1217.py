"""Chords1217: major and minor chords of pop songs, frame by frame."""

from collections.abc import Sequence
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Task
from solfa.tasks.harmony import CHORDS, chord_number
from solfa.tasks.kinds import FrameClasses, Span
from solfa.tasks.reading import Row, marble_rows

DOWNLOAD = (
    "Put MARBLE's data set 'm-a-p/Chords1217' (Hugging Face, gated: ask for access there) into "
    "data/Chords1217: Chords1217.{train,val,test}.jsonl and audio/. No other layout is known."
)


def load(folder: Path) -> Sequence[Item]:
    """Items of Chords1217, from MARBLE's lists. Raises TaskError."""
    return [
        Item(audio, split, _spans(row), track=audio.stem, group=audio.stem)
        for split, row, audio in marble_rows(folder, "Chords1217", DOWNLOAD)
    ]


def _spans(row: Row) -> tuple[Span, ...]:
    """Chords that belong to no class leave a gap, which is not counted."""
    spans = []
    for entry in row.entries("label"):
        if not isinstance(entry, dict):
            raise row.broken(f"has a chord that is not an object: {entry!r}")
        chord = Row(entry, row.file, row.line)
        start, end = chord.number("start_time"), chord.number("end_time")
        if start > end:
            raise row.broken(f"has a chord that ends before it starts: {entry!r}")
        try:
            number = chord_number(chord.text("chord_str"))
        except ValueError as error:
            raise row.broken(f"has an unknown label: {error}") from None
        if number is not None and start < end:
            spans.append(Span(start, end, number))
    return tuple(spans)


CHORDS1217 = Task(
    name="chords1217",
    title="Chords1217 chords",
    kind=FrameClasses(CHORDS),
    metrics=("frame_accuracy",),
    clips=ClipRule(seconds=15.0, min_ratio=0.1, channel="mean"),
    licence="unknown",
    size="1,217 songs",
    split_source="MARBLE's lists",
    faults=(
        "Artists are not named: a group is a song. MARBLE gives a gap without chord ('N') the chord before "
        "it, and calls unknown chords ('X') no chord; here 'N' is a class of its own and 'X' is not counted. "
        "MARBLE draws a channel at random in training; here channels are averaged."
    ),
    download=DOWNLOAD,
    source="collection of annotated songs, unknown; protocol: MARBLE v2, arXiv:2306.10548",
    load=load,
    folders=("Chords1217",),
)
