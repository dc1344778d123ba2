"""JSON files: whatever they hold, an error names the file; lines that were cut off do no harm."""

import json
from pathlib import Path

import pytest

from full_disk import full_disk
from solfa.json_files import (
    ContentError,
    append_lines,
    mend_lines,
    read_json_object,
    read_lines,
    readable_lines,
    write_json_lines,
)

BROKEN = {
    "empty": (b"", "is empty"),
    "null": (b"null", "no JSON object, but null"),
    "a list": (b"[1]", "no JSON object, but a list"),
    "cut": (b'{"a": ', "is not valid JSON"),
    "deep": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "lists and objects in each other"),
    "rather deep": (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", "lists and objects in each other"),
    "Latin-1": ('{"a": "é"}'.encode("latin-1"), "not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "a long number": (b'{"a": ' + b"9" * 5_000 + b"}", "is not valid JSON"),
    "zeros": (b"\0" * 100, "is not valid JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_json_object_is_refused_by_name(name: str, tmp_path: Path) -> None:
    content, reason = BROKEN[name]
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ContentError, match=rf"config\.json .*{reason}"):
        read_json_object(tmp_path / "config.json")


def test_a_mark_of_byte_order_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json_object(tmp_path / "config.json") == {"a": 1}


def test_lines_that_do_not_fit_are_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_lines(path, [{"a": 1}])
    with full_disk(20), pytest.raises(OSError, match="too large"):
        append_lines(path, [{"b": "x" * 100}])
    append_lines(path, [{"c": 3}])
    assert read_lines(path) == [{"a": 1}, {"c": 3}]


def test_a_last_line_that_was_cut_off_is_left_out_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b": ')
    assert read_lines(path) == [{"a": 1}]
    mend_lines(path)
    assert path.read_bytes() == b'{"a": 1}\n'


@pytest.mark.parametrize("line", [b"half", b"null", b"\xff\xfe"])
def test_a_broken_line_before_others_is_named(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"b": 2}\n')
    with pytest.raises(ContentError, match=r"lines\.jsonl, line 2"):
        read_lines(path)
    assert readable_lines(path) == [{"a": 1}, {"b": 2}]


def test_a_line_may_hold_any_text(tmp_path: Path) -> None:
    rows = [{"path": "a\u2028b\x85c\udcff"}, {"path": "d"}]
    append_lines(tmp_path / "a", rows)
    write_json_lines(rows, tmp_path / "b")
    assert read_lines(tmp_path / "a") == read_lines(tmp_path / "b") == rows
    assert json.loads((tmp_path / "b").read_text().splitlines()[0]) == rows[0]
