"""VocalSet: singing technique, and singer, of short solo recordings."""

from collections.abc import Sequence
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Split, Task, TaskError
from solfa.tasks.kinds import Classes
from solfa.tasks.reading import AUDIO_SUFFIXES, draw

TECHNIQUES = (
    *("belt", "breathy", "inhaled", "lip_trill", "spoken", "straight"),
    *("trill", "trillo", "vibrato", "vocal_fry"),
)
SINGERS = (*(f"f{n}" for n in range(1, 10)), *(f"m{n}" for n in range(1, 12)))
TEST_SINGERS = ("f2", "f8", "m3", "m5", "m10")
VALID_SINGERS = ("f9", "m11")  # the last of each sex: the set names none to validate on
SPLITS_OF_RECORDING: tuple[Split, ...] = (*("train",) * 8, "valid", "test")  # by draw
PLACES = ("FULL", "*/FULL", "data_by_singer", "*/data_by_singer")
DOWNLOAD = (
    "Unpack VocalSet (zenodo.org/records/1193957, version 1.2) into data/VocalSet, so that "
    "data/VocalSet/FULL/female1/arpeggios/belt/*.wav is there. MARBLE v2 has no files for this task."
)


def load_technique(folder: Path) -> Sequence[Item]:
    """Items of VocalSet with one of ten techniques, named by their folder. Raises TaskError."""
    items = []
    for singer, name, path in _recordings(folder):
        technique = path.parent.name
        if technique in TECHNIQUES:
            label = TECHNIQUES.index(technique)
            items.append(Item(path, _split(singer), label, track=name, group=singer))
    if not items:
        raise TaskError(f"{folder} has no folder of a technique ({', '.join(TECHNIQUES)}). {DOWNLOAD}")
    return items


def load_singer(folder: Path) -> Sequence[Item]:
    """Items of VocalSet with their singer. Raises TaskError."""
    return [
        Item(
            path,
            SPLITS_OF_RECORDING[draw(name, len(SPLITS_OF_RECORDING))],
            SINGERS.index(singer),
            track=name,
            group=name,
        )
        for singer, name, path in _recordings(folder)
    ]


def _recordings(folder: Path) -> list[tuple[str, str, Path]]:
    """Singer, name and file of every recording, once: the set holds each under several folders."""
    place = next((place for pattern in PLACES for place in sorted(folder.glob(pattern))), None)
    if place is None:
        raise TaskError(f"{folder / 'FULL'} is missing. {DOWNLOAD}")
    found = []
    for home in sorted(path for path in place.iterdir() if path.is_dir() and path.name[0] != "."):
        singer = home.name.replace("female", "f").replace("male", "m")
        if singer not in SINGERS:
            raise TaskError(
                f"{home} is the folder of no known singer. Rename it to one of female1 to female9 and male1 "
                "to male11, or take it away."
            )
        found += [
            (singer, path.relative_to(place).with_suffix("").as_posix(), path)
            for path in sorted(home.rglob("*"))
            if path.suffix.lower() in AUDIO_SUFFIXES and path.name[0] != "."
        ]
    if not found:
        raise TaskError(f"{place} holds no recordings. {DOWNLOAD}")
    return found


def _split(singer: str) -> Split:
    if singer in TEST_SINGERS:
        return "test"
    return "valid" if singer in VALID_SINGERS else "train"


VOCALSET_TECHNIQUE = Task(
    name="vocalset_technique",
    title="VocalSet technique",
    kind=Classes(TECHNIQUES),
    metrics=("accuracy",),
    clips=ClipRule(seconds=3.0, min_ratio=0.1, channel="first"),
    licence="CC BY 4.0",
    size="20 singers, 10.1 h, of which the recordings in one of 10 techniques",
    split_source="singers f2, f8, m3, m5 and m10 to test (the set's own); f9 and m11 to validate (ours)",
    faults=(
        "The published protocol cuts pieces of 3 s after removing silence by a detector of voice; here "
        "recordings are cut into 3 s as they are, and a remainder of 0.3 s counts, so that none is lost. "
        "MARBLE's singers to validate on are unknown. Not strictly comparable with published rows."
    ),
    download=DOWNLOAD,
    source="Wilkins et al., VocalSet, ISMIR 2018; protocol: MARBLE v1, arXiv:2306.10548",
    load=load_technique,
    folders=("VocalSet", "vocalset", "VocalSet1-2"),
)

VOCALSET_SINGER = Task(
    name="vocalset_singer",
    title="VocalSet singer",
    kind=Classes(SINGERS),
    metrics=("accuracy",),
    clips=ClipRule(seconds=3.0, min_ratio=0.1, channel="first"),
    licence="CC BY 4.0",
    size="20 singers, 10.1 h",
    split_source="recordings by the hash of their path, 8 : 1 : 1 (ours)",
    faults=(
        "MARBLE splits by a random draw (seed 42617) that cannot be repeated from what is published; here a "
        "recording stays whole, but the same passage in another technique may stand on another side, as "
        "there. Silence is not removed. Not strictly comparable with published rows."
    ),
    download=DOWNLOAD,
    source="Wilkins et al., VocalSet, ISMIR 2018; protocol: MARBLE v1, arXiv:2306.10548",
    load=load_singer,
    folders=VOCALSET_TECHNIQUE.folders,
)
