"""MagnaTagATune: the 50 most frequent tags of 29-second clips."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from solfa.tasks.base import ClipRule, Item, Split, Task
from solfa.tasks.kinds import Tags
from solfa.tasks.reading import find_audio, has_marble, marble_rows, numbered, read_table, tag_numbers

TAGS = (  # in MARBLE's order: by frequency
    "guitar classical slow techno strings drums electronic rock fast piano ambient beat violin vocal synth "
    "female indian opera male singing vocals no_vocals harpsichord loud quiet flute woman male_vocal "
    "no_vocal pop soft sitar solo man classic choir voice new_age dance male_voice female_vocal beats harp "
    "cello no_voice weird country metal female_voice choral"
)
NAMES = tuple(tag.replace("_", " ") for tag in TAGS.split())
VALID, TEST = "c", "def"  # first letter of a folder; 0 to b is for training
BROKEN = (  # published with no content
    "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
    "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
    "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-le_petit_rien_xiveme_ordre_couperin-88-117.mp3",
)
DOWNLOAD = (
    "Put MARBLE's data set 'm-a-p/MTT' (Hugging Face) into data/MTT: MTT.{train,val,test}.jsonl and mp3/. Or "
    "the data set's own annotations_final.csv and the folders 0 to f of its mp3.zip as mp3/ "
    "(mirg.city.ac.uk/codeapps/the-magnatagatune-dataset)."
)


def load(folder: Path) -> Sequence[Item]:
    """Items of MagnaTagATune, from MARBLE's lists or its own table. Raises TaskError."""
    table = folder / "annotations_final.csv"
    if table.exists() and not has_marble(folder, "MTT"):
        return _load_published(folder, table)
    numbers = numbered(NAMES)
    return [
        _item(audio, split, tag_numbers(row, row.entries("label"), numbers))
        for split, row, audio in marble_rows(folder, "MTT", DOWNLOAD)
    ]


def _load_published(folder: Path, table: Path) -> list[Item]:
    items = []
    for row in read_table(table, DOWNLOAD, (*NAMES, "mp3_path"), delimiter="\t"):
        place = row.text("mp3_path")
        if place not in BROKEN:
            label = tuple(number for number, name in enumerate(NAMES) if row.number(name))
            audio = find_audio([folder / "mp3" / place, folder / place], row)
            items.append(_item(audio, _split(PurePosixPath(place).parts[0]), label))
    return items


def _split(folder: str) -> Split:
    if folder in TEST:
        return "test"
    return "valid" if folder == VALID else "train"


def _item(audio: Path, split: Split, label: tuple[int, ...]) -> Item:
    """Clips of a song differ in the two numbers of seconds at the end of their names."""
    return Item(audio, split, label, track=audio.stem, group=audio.stem.rsplit("-", 2)[0])


MAGNATAGATUNE = Task(
    name="magnatagatune",
    title="MagnaTagATune tagging",
    kind=Tags(NAMES),
    metrics=("roc_auc", "pr_auc"),
    clips=ClipRule(seconds=30.0, min_ratio=0.8, channel="mean"),
    licence="audio of Magnatune, for non-commercial use; annotations unknown",
    size="25,863 clips of 29 s; 188 tags, of which the 50 most frequent",
    split_source="folders 0-b to train, c to validate, d-f to test (12 : 1 : 3); untagged clips are kept",
    faults=(
        "Tags are synonyms of each other ('vocal', 'vocals', 'voice') and were left out by players. Artists, "
        "and perhaps clips of one song, stand on both sides: the folders are the published split. Three mp3 "
        "files have no content. Without the untagged clips (as MusicFM and OMAR-RQ have it) scores are "
        "higher and cannot be compared."
    ),
    download=DOWNLOAD,
    source=(
        "Law et al., Evaluation of algorithms using games, ISMIR 2009; protocol: MARBLE, arXiv:2306.10548"
    ),
    load=load,
    folders=("MTT", "MagnaTagATune", "magnatagatune"),
)
