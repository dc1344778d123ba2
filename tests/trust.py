"""What docs/trust.md says: which tests stand for which promise. ``pytest -k T05`` runs those of the fifth."""

import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "trust.md"
ROW = re.compile(r"^\| (T\d\d) \|.*$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


@cache
def promises() -> dict[str, list[tuple[str, str]]]:
    """Number -> files below tests, and a test in each; all tests of the file if it is empty."""
    return {row[1]: NAMED.findall(row[0]) for row in ROW.finditer(PAGE.read_text())}


def numbers_of(file: str, test: str) -> set[str]:
    """Numbers of the promises that a test stands for."""
    return {number for number, named in promises().items() if (file, test) in named or (file, "") in named}
