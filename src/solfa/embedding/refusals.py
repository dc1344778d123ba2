"""Files that were refused before: they are not tried again, or spoken of, until they have changed."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from solfa.data.refused import Refused


@dataclass(frozen=True)
class Refusal:
    """A file that was refused, and what it was like then."""

    path: Path
    reason: str
    mark: str  # another one when the file has changed; empty for what may be good the next time

    @classmethod
    def of(cls, refused: Refused, take_damaged: bool = False) -> "Refusal":
        """What is to be remembered of a file that has just been refused."""
        mark = "" if refused.is_passing else mark_of(refused.path, take_damaged)
        return cls(refused.path, refused.reason, mark)

    def holds(self, take_damaged: bool = False) -> bool:
        """Whether the file would be refused again: it is as it was, and so are program and option."""
        return bool(self.mark) and self.mark == mark_of(self.path, take_damaged)

    def refused(self) -> Refused:
        """The same as an outcome."""
        return Refused(path=self.path, reason=self.reason)


def mark_of(path: Path, take_damaged: bool = False) -> str:
    """What tells, without reading a file, that there is no use in trying it again.

    Rights count, too: whoever may read a file now may not have been allowed to. So does the wish to take
    what is whole of a damaged one.
    """
    from importlib.metadata import version  # takes a while to import, and only updates need it

    try:
        status = path.stat() if path.exists() else path.lstat()
        may_read = os.access(path, os.R_OK)
    except Exception:  # whatever it is, it is tried again
        return ""
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    option = " --take-damaged" if take_damaged else ""
    return f"{status.st_size} {times} {may_read:d} solfa {version('solfa')}{option}"


def still_refused(
    paths: Iterable[Path], known: Mapping[Path, Refusal], *, again: bool, take_damaged: bool = False
) -> tuple[list[Path], list[Refused]]:
    """Which files are to be tried, and which would only be refused again."""
    tried, refused = [], []
    for path in paths:
        before = None if again else known.get(path)
        if before and before.holds(take_damaged):
            refused.append(before.refused())
        else:
            tried.append(path)
    return tried, refused


def is_news(refused: Refused, known: Mapping[Path, Refusal]) -> bool:
    """Whether a refusal has not been spoken of before."""
    before = known.get(refused.path)
    return before is None or before.reason != refused.reason
