"""A table as spreadsheets and editors write it -> rows: what is not ambiguous is read, and else said.

Columns are parted by commas, semicolons or tabs; their names may be in any case. Texts are UTF-8 or UTF-16,
or else taken for Windows-1252 (which holds Latin-1) with a warning.
"""

import csv
import logging
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from solfa.tasks.base import TaskError
from solfa.tasks.reading import Row

log = logging.getLogger(__name__)

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
MARKS = (  # of the order of bytes, the longer ones first
    (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods; .xls
WESTERN = ("cp1252", "latin-1")  # the first has no sign for five bytes


@dataclass(frozen=True)
class Table:
    """The rows of a table, whose columns have names in small letters."""

    rows: list[Row]
    encoding: str  # of its texts

    def names_on_disk(self, name: str) -> Iterator[str]:
        """A file name as it is written, and then other spellings that a disk may have for it."""
        yield name
        yield from (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        if self.encoding in WESTERN:  # a disk of that time may hold these bytes themselves
            yield name.encode(self.encoding).decode("utf-8", "surrogateescape")
        if "\\" in name:
            yield from self.names_on_disk(name.replace("\\", "/"))


def read_csv_table(path: Path, columns: Sequence[str], cure: str) -> Table:
    """The rows of a table that has ``columns``, in whatever case, and perhaps more.

    Raises:
        TaskError: no table, no such columns, or a line with more fields than the first one names; the message
            says what was found.
    """
    text, encoding = _text_of(path, cure)
    lines = _lines(text)
    first = next((n for n, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise TaskError(f"{path} holds no lines. {cure}")
    delimiter = None
    if lines[first].strip().lower().startswith("sep=") and len(lines[first].strip()) <= 5:
        delimiter, first = (lines[first].strip("\r\n")[4:5] or "\t"), first + 1  # as Excel is told
    if delimiter is None:
        delimiter = _delimiter_of("".join(lines[first : first + 1]), columns)
    rows = list(_rows(path, lines[first:], first, delimiter))
    if not rows:
        raise TaskError(f"{path} holds no lines. {cure}")
    names = [name.strip().lower() for name in rows[0][1]]
    _check_columns(path, rows[0], names, columns, delimiter, cure)
    found = [_row(path, number, fields, names, delimiter) for number, fields in rows[1:]]
    if not found:
        raise TaskError(f"{path} holds no lines. {cure}")
    return Table(found, encoding)


def _text_of(path: Path, cure: str) -> tuple[str, str]:
    """The text of a file, and how it is encoded."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise TaskError(f"{path} is missing. {cure}") from None
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error}). Check its rights. {cure}") from None
    if data.startswith(SPREADSHEETS):
        raise TaskError(f"{path} is a spreadsheet, not a text. Save it as CSV (UTF-8) and name that file.")
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data:
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be" if data[:1] == b"\0" else None
        if encoding is None:
            raise TaskError(f"{path} is no text: it holds bytes that are zero. Save it as CSV (UTF-8).")
    try:
        return data.decode(encoding or "utf-8"), encoding or "utf-8"
    except UnicodeDecodeError as error:
        if encoding is not None:
            raise TaskError(
                f"{path} is damaged: it is not the {encoding} that it begins as. {cure}"
            ) from None
        place = error.start
    encoding = WESTERN[bool(set(data) & {0x81, 0x8D, 0x8F, 0x90, 0x9D})]
    text = data.decode(encoding)
    number = len(_lines(text[:place]))
    log.warning(
        "%s is not UTF-8 and is read as Western European (%s); line %d is then: %.80s. If its words are "
        "wrong, save it as UTF-8.",
        path, encoding, number, _lines(text)[number - 1],
    )  # fmt: skip
    return text, encoding


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _delimiter_of(line: str, columns: Sequence[str]) -> str:
    """What parts the columns: that by which their names are found, or else what is there most often."""
    for delimiter in DELIMITERS:
        names = [name.strip(' "').lower() for name in line.split(delimiter)]
        if set(columns) <= set(names):
            return delimiter
    return max(DELIMITERS, key=line.count)


def _rows(path: Path, lines: Sequence[str], n_before: int, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields; empty lines are left out."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    begun = n_before
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield begun + 1, fields
            begun = n_before + reader.line_num
    except csv.Error as error:
        raise Row({}, path, begun + 1).broken(
            f"is not a line of a table ({error})",
            'Close each quotation mark that is opened, and write those inside a text twice: "12"" mix.wav".',
        ) from None


def _check_columns(
    path: Path,
    first: tuple[int, list[str]],
    names: list[str],
    columns: Sequence[str],
    delimiter: str,
    cure: str,
) -> None:
    number, written = first
    shown = ", ".join(repr(name.strip()) for name in written)
    found = f"it has {shown}, parted by {DELIMITERS.get(delimiter, repr(delimiter))}"
    missing = [name for name in columns if name not in names]
    if missing:
        raise TaskError(f"{path}, line {number}: has no column {', '.join(missing)}; {found}. {cure}")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise TaskError(
            f"{path}, line {number}: has the column {twice[0]} twice; {found}. Rename one of them."
        )


def _row(path: Path, number: int, fields: list[str], names: list[str], delimiter: str) -> Row:
    row = Row(dict(zip(names, fields, strict=False)), path, number)
    if any(field.strip() for field in fields[len(names) :]):
        example = '"rock;calm"' if delimiter == ";" else '"Hello, Goodbye.wav"'
        raise row.broken(
            f"has {len(fields)} fields, and line 1 names {len(names)}: {fields[-1].strip()!r} has no column",
            f"Put a text that holds {delimiter!r} into quotation marks, as {example}.",
        )
    return row
