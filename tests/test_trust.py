"""The page of promises names tests that there are, and every number has some, or a reason."""

import ast
from pathlib import Path

import pytest

from trust import PAGE, promises

TESTS = Path(__file__).parent
PROMISES = promises()


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_all_promises_are_on_the_page() -> None:
    assert list(PROMISES) == [f"T{number:02}" for number in range(1, 26)]


@pytest.mark.parametrize("number", PROMISES)
def test_a_promise_has_tests_that_there_are(number: str) -> None:
    named = PROMISES[number]
    assert named, f"{PAGE.name} names no test of {number}"
    for file, test in named:
        assert (TESTS / file).is_file(), f"{number}: there is no tests/{file}"
        assert not test or test in functions(TESTS / file), f"{number}: {file} has no {test}"
