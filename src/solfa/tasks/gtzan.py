"""GTZAN: genre of 30-second excerpts, and their beats and downbeats."""

from collections.abc import Sequence
from pathlib import Path

from solfa.tasks.base import ClipRule, Item, Split, Task, TaskError
from solfa.tasks.kinds import Classes, FrameEvents
from solfa.tasks.reading import (
    Row,
    class_number,
    find_audio,
    has_marble,
    marble_rows,
    numbered,
    read_text,
)

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
EVENTS = ("beat", "downbeat")
BROKEN = "jazz.00054"  # cannot be decoded
FILTERED: dict[Split, str] = {
    "train": "train_filtered.txt",
    "valid": "valid_filtered.txt",
    "test": "test_filtered.txt",
}
AUDIO_FOLDERS = ("genres", "genres_original", "Data/genres_original", ".")

GENRE_DOWNLOAD = (
    "Put MARBLE's data set 'm-a-p/GTZAN' (Hugging Face) into data/GTZAN: GTZANGenre.{train,val,test}.jsonl "
    "and genres/. Or GTZAN's own folders as genres/blues/blues.00000.wav ..., and beside them the "
    "fault-filtered lists train_filtered.txt, valid_filtered.txt and test_filtered.txt "
    "(github.com/coreyker/dnn-mgr, gtzan/)."
)
BEATS_DOWNLOAD = (
    "Put MARBLE's data set 'm-a-p/GTZAN' (Hugging Face) into data/GTZAN: "
    "GTZANBeatTracking.{train,val,test}.jsonl and genres/. GTZAN-Rhythm's own files are not read."
)


def load_genre(folder: Path) -> Sequence[Item]:
    """Items of GTZAN's genres, from MARBLE's lists or the fault-filtered ones. Raises TaskError."""
    numbers = numbered(GENRES)
    if has_marble(folder, "GTZANGenre") or not any((folder / name).exists() for name in FILTERED.values()):
        return [
            _item(audio, split, class_number(row, row.values.get("label"), numbers))
            for split, row, audio in marble_rows(folder, "GTZANGenre", GENRE_DOWNLOAD)
        ]
    return [
        _item(audio, split, class_number(row, Path(row.text("path")).name.split(".")[0], numbers))
        for split, name in FILTERED.items()
        for row in _filtered_rows(folder / name)
        for audio in [find_audio([folder / place / row.text("path") for place in AUDIO_FOLDERS], row)]
    ]


def load_beats(folder: Path) -> Sequence[Item]:
    """Items of GTZAN with the seconds of their beats and downbeats. Raises TaskError."""
    items = []
    for split, row, audio in marble_rows(folder, "GTZANBeatTracking", BEATS_DOWNLOAD):
        label = row.values.get("label")
        if not isinstance(label, dict):
            raise row.broken(f"has no beats under 'label', but {label!r}")
        events = Row(label, row.file, row.line)
        seconds = tuple(
            tuple(sorted(events.as_number(second, f"in '{name}'") for second in events.entries(name)))
            for name in EVENTS
        )
        items.append(_item(audio, split, seconds))
    return items


def _item(audio: Path, split: Split, label: int | tuple[tuple[float, ...], ...]) -> Item:
    return Item(audio, split, label, track=audio.stem, group=audio.stem)


def _filtered_rows(path: Path) -> list[Row]:
    """The lines of a fault-filtered list, without the file that cannot be decoded."""
    lines = read_text(path, GENRE_DOWNLOAD).split("\n")
    rows = [Row({"path": text.strip()}, path, n) for n, text in enumerate(lines, start=1) if text.strip()]
    if not rows:
        raise TaskError(f"{path} holds no lines. {GENRE_DOWNLOAD}")
    return [row for row in rows if BROKEN not in row.text("path")]


GTZAN_GENRE = Task(
    name="gtzan_genre",
    title="GTZAN genre",
    kind=Classes(GENRES),
    metrics=("accuracy",),
    clips=ClipRule(seconds=30.2, min_ratio=0.8, channel="first"),
    licence="unknown; recordings under copyright",
    size="930 of 1,000 excerpts of 30 s: 443 to train, 197 to validate, 290 to test",
    split_source="fault-filtered split of Kereliuk et al., 2015; MARBLE's lists",
    faults=(
        "The unfiltered set has repetitions, distortions and wrong labels (Sturm, 2013); the lists leave "
        "those out, and jazz.00054, which is broken. Artists are not named in the lists: a group is an "
        "excerpt. 290 excerpts to test: one is worth 0.34 points. Files last 30.01 s: each clip is padded."
    ),
    download=GENRE_DOWNLOAD,
    source=(
        "Tzanetakis & Cook, Musical genre classification of audio signals, 2002; split: Kereliuk et al., "
        "Deep Learning and Music Adversaries, 2015; protocol: MARBLE, arXiv:2306.10548"
    ),
    load=load_genre,
    averages="probabilities",
    folders=("GTZAN", "gtzan"),
)

GTZAN_BEATS = Task(
    name="gtzan_beats",
    title="GTZAN beats and downbeats",
    kind=FrameEvents(EVENTS),
    metrics=("beat_f1", "downbeat_f1"),
    clips=ClipRule(seconds=10.0, min_ratio=0.8, channel="first"),
    licence="unknown; recordings under copyright",
    size="excerpts of 30 s; as GTZAN genre",
    split_source="as GTZAN genre; MARBLE's lists",
    faults=(
        "MARBLE's paper says a tolerance of 20 ms, its code 70 ms; MARBLE v2 decodes downbeats with the "
        "range of tempi of beats. Artists are not named in the lists: a group is an excerpt."
    ),
    download=BEATS_DOWNLOAD,
    source=(
        "Marchand & Peeters, Swing ratio estimation (GTZAN-Rhythm), 2015; protocol: MARBLE, arXiv:2306.10548"
    ),
    load=load_beats,
    folders=("GTZAN", "gtzan"),
)
