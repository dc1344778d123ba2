"""EmoMusic: valence and arousal of 45-second excerpts."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Split, Task
from solfa.tasks.kinds import Numbers
from solfa.tasks.reading import Row, draw, find_audio, has_marble, marble_rows, read_table

NAMES = ("arousal", "valence")
TRAIN_ARTISTS, ALL_ARTISTS = 8, 10  # of so many draws, these train
DOWNLOAD = (
    "Put MARBLE's data set 'm-a-p/EMO' (Hugging Face) into data/EMO: EMO.{train,val,test}.jsonl and "
    "emomusic/. Or the data set's own songs_info.csv and static_annotations.csv (also below annotations/) "
    "and clips_45seconds/ (cvml.unige.ch/databases/emoMusic)."
)


def load(folder: Path) -> Sequence[Item]:
    """Items of EmoMusic, from MARBLE's lists or its own tables. Raises TaskError."""
    tables = next(
        (place for place in (folder, folder / "annotations") if (place / "songs_info.csv").exists()), None
    )
    if tables is not None and not has_marble(folder, "EMO"):
        return _load_published(folder, tables)
    items = []
    for split, row, audio in marble_rows(folder, "EMO", DOWNLOAD):
        label = tuple(row.as_number(value, "in 'label'") for value in row.entries("label"))
        if len(label) != len(NAMES):
            raise row.broken(f"has {len(label)} numbers under 'label' where {' and '.join(NAMES)} are meant")
        items.append(Item(audio, split, label, track=audio.stem, group=audio.stem))
    return items


def _load_published(folder: Path, tables: Path) -> list[Item]:
    """Labels as deviations from the mean of the development set, as in MARBLE."""
    songs = read_table(
        tables / "songs_info.csv", DOWNLOAD, ("song_id", "Artist", "Song title", "Mediaeval 2013 set")
    )
    raw = {
        round(row.number("song_id")): (row.number("mean_arousal"), row.number("mean_valence"))
        for row in read_table(
            tables / "static_annotations.csv", DOWNLOAD, ("song_id", "mean_arousal", "mean_valence")
        )
    }
    for row in songs:
        if round(row.number("song_id")) not in raw:
            raise row.broken(
                f"has a song {row.text('song_id')} that {tables / 'static_annotations.csv'} does not rate"
            )
    developed = [raw[round(row.number("song_id"))] for row in songs if not _is_evaluation(row)]
    means = [statistics.fmean(values) for values in zip(*developed, strict=True)]
    deviations = [statistics.pstdev(values) or 1.0 for values in zip(*developed, strict=True)]
    items = []
    for row in songs:
        uid = round(row.number("song_id"))
        label = tuple((v - m) / d for v, m, d in zip(raw[uid], means, deviations, strict=True))
        audio = find_audio([folder / "clips_45seconds" / f"{uid}.mp3", folder / f"{uid}.mp3"], row)
        artist = plain_artist(row.text("Artist"))
        items.append(Item(audio, _split(row, artist), label, track=str(uid), group=f"artist {artist}"))
    return items


def plain_artist(name: str) -> str:
    """A name as jukemir hashes it: ASCII letters in lower case, and single spaces."""
    kept = "".join(c for c in name.lower() if c.isascii() and (c.isalpha() or c.isspace()))
    return " ".join(kept.split())


def _is_evaluation(row: Row) -> bool:
    return row.text("Mediaeval 2013 set") == "evaluation"


def _split(row: Row, artist: str) -> Split:
    if _is_evaluation(row):
        return "test"
    return "train" if draw(artist, ALL_ARTISTS) < TRAIN_ARTISTS else "valid"


EMOMUSIC = Task(
    name="emomusic",
    title="EmoMusic arousal and valence",
    kind=Numbers(NAMES),
    metrics=("r2",),
    clips=ClipRule(seconds=15.0, min_ratio=0.8, channel="first"),
    licence="audio of the Free Music Archive under various Creative Commons licences; annotations unknown",
    size="744 excerpts of 45 s",
    split_source="test: the evaluation set of MediaEval 2013; train and validate by artist, 8 draws of 10",
    faults=(
        "The published split may have artists on both sides of development and evaluation; MARBLE's lists do "
        "not name artists: there a group is an excerpt. MARBLE v1 cuts the first 30 s into clips of 5 s, v2 "
        "all into 15 s, as here."
    ),
    download=DOWNLOAD,
    source=(
        "Soleymani et al., 1000 songs for emotional analysis of music, 2013; split: Castellon et al., "
        "arXiv:2107.05677; protocol: MARBLE, arXiv:2306.10548"
    ),
    load=load,
    folders=("EMO", "EmoMusic", "emomusic", "1000Songs"),
)
