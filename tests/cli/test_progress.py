"""Who looks at no terminal is told what is done, what is left, and about how long that takes."""

import pytest

from solfa.cli import progress
from solfa.cli.progress import time_left


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until its only entry is changed."""
    now = [1_000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.console, "_force_terminal", False)
    return now


def test_a_line_says_how_much_time_is_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("indexing", 40) as tell:
        for done in (21, 22, 23, 24, 40):  # 20 were there already
            clock[0] += 60.0
            tell(done, f"{done}.mp3")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "indexing: 21 of 40  21.mp3"
    assert said[3] == "indexing: 24 of 40  about 16 min left  24.mp3"
    assert said[-1] == "indexing: 40 of 40  40.mp3"


def test_nothing_is_said_of_an_end_that_is_not_known(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.progress("indexing", None) as tell:
        clock[0] += 60.0
        tell(7, "7.mp3")
    assert capsys.readouterr().err == "indexing: 7 of ?  7.mp3\n"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3.0, "less than half a minute left"),
        (61.0, "about a minute left"),
        (600.0, "about 10 min left"),
        (9_000.0, "about 2.5 h left"),
        (90_000.0, "about 25 h left"),
    ],
)
def test_the_time_left_is_said_in_words(seconds: float, said: str) -> None:
    assert time_left(seconds) == said
