"""GiantSteps: keys of electronic dance music; trained on GiantSteps-MTG, tested on GiantSteps."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Split, Task, TaskError
from solfa.tasks.harmony import KEYS, key_number
from solfa.tasks.kinds import Classes
from solfa.tasks.reading import Row, draw, find_audio, has_marble, marble_rows, read_table, read_text

TRAINING, TESTING = "giantsteps-mtg-key-dataset", "giantsteps-key-dataset"
TRAIN_ARTISTS, ALL_ARTISTS = 100, 116  # of so many draws, these train
SURE = 2  # confidence of the annotator: 0, 1 or 2
DOWNLOAD = (
    "Put MARBLE's data set 'm-a-p/GS' (Hugging Face) into data/GS: GS.{train,val,test}.jsonl and "
    "giantsteps_clips/. Or clone github.com/GiantSteps/giantsteps-key-dataset and "
    "giantsteps-mtg-key-dataset into data/GS, and let their scripts fetch the audio into their audio/."
)


def load(folder: Path) -> Sequence[Item]:
    """Items of GiantSteps, from MARBLE's lists or the two published folders. Raises TaskError."""
    clones = [_clone(folder, name) for name in (TRAINING, TESTING)]
    if all(clones) and not has_marble(folder, "GS"):
        training, testing = (clone for clone in clones if clone is not None)
        return [*_load_training(training), *_load_testing(testing)]
    return [
        _item(audio, split, _key(row, row.text("label")), row.text("ori_uid"), row.text("ori_uid"))
        for split, row, audio in marble_rows(folder, "GS", DOWNLOAD)
    ]


def split_by_artist(artists_of_tracks: Iterable[Sequence[str]]) -> dict[str, Split]:
    """Split of every artist, given the artists of every track.

    An artist is drawn by name; who worked with an artist that validates, validates too, over two steps.

    Source:
        jukemir, arXiv:2107.05677, whose split MARBLE uses.
    """
    tracks = list(artists_of_tracks)
    names = {artist for artists in tracks for artist in artists}
    validating = {name for name in names if draw(name.lower(), ALL_ARTISTS) >= TRAIN_ARTISTS}
    for _ in range(2):
        for artists in tracks:
            if validating.intersection(artists):
                validating.update(artists)
    return {name: "valid" if name in validating else "train" for name in names}


def _clone(folder: Path, name: str) -> Path | None:
    """A clone, or an unpacked archive with the commit in its name."""
    return next((path for path in sorted(folder.glob(f"{name}*")) if path.is_dir()), None)


def _load_training(clone: Path) -> list[Item]:
    tables = clone / "annotations"
    metadata = read_table(tables / "beatport_metadata.txt", DOWNLOAD, ("ID", "ARTIST"), delimiter="\t")
    artists = {
        row.text("ID"): [name.strip() for name in row.text("ARTIST").split(",") if name.strip()]
        for row in metadata
    }
    splits = split_by_artist(artists.values())
    items = []
    for row in read_table(tables / "annotations.txt", DOWNLOAD, ("ID", "MANUAL KEY", "C"), delimiter="\t"):
        key, uid = row.text("MANUAL KEY"), row.text("ID")
        if row.number("C") != SURE or "/" in key:
            continue
        if not artists.get(uid):
            raise row.broken(f"has an ID {uid} whose artist {tables / 'beatport_metadata.txt'} does not name")
        audio = find_audio([clone / "audio" / f"{uid}.LOFI.mp3"], row)
        first = artists[uid][0]
        items.append(_item(audio, splits[first], _key(row, key), uid, first.lower()))
    return items


def _load_testing(clone: Path) -> list[Item]:
    items = []
    for path in sorted((clone / "annotations" / "key").glob("*.key")):
        row = Row({"key": read_text(path, DOWNLOAD)}, path, 1)
        audio = find_audio([clone / "audio" / f"{path.stem}.mp3"], row)
        uid = path.name.split(".")[0]
        items.append(_item(audio, "test", _key(row, row.text("key")), uid, f"track {uid}"))
    if not items:
        raise TaskError(f"{clone / 'annotations' / 'key'} holds no keys. {DOWNLOAD}")
    return items


def _key(row: Row, name: str) -> int:
    try:
        return key_number(name)
    except ValueError as error:
        raise row.broken(f"has an unknown label: {error}") from None


def _item(audio: Path, split: Split, label: int, track: str, group: str) -> Item:
    return Item(audio, split, label, track=track, group=group)


GIANTSTEPS_KEY = Task(
    name="giantsteps_key",
    title="GiantSteps key",
    kind=Classes(KEYS),
    metrics=("key_score", "accuracy"),
    clips=ClipRule(seconds=30.0, min_ratio=0.8, channel="first"),
    licence="annotations unknown; audio: previews of Beatport under copyright",
    size="604 tracks of 2 min to test; 1,077 of GiantSteps-MTG to train and validate",
    split_source="jukemir's: GiantSteps-MTG by artist, 100 draws of 116 to train, the rest to validate",
    faults=(
        "Of GiantSteps-MTG only sure, single keys are used. MARBLE's lists and GiantSteps do not name "
        "artists: there a group is a track. MARBLE v1 chooses among four ways to merge clips on validation; "
        "here logits are averaged. Whole tracks keep a last clip of 24 s or more, which MARBLE's clips lack."
    ),
    download=DOWNLOAD,
    source=(
        "Knees et al., Two data sets for tempo estimation and key detection in electronic dance music, ISMIR "
        "2015; split: Castellon et al., arXiv:2107.05677; protocol: MARBLE, arXiv:2306.10548"
    ),
    load=load,
    folders=("GS", "GiantSteps", "giantsteps"),
)
