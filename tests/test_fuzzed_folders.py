"""500 damaged folders: no crash, no hang, and each is refused by name or read as it is."""

from collections import Counter
from typing import Any

import pytest

from fuzzing import run_cases

N_CASES, SEED = 500, 13
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What was begun and what was done."""
    return run_cases("fuzzed_folders.py", tmp_path_factory.mktemp("fuzzed"), N_CASES, SEED)


def test_every_case_came_to_an_end(lines: list[dict[str, Any]]) -> None:
    assert sum("done" in line for line in lines) == N_CASES


def test_every_case_was_refused_by_name_or_read_right(lines: list[dict[str, Any]]) -> None:
    assert not [line for line in lines if line.get("outcome") not in (None, "refused", "read")]


def test_the_damage_is_worth_the_name(lines: list[dict[str, Any]]) -> None:
    outcomes = Counter(line["outcome"] for line in lines if "done" in line)
    assert outcomes["refused"] > N_CASES / 3
