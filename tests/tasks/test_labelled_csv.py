"""A user's own table of labels: what becomes of it, and what it says when a line is wrong."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from solfa.tasks import Classes, Tags, TaskError
from solfa.tasks.labelled_csv import read_labelled_files

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a table beside twelve files, which are called 0.wav to 11.wav."""
    for number in range(12):
        (tmp_path / f"{number}.wav").write_bytes(b"")

    def written(text: str) -> Path:
        (tmp_path / "labels.csv").write_text(text)
        return tmp_path / "labels.csv"

    return written


def lines(*more: str) -> str:
    """A good table of ten files, half of them rock, and ``more``."""
    good = [f"{n}.wav,{'rock' if n % 2 else 'jazz'}" for n in range(10)]
    return "\n".join(["path,label", *good, *more]) + "\n"


def test_one_label_a_line_makes_classes(write: Write) -> None:
    own = read_labelled_files(write(lines()))
    assert own.kind == Classes(("jazz", "rock"))
    assert [item.label for item in own.items] == [0, 1] * 5


def test_a_semicolon_anywhere_makes_tags(write: Write) -> None:
    own = read_labelled_files(write(lines("10.wav,rock; loud ;")))
    assert own.kind == Tags(("jazz", "loud", "rock"))
    assert own.items[-1].label == (1, 2)
    assert own.items[0].label == (0,)


def test_the_drawn_split_knows_names_only_and_keeps_groups_together(write: Write) -> None:
    table = "path,label,group\n" + "".join(f"{n}.wav,{'ab'[n % 2]},album {n // 2}\n" for n in range(12))
    items = read_labelled_files(write(table)).items
    assert {item.split for item in items} == {"train", "valid"}
    for album in range(6):
        assert items[2 * album].split == items[2 * album + 1].split
    turned = "\n".join([table.splitlines()[0], *reversed(table.splitlines()[1:])])
    assert {i.path: i.split for i in read_labelled_files(write(turned)).items} == {
        item.path: item.split for item in items
    }


def test_every_label_is_in_train_however_few_files_have_it(write: Write) -> None:
    table = "path,label\n" + "".join(f"{n}.wav,label {n}\n" for n in range(12))
    assert {item.split for item in read_labelled_files(write(table)).items} == {"train"}


def test_a_column_of_splits_is_followed(write: Write) -> None:
    table = write("path,label,split\n0.wav,a,train\n1.wav,b,train\n2.wav,a,test\n3.wav,b,valid\n")
    assert [item.split for item in read_labelled_files(table).items] == ["train", "train", "test", "valid"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines("lost.wav,rock"), "line 12: names the file lost.wav.*Correct the path, or delete this line"),
        (lines("3.wav,jazz"), "line 12: names 3.wav again, after line 5.*parted by ';'"),
        (lines("10.wav,"), "line 12: has no text under 'label'"),
        ("path,genre\n0.wav,rock\n", "line 1: has no column label.*path,label"),
        ("path,label\n0.wav,rock\n1.wav,rock\n", "lines 2 to 3: all have the label 'rock'.*Add files"),
        ("path,label\n", "holds no lines"),
        ("path,label,split\n0.wav,a,train\n1.wav,b,dev\n", "line 3: has the split 'dev'.*train, valid, test"),
        (
            "path,label,split\n0.wav,a,train\n1.wav,b,valid\n",
            "line 3: is valid and has the label 'b', which no file in train has.*into train, or delete",
        ),
    ],
)
def test_a_broken_table_names_line_and_cure(write: Write, text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        read_labelled_files(write(text))


def test_a_table_that_is_not_there_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="first line is path,label"):
        read_labelled_files(tmp_path / "labels.csv")


TABLE = lines("10.wav,rock;loud").replace("rock;loud", '"rock;loud"')


@pytest.mark.parametrize(
    "data",
    [
        TABLE.encode(),
        TABLE.replace("\n", "\r\n").encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("utf-16-be"),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        ("sep=;\n" + TABLE.replace(",", ";")).encode(),
        TABLE.replace("path,label", "Path , LABEL").encode(),
        TABLE.replace("path,label", '"PATH","Label"').encode(),
        ("\n\n" + TABLE.replace("\n", ",,\n")).encode(),
        TABLE.replace("rock", "rock \xa0").replace("jazz", " jazz").encode(),
    ],
    ids=[
        "plain", "marked, CRLF", "UTF-16", "UTF-16 LE, no mark", "UTF-16 BE, no mark", "semicolons", "tabs",
        "sep=", "case", "quotes", "empty columns and lines", "blanks",
    ],
)  # fmt: skip
def test_a_table_is_read_as_most_programs_write_it(write: Write, data: bytes) -> None:
    table = write("")
    table.write_bytes(data)
    own = read_labelled_files(table)
    assert own.kind == Tags(("jazz", "loud", "rock"))
    assert [item.label for item in own.items] == [(0,), (2,)] * 5 + [(1, 2)]


def test_a_table_in_latin_1_is_read_and_what_was_read_is_said(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    table = write("")
    (table.parent / "Café.wav").write_bytes(b"")
    table.write_bytes(lines("Café.wav,chanson française").encode("latin-1"))
    with caplog.at_level(logging.WARNING, "solfa"):
        own = read_labelled_files(table)
    assert own.kind == Classes(("chanson française", "jazz", "rock"))
    assert "not UTF-8" in caplog.text and "line 12 is then: Café.wav,chanson française" in caplog.text


@pytest.mark.parametrize("written", ["Cafe\u0301.wav", "folder\\Café.wav"])
def test_a_file_is_found_under_another_spelling_of_its_name(write: Write, written: str) -> None:
    table = write(lines(f"{written},rock"))
    place = table.parent / written.replace("\\", "/").replace("e\u0301", "é")
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"")
    assert read_labelled_files(table).items[-1].path == place


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are no bytes there")
def test_a_file_is_found_whose_name_is_latin_1_on_the_disk_too(write: Write) -> None:
    table = write("")
    place = table.parent / os.fsdecode(b"Caf\xe9.wav")
    place.write_bytes(b"")
    table.write_bytes(lines().encode() + b"Caf\xe9.wav,rock\n")
    assert read_labelled_files(table).items[-1].path == place


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            lines("10.wav,Rock"),
            r"lines 3 and 12: the labels 'rock' and 'Rock' differ only by case\. Write them",
        ),
        (lines("10.wav,rock,calm"), r"line 12: has 3 fields, and line 1 names 2: 'calm' has no column.*quot"),
        (TABLE.replace('"', "").replace(",", ";"), r"line 12: has 3 fields.*as \"rock;calm\""),
        ("file,genre\n0.wav,rock\n", r"no column path, label; it has 'file', 'genre', parted by commas"),
        ("Path;Genre\n0.wav;rock\n", r"no column label; it has 'Path', 'Genre', parted by semicolons"),
        ("0.wav\trock\n1.wav\tjazz\n", r"no column path, label; it has '0.wav', 'rock', parted by tabs"),
        ("path,label,Label\n0.wav,rock,jazz\n", r"has the column label twice"),
        (lines('"10.wav,rock', "11.wav,jazz"), r"line 12: is not a line.*Close each quotation mark"),
        ("", "holds no lines"),
        ("\n \n", "holds no lines"),
    ],
)
def test_what_is_ambiguous_is_refused_and_what_was_found_is_said(
    write: Write, text: str, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        read_labelled_files(write(text))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04" + bytes(50), "is a spreadsheet.*Save it as CSV"),
        (b"path,label\n0.wav,ro\0ck\n", "is no text"),
        ("path,label\n0.wav,rock\n".encode("utf-16") + b"\0", "is damaged"),
    ],
)
def test_what_is_no_text_is_refused(write: Write, data: bytes, message: str) -> None:
    table = write("")
    table.write_bytes(data)
    with pytest.raises(TaskError, match=message):
        read_labelled_files(table)


def test_splits_may_be_called_as_elsewhere(write: Write) -> None:
    table = write("Path,Label,Split\n0.wav,a,Train\n1.wav,b,train\n2.wav,a,TEST\n3.wav,b,validation\n")
    assert [item.split for item in read_labelled_files(table).items] == ["train", "train", "test", "valid"]
