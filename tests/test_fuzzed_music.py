"""Damaged files of every format are prepared, embedded and indexed, or refused by name; nothing hangs."""

import os
from collections import Counter
from typing import Any

import pytest

from fuzzing import run_cases

N_FILES, SEED = int(os.environ.get("SOLFA_FUZZED_MUSIC", "2000")), 17
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What was begun and what was done."""
    return run_cases("fuzzed_music.py", tmp_path_factory.mktemp("fuzzed"), N_FILES, SEED)


def test_every_file_came_to_an_end(lines: list[dict[str, Any]]) -> None:
    assert sum("done" in line for line in lines) == N_FILES


def test_every_file_was_taken_or_refused_by_name_and_alike_everywhere(lines: list[dict[str, Any]]) -> None:
    assert not [line for line in lines if line.get("fault")]


def test_some_files_were_taken_and_some_refused(lines: list[dict[str, Any]]) -> None:
    outcomes = Counter(line["outcome"] for line in lines if "done" in line)
    assert min(outcomes["taken"], outcomes["refused"]) > N_FILES / 20
