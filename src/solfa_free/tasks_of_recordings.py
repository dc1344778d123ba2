"""The free benchmark's tasks on real recordings, which ``solfa data render free`` cuts out of packages.

Drums are split by kit, sounds and scenes by package. The game of a track is split by track: what tells
games apart are their composers, instruments and mixes, and these stand on all sides.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from solfa.data.scenes import SCENES
from solfa.tasks.base import SPLITS, ClipRule, Item, Label, Split, Task
from solfa.tasks.kinds import Classes, LabelKind, Tags
from solfa.tasks.reading import Row, class_number, find_audio, numbered, tag_numbers
from solfa_free.real_sounds import DRUMS, GAMES, SOUNDS
from solfa_free.tasks_of_renderings import DOWNLOAD, check_splits, corpus_rows, free_version

Tagged = dict[str, str]
Labelled = tuple[Label, Split, str]  # a label, where it stands, and what must not stand elsewhere


def _loader(corpus: str, label: Callable[[Row, Tagged], Labelled | None]) -> Callable[[Path], list[Item]]:
    """Items of a corpus, with what ``label`` reads out of a line and its tags."""

    def load(folder: Path) -> list[Item]:
        items = []
        for row, tags in corpus_rows(folder, corpus):
            labelled = label(row, tags)
            if labelled is not None:
                value, split, group = labelled
                audio = find_audio([row.file.parent / row.text("path")], row)
                items.append(
                    Item(audio, split, value, row.text("piece"), group, content=row.text("content_hash"))
                )
        return check_splits(items, folder)

    return load


def _kind(names: tuple[str, ...]) -> Callable[[Row, Tagged], Labelled]:
    numbers = numbered(names)

    def label(row: Row, tags: Tagged) -> Labelled:
        return class_number(row, tags.get("kind"), numbers), _split(row, row.text("split")), row.text("group")

    return label


def _scenes(row: Row, tags: Tagged) -> Labelled | None:
    names = [name for name in str(tags.get("scenes", "")).split(",") if name]
    if not names:
        return None
    return tag_numbers(row, names, numbered(tuple(SCENES))), _split(row, row.text("split")), row.text("group")


def _game(row: Row, tags: Tagged) -> Labelled | None:
    if not tags.get("turn"):
        return None
    return class_number(row, tags.get("game"), numbered(GAMES)), _split(row, tags["turn"]), row.text("piece")


def _split(row: Row, name: str) -> Split:
    for split in SPLITS:
        if split == name:
            return split
    raise row.broken(f"has the split {name!r}", f"Known: {', '.join(SPLITS)}. Make its folder again.")


def _task(
    name: str,
    title: str,
    kind: LabelKind[Any],
    metrics: tuple[str, ...],
    load: Callable[[Path], list[Item]],
    *,
    split: str,
    faults: str,
    clip_seconds: float = 30.0,
) -> Task:
    return Task(
        name=f"free_{name}",
        title=f"Free benchmark: {title}",
        kind=kind,
        metrics=metrics,
        clips=ClipRule(seconds=clip_seconds, min_ratio=0.1),
        licence="GPL, CC-BY-SA, CC-BY, CC0 and MIT by package: labels.jsonl names package and licence",
        size="as much as was cut; the version is a hash over audio and labels",
        split_source=f"{split}. Ours",
        faults=faults,
        download=DOWNLOAD,
        source="solfa; recordings of Debian's packages, which labels.jsonl names",
        load=load,
        version=free_version,
        folders=("free",),
    )


REAL_TASKS = (
    _task("drums", "kind of a drum", Classes(tuple(DRUMS)), ("accuracy",),
          _loader("drums", _kind(tuple(DRUMS))), clip_seconds=2.0, split="by kit",
          faults="Kinds are names of files. A drum struck at several strengths counts as several."),
    _task("sounds", "music, voice or effect", Classes(SOUNDS), ("accuracy",),
          _loader("sounds", _kind(SOUNDS)), clip_seconds=4.0, split="by package",
          faults="Kinds are names of folders. Voices of few packages, one of them in each split."),
    _task("game", "game of a track", Classes(GAMES), ("accuracy",), _loader("tracks", _game),
          split="by track",
          faults="Composer, mix and sound of a game stand on all sides. Encoders trained on solfa data "
          "free-music have heard most of the tracks, without their labels."),
    _task("scene", "scene of a track", Tags(tuple(SCENES)), ("roc_auc", "pr_auc"), _loader("tracks", _scenes),
          split="by package",
          faults="Silver: a scene is a word in a track's name or folder, heard by nobody; what is not named "
          "counts as absent. Few tracks. Encoders trained on solfa data free-music have heard many of them, "
          "without their labels."),
)  # fmt: skip
