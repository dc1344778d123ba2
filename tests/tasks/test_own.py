"""A user's own table of labels: what becomes of it, and what it says when a line is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from solfa.tasks import Classes, Tags, TaskError
from solfa.tasks.own import read_labelled_files

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
