"""Damaged files of every format are prepared, embedded and indexed, or refused by name; nothing hangs."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

N_FILES, SEED = int(os.environ.get("SOLFA_FUZZED_MUSIC", "2000")), 17
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What was begun and what was done, by a process of its own, with limits of memory and time."""
    folder = tmp_path_factory.mktemp("fuzzed")
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path])}
    command = [sys.executable, str(tests / "fuzzed_music.py"), str(folder), str(N_FILES), str(SEED)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    assert answer.returncode == 0, f"{answer.returncode} at {found[-1:]}: {answer.stderr[-2_000:]}"
    return found


def test_every_file_came_to_an_end(lines: list[dict[str, Any]]) -> None:
    assert sum("done" in line for line in lines) == N_FILES


def test_every_file_was_taken_or_refused_by_name_and_alike_everywhere(lines: list[dict[str, Any]]) -> None:
    assert not [line for line in lines if line.get("fault")]


def test_some_files_were_taken_and_some_refused(lines: list[dict[str, Any]]) -> None:
    outcomes = Counter(line["outcome"] for line in lines if "done" in line)
    assert min(outcomes["taken"], outcomes["refused"]) > N_FILES / 20
