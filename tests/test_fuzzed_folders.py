"""500 damaged folders: no crash, no hang, and each is refused by name or read as it is."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

N_CASES, SEED = 500, 13
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What was begun and what was done, by a process of its own."""
    folder = tmp_path_factory.mktemp("fuzzed")
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path])}
    command = [sys.executable, str(tests / "fuzzed_folders.py"), str(folder), str(N_CASES), str(SEED)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    assert answer.returncode == 0, f"{answer.returncode} at {found[-1:]}: {answer.stderr[-2_000:]}"
    return found


def test_every_case_came_to_an_end(lines: list[dict[str, Any]]) -> None:
    assert sum("done" in line for line in lines) == N_CASES


def test_every_case_was_refused_by_name_or_read_right(lines: list[dict[str, Any]]) -> None:
    assert not [line for line in lines if line.get("outcome") not in (None, "refused", "read")]


def test_the_damage_is_worth_the_name(lines: list[dict[str, Any]]) -> None:
    outcomes = Counter(line["outcome"] for line in lines if "done" in line)
    assert outcomes["refused"] > N_CASES / 3
