"""Folders of good and broken files: good ones are in, every other is named, no run ends or hangs.

500 of them, unless SOLFA_MADE_FOLDERS says another number.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

N_FOLDERS = int(os.environ.get("SOLFA_MADE_FOLDERS", "500"))
SEED, SECONDS = 13, 900  # 500 take a minute and a half on one core; more is a hang
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What was begun and what was done, by a process of its own."""
    folder = tmp_path_factory.mktemp("m")
    tests = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path])}
    command = [sys.executable, str(tests / "made_folders.py"), str(folder), str(N_FOLDERS), str(SEED)]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, env=environment,
            timeout=SECONDS,
        )  # fmt: skip
        said = f"{answer.returncode}: {answer.stderr[-2_000:]}" if answer.returncode else ""
    except subprocess.TimeoutExpired:
        said = "it did not end"
    found = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    assert not said, f"at {found[-1:]}: {said}"
    return found


def test_no_folder_ends_or_hangs_a_run(lines: list[dict[str, Any]]) -> None:
    assert [line["done"] for line in lines if "done" in line] == list(range(N_FOLDERS))


def test_every_good_file_is_in_and_every_other_is_named_with_its_reason(lines: list[dict[str, Any]]) -> None:
    assert not [line for line in lines if line.get("wrong")]


def test_there_were_enough_of_each(lines: list[dict[str, Any]]) -> None:
    done = [line for line in lines if "done" in line]
    assert sum(line["n_good"] for line in done) > 2 * N_FOLDERS
    assert sum(line["n_bad"] for line in done) > 3 * N_FOLDERS
    assert sum(line["n_good"] > 0 and line["n_bad"] > 0 for line in done) > N_FOLDERS / 2
    n_empty = sum(not line["n_good"] + line["n_bad"] + line["n_short"] for line in done)
    assert n_empty > N_FOLDERS / 100
