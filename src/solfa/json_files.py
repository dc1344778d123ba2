"""JSON and JSON lines: written whole, and read with errors that name the file.

A description that a user may edit, copy or lose half of is read here and nowhere else: null, other encodings,
numbers of thousands of digits and lists in lists without end are errors like any other.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from solfa.errors import SolfaError
from solfa.files import append_text, whole_file, write_text

LARGEST = 2**28  # bytes: what is larger describes nothing, and would only fill the memory
DEEPEST = 100  # lists and objects in each other


class ContentError(SolfaError, ValueError):
    """A file that does not hold what it should; the message names it and says what is wrong."""


def write_json(path: Path, values: Any, indent: int = 2) -> None:
    """As ``write_text``, as indented JSON."""
    write_text(path, json.dumps(values, indent=indent) + "\n")


def write_json_lines(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write one JSON object per line, whole or not at all. Any file name survives, as ASCII escapes.

    Raises:
        WriteError: see ``whole_file``.
    """
    with whole_file(path) as partial, partial.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def append_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add JSON lines to a file; on the disk when this returns, and not there in part when it fails.

    Raises:
        WriteError: the disk is full or does not take them.
    """
    if rows:
        append_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ContentError: it is not UTF-8, not JSON, or of a size or depth that no such file has.
    """
    if (size := path.stat().st_size) > LARGEST:
        raise ContentError(f"{path} has {size} bytes, which no such file needs.")
    return parse_json(path.read_bytes(), str(path))


def read_json_object(path: Path) -> dict[str, Any]:
    """As ``read_json``; what is no JSON object is refused too."""
    return _object(read_json(path), str(path))


def parse_json(content: bytes, name: str) -> Any:
    """What JSON holds that was read from what is called ``name``.

    Raises:
        ContentError: see ``read_json``.
    """
    if not content:
        raise ContentError(f"{name} is empty.")
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ContentError(f"{name} is not valid JSON: it is not UTF-8 (byte {error.start}).") from None
    except RecursionError:
        raise ContentError(f"{name} is not valid JSON: {_TOO_DEEP}.") from None
    except ValueError as error:  # a number of thousands of digits is one, besides what is no JSON
        raise ContentError(f"{name} is not valid JSON ({str(error).partition(';')[0]}).") from None
    if _depth(values) > DEEPEST:
        raise ContentError(f"{name} is not valid JSON: {_TOO_DEEP}.")
    return values


_TOO_DEEP = f"it has more than {DEEPEST} lists and objects in each other"


def _object(values: Any, name: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ContentError(f"{name} holds no JSON object, but {_kind(values)}.")
    return values


def _kind(values: Any) -> str:
    if values is None:
        return "null"
    return {list: "a list", str: "a text", bool: "true or false"}.get(type(values), "a number")


def _depth(values: Any) -> int:
    """How many lists and objects lie in each other; counted without a call for each."""
    level, depth = [values], 0
    while level and depth <= DEEPEST:
        inner = [v for v in level if isinstance(v, list | dict)]
        level = [v for part in inner for v in (part.values() if isinstance(part, dict) else part)]
        depth += bool(inner)
    return depth


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file, but for a last one that was cut off; none if there is no file.

    Raises:
        ContentError: a line before it is no JSON object.
    """
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]
    names = (f"{path}, line {number}," for number in range(1, len(whole) + 1))
    return [_object(parse_json(line, name), name) for line, name in zip(whole, names, strict=True)]


def readable_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log that are JSON objects, without those that a full disk or a kill has cut off."""
    rows = []
    for line in path.read_bytes().split(b"\n") if path.is_file() else []:
        with suppress(ContentError):
            rows.append(_object(parse_json(line, str(path)), str(path)))
    return rows


def mend_lines(path: Path) -> None:
    """Remove a last line that was cut off."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
