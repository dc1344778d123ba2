"""HookTheory: key, and section, of short clips of pop songs."""

from collections.abc import Sequence
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Split, Task
from solfa.tasks.harmony import KEYS, key_number
from solfa.tasks.kinds import Classes
from solfa.tasks.reading import Row, class_number, marble_rows

SECTIONS = ("intro", "verse", "pre-chorus", "chorus", "bridge", "outro", "instrumental")
NUMBERS = {name: number for number, name in enumerate(SECTIONS)} | {
    "solo": SECTIONS.index("instrumental"),
    "pre-chorus_chorus": SECTIONS.index("chorus"),
    "verse_pre-chorus": SECTIONS.index("verse"),
    "intro_verse": SECTIONS.index("verse"),
    "intro_chorus": SECTIONS.index("chorus"),
}
DOWNLOAD = (
    "Put MARBLE's data set 'm-a-p/HookTheory' (Hugging Face, gated: ask for access there) into "
    "data/HookTheory: {stem}.{{train,val,test}}.jsonl and hooktheory_clips/. SheetSage's own files name "
    "videos and hold no audio: they are not read."
)
KEY_DOWNLOAD = DOWNLOAD.format(stem="HookTheoryKey")
STRUCTURE_DOWNLOAD = DOWNLOAD.format(stem="HookTheoryStructure")


def load_key(folder: Path) -> Sequence[Item]:
    """Clips of HookTheory with their key. Raises TaskError."""
    return [
        _item(audio, split, row, _key(row))
        for split, row, audio in marble_rows(folder, "HookTheoryKey", KEY_DOWNLOAD)
    ]


def load_structure(folder: Path) -> Sequence[Item]:
    """Clips of HookTheory with their section. Raises TaskError."""
    return [
        _item(audio, split, row, class_number(row, _section(row), NUMBERS))
        for split, row, audio in marble_rows(folder, "HookTheoryStructure", STRUCTURE_DOWNLOAD)
    ]


def _key(row: Row) -> int:
    try:
        return key_number(row.text("label"))
    except ValueError as error:
        raise row.broken(f"has an unknown label: {error}") from None


def _section(row: Row) -> str:
    """Sections that follow each other within a clip are joined, as in MARBLE's table."""
    return "_".join(str(name) for name in row.entries("label"))


def _item(audio: Path, split: Split, row: Row, label: int) -> Item:
    """The song is its video; where that is missing, a clip stands for itself."""
    song = row.values.get("ori_uid")
    return Item(audio, split, label, track=audio.stem, group=f"video {song}" if song else audio.stem)


HOOKTHEORY_KEY = Task(
    name="hooktheory_key",
    title="HookTheory key",
    kind=Classes(KEYS),
    metrics=("key_score", "accuracy"),
    clips=ClipRule(seconds=15.0, min_ratio=0.8, channel="mean"),
    licence="unknown; audio of videos under copyright",
    size="9,429 clips to train, 920 to validate, 1,084 to test",
    split_source="MARBLE's lists, after SheetSage's split",
    faults=(
        "Written by users of a web site; only the first key of a clip, if it is major or minor. Songs may "
        "stand on two sides of the published split. MARBLE draws a channel at random in training; here "
        "channels are averaged."
    ),
    download=KEY_DOWNLOAD,
    source="Donahue et al., SheetSage, arXiv:2212.01884; protocol: MARBLE v2, arXiv:2306.10548",
    load=load_key,
    folders=("HookTheory", "Hooktheory", "hooktheory"),
)

HOOKTHEORY_STRUCTURE = Task(
    name="hooktheory_structure",
    title="HookTheory structure",
    kind=Classes(SECTIONS),
    metrics=("accuracy",),
    clips=ClipRule(seconds=15.0, min_ratio=0.8, channel="mean"),
    licence="unknown; audio of videos under copyright",
    size="9,498 clips to train, 927 to validate, 1,090 to test",
    split_source="MARBLE's lists, after SheetSage's split",
    faults=(
        "Written by users of a web site. Songs may stand on two sides of the published split. MARBLE's "
        "length of clips is unknown: 15 s, as for its key."
    ),
    download=STRUCTURE_DOWNLOAD,
    source="Donahue et al., SheetSage, arXiv:2212.01884; protocol: MARBLE v2, arXiv:2306.10548",
    load=load_structure,
    folders=HOOKTHEORY_KEY.folders,
)
