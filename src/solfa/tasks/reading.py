"""What the tasks share: lists, tables and audio paths; every error names file, line and cure."""

import csv
import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solfa.tasks.base import Split, TaskError

MARBLE_NAMES: dict[Split, str] = {"train": "train", "valid": "val", "test": "test"}
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".au")
CURE = "Correct or delete this line, or fetch the file again."


@dataclass(frozen=True)
class Row:
    """A line of a list or a table, and where it stands."""

    values: dict[str, Any]
    file: Path
    line: int

    def text(self, name: str) -> str:
        """The text under ``name``; TaskError if there is none."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.broken(f"has no text under '{name}', but {value!r}")
        return value.strip()

    def number(self, name: str) -> float:
        """The finite number under ``name``, also if it is written as text; TaskError if there is none."""
        return self.as_number(self.values.get(name), f"under '{name}'")

    def as_number(self, value: Any, where: str) -> float:
        """``value`` as a finite number; TaskError if it is none."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise self.broken(f"has no number {where}, but {value!r}")
        return number

    def entries(self, name: str) -> list[Any]:
        """The list under ``name``; TaskError if there is none."""
        value = self.values.get(name)
        if not isinstance(value, list):
            raise self.broken(f"has no list under '{name}', but {value!r}")
        return value

    def broken(self, what: str, cure: str = CURE) -> TaskError:
        """The error that this line ``what``."""
        return TaskError(f"{self.file}, line {self.line}: {what}. {cure}")


def read_text(path: Path, download: str) -> str:
    """The text of a file; TaskError with ``download`` as the cure if it is not there."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except FileNotFoundError:
        raise TaskError(f"{path} is missing. {download}") from None
    except OSError as error:
        raise TaskError(
            f"{path} cannot be read ({error}). Check its rights, or fetch it again. {download}"
        ) from None


def read_json_lines(path: Path, download: str) -> list[Row]:
    """One row for every JSON object of a list. Raises TaskError at the first broken line."""
    rows = []
    for line, text in enumerate(read_text(path, download).split("\n"), start=1):
        if text.strip():
            try:
                values = json.loads(text)
            except (ValueError, RecursionError) as error:
                why = getattr(error, "msg", "numbers or lists without end")
                raise Row({}, path, line).broken(f"is not valid JSON ({why})") from None
            row = Row(values, path, line)
            if not isinstance(values, dict):
                raise row.broken("is not a JSON object")
            rows.append(row)
    return _not_empty(rows, path)


def read_table(path: Path, download: str, columns: Sequence[str], delimiter: str = ",") -> list[Row]:
    """One row for every line of a table whose first line names ``columns`` and perhaps more.

    Fields beyond the named ones are under ``rest``. Raises TaskError where the table is broken.
    """
    lines = read_text(path, download).split("\n")
    table = csv.DictReader(lines, delimiter=delimiter, restkey="rest", skipinitialspace=True)
    names = [name.strip() for name in table.fieldnames or ()]
    missing = [name for name in columns if name not in names]
    if missing:
        raise TaskError(
            f"{path}, line 1: has no column {', '.join(missing)}. This is not the file meant. {download}"
        )
    table.fieldnames = names
    try:
        rows = [Row(dict(values), path, table.line_num) for values in table]
    except csv.Error as error:
        raise Row({}, path, table.line_num).broken(f"is not a line of a table ({error})") from None
    return _not_empty(rows, path)


def read_json(path: Path, download: str) -> dict[str, Any]:
    """The one JSON object of a file."""
    try:
        values = json.loads(read_text(path, download))
    except (ValueError, RecursionError) as error:
        line, why = getattr(error, "lineno", 1), getattr(error, "msg", "numbers or lists without end")
        raise TaskError(f"{path}, line {line}: is not valid JSON ({why}). {CURE} {download}") from None
    if not isinstance(values, dict):
        raise TaskError(f"{path}, line 1: is not a JSON object. Fetch the file again. {download}")
    return values


def has_marble(folder: Path, stem: str) -> bool:
    """Whether any of MARBLE's lists ``STEM.{train,val,test}.jsonl`` is there."""
    return any((folder / f"{stem}.{name}.jsonl").exists() for name in MARBLE_NAMES.values())


def marble_rows(folder: Path, stem: str, download: str) -> Iterator[tuple[Split, Row, Path]]:
    """Split, row and audio file of every line of MARBLE v2's lists ``STEM.{train,val,test}.jsonl``."""
    for split, name in MARBLE_NAMES.items():
        for row in read_json_lines(folder / f"{stem}.{name}.jsonl", download):
            yield split, row, find_named_audio(row, folder)


def find_named_audio(row: Row, folder: Path) -> Path:
    """The file under ``audio_path``: MARBLE writes ``data/NAME/...``, relative to a working directory.

    It is also looked for beside the list, so that ``NAME`` may lie anywhere and be called otherwise.
    """
    given = Path(row.text("audio_path"))
    inside = given.parts[2:] if given.parts[:1] == ("data",) else given.parts
    places = [folder.joinpath(*inside), folder.parent.parent / given, folder.parent / given, given]
    for place in places:
        if place.is_file():
            return place
    raise row.broken(
        f"names the audio file {given}, which is not there",
        f"Fetch the audio to {places[0]}, or delete this line.",
    )


def find_audio(places: Iterable[Path], row: Row) -> Path:
    """The first of ``places`` that is there, with any suffix of audio."""
    looked = list(places)
    for place in looked:
        if place.is_file():
            return place
    for place in looked:
        for suffix in AUDIO_SUFFIXES:
            other = place.with_name(place.stem + suffix)
            if other.is_file():
                return other
    raise row.broken(
        f"needs the audio file {looked[0]}, which is not there", "Fetch it, or delete this line."
    )


def numbered(names: Sequence[str]) -> dict[str, int]:
    """The number of every name."""
    return {name: number for number, name in enumerate(names)}


def class_number(row: Row, label: object, numbers: Mapping[str, int]) -> int:
    """The number of a label; TaskError with the nearest known one if it is unknown."""
    if isinstance(label, str) and label in numbers:
        return numbers[label]
    near = difflib.get_close_matches(str(label), numbers, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    raise row.broken(f"has an unknown label {label!r}", f"{hint}Known: {', '.join(numbers)}. {CURE}")


def tag_numbers(row: Row, labels: Iterable[object], numbers: Mapping[str, int]) -> tuple[int, ...]:
    """The numbers of several labels, in order."""
    return tuple(sorted({class_number(row, label, numbers) for label in labels}))


def draw(name: str, n: int) -> int:
    """A number below ``n`` that depends on ``name`` only: SHA-1, as jukemir and MARBLE split by artist."""
    return int(hashlib.sha1(name.encode(errors="surrogateescape")).hexdigest(), 16) % n


def _not_empty(rows: list[Row], path: Path) -> list[Row]:
    if not rows:
        raise TaskError(f"{path} holds no lines. Fetch it again.")
    return rows
