"""A user's own labels: a CSV of paths and labels -> items; every error names line and cure.

    path,label
    audio/one.mp3,rock
    audio/two.mp3,jazz

Paths are relative to the table, which ``csv_table`` reads as most programs write it. Labels parted by ``;``
(in quotation marks where that parts the columns) are tags, of which a file may have any number. A
column ``split`` (train, valid, test) divides the files; without it about every fifth group is valid, by a
draw from its name. Files with the same word in a column ``group`` stay together; else each is its own group.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from solfa.tasks.base import SPLITS, Item, Split, TaskError
from solfa.tasks.csv_table import Table, read_csv_table
from solfa.tasks.kinds import Classes, Tags
from solfa.tasks.reading import Row, draw

SEPARATOR = ";"
VALID_ONE_IN = 5  # groups
CURE = "Write a table whose first line is path,label and has a line for each file."


@dataclass(frozen=True)
class LabelledFiles:
    """Files with classes or tags."""

    kind: Classes | Tags
    items: tuple[Item, ...]


@dataclass(frozen=True)
class _Line:
    row: Row
    name: str  # the path as it is written, so that the draw is the same wherever the folder lies
    path: Path
    labels: tuple[str, ...]
    group: str


def read_labelled_files(table: Path) -> LabelledFiles:
    """The files of a table, with their labels and splits.

    Raises:
        TaskError: no table, a column that is missing, a file that is not there or named twice, a split of
            another name, labels that differ only by case, fewer than two, or one that is not learned because
            no file in train has it.
    """
    read = read_csv_table(table, ("path", "label"), CURE)
    is_tags = any(SEPARATOR in str(row.values.get("label")) for row in read.rows)
    lines = [_line(row, table.parent, read, is_tags) for row in read.rows]
    _refuse_twice(lines)
    _refuse_alike(table, lines)
    names = sorted({label for line in lines for label in line.labels})
    if len(names) < 2:
        raise TaskError(
            f"{table}, lines {lines[0].row.line} to {lines[-1].row.line}: all have the label {names[0]!r}. "
            "Add files with another label: there is nothing to tell apart."
        )
    splits = _splits(lines)
    _refuse_unlearned(lines, splits)
    numbers = {name: number for number, name in enumerate(names)}
    items = tuple(
        Item(
            line.path, split,
            tuple(sorted(numbers[label] for label in line.labels)) if is_tags else numbers[line.labels[0]],
            track=line.name, group=line.group,
        )
        for line, split in zip(lines, splits, strict=True)
    )  # fmt: skip
    return LabelledFiles(Tags(tuple(names)) if is_tags else Classes(tuple(names)), items)


def _line(row: Row, folder: Path, table: Table, is_tags: bool) -> _Line:
    name, text = row.text("path"), row.text("label")
    path = next((folder / n for n in table.names_on_disk(name) if (folder / n).is_file()), None)
    if path is None:
        raise row.broken(
            f"names the file {name}, which is not in {folder}", "Correct the path, or delete this line."
        )
    labels = [_plain(part) for part in (text.split(SEPARATOR) if is_tags else [text])]
    labels = list(dict.fromkeys(label for label in labels if label))
    if not labels:
        raise row.broken("has no label", "Write one, or delete this line.")
    return _Line(row, name, path, tuple(labels), str(row.values.get("group") or name))


def _refuse_twice(lines: Sequence[_Line]) -> None:
    seen: dict[Path, int] = {}
    for line in lines:
        if line.path in seen:
            raise line.row.broken(
                f"names {line.name} again, after line {seen[line.path]}",
                f"Delete one of them. Several labels of a file are written as one, parted by {SEPARATOR!r}.",
            )
        seen[line.path] = line.row.line


def _plain(label: str) -> str:
    """A label whose blanks are single ones, and whose accents are one with their letters."""
    return unicodedata.normalize("NFC", " ".join(label.split()))


def _refuse_alike(table: Path, lines: Sequence[_Line]) -> None:
    """Labels that differ only by case may be one or, as keys in major and minor, two: only the user knows."""
    seen: dict[str, tuple[str, int]] = {}
    for line in lines:
        for label in line.labels:
            first, number = seen.setdefault(label.casefold(), (label, line.row.line))
            if first != label:
                raise TaskError(
                    f"{table}, lines {number} and {line.row.line}: the labels {first!r} and {label!r} differ "
                    "only by case. Write them alike if they are one label, and else give them names that "
                    "differ more, as 'A major' and 'A minor'."
                )


def _splits(lines: Sequence[_Line]) -> list[Split]:
    """Those of the column, or drawn ones."""
    if "split" in lines[0].row.values:
        return [_named_split(line.row) for line in lines]
    valid = {line.group for line in lines if draw(line.group, VALID_ONE_IN) == 0}
    groups_of = defaultdict(set)
    for line in lines:
        for label in line.labels:
            groups_of[label].add(line.group)
    for groups in groups_of.values():
        if groups <= valid:  # nobody could learn the label
            valid -= groups
    return ["valid" if line.group in valid else "train" for line in lines]


def _named_split(row: Row) -> Split:
    name = row.text("split")
    for split in SPLITS:
        if name.lower() == split or (split == "valid" and name.lower() in ("val", "validation")):
            return split
    raise row.broken(f"has the split {name!r}", f"Write one of {', '.join(SPLITS)}.")


def _refuse_unlearned(lines: Sequence[_Line], splits: Sequence[Split]) -> None:
    learned = {
        label for line, split in zip(lines, splits, strict=True) if split == "train" for label in line.labels
    }
    for line, split in zip(lines, splits, strict=True):
        for label in line.labels:
            if label not in learned:
                raise line.row.broken(
                    f"is {split} and has the label {label!r}, which no file in train has",
                    "Put a file with that label into train, or delete this line.",
                )
