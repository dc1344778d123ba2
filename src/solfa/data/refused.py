"""Why a file is left out: one line with the cause and the cure, whatever went wrong with it."""

import stat
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from solfa.data.base import AudioError

PACKAGE = Path(__file__).parent.parent
LONGEST_MESSAGE = 300  # of an error that somebody else wrote
CURE = "check the file and its permissions"
SPECIAL: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A file or folder that is left out, and why."""

    path: Path
    reason: str
    is_passing: bool = False  # it may be good the next time: a disk that failed, memory that ended


def refusal(path: Path, error: Exception) -> Refused:
    """The refusal of a file for what went wrong with it: its reason and cure, or the class and the place."""
    if isinstance(error, AudioError):
        return Refused(path=path, reason=error.reason)
    if isinstance(error, FileNotFoundError):
        return Refused(path=path, reason=f"cannot be read (it is gone, or a link to nothing); {CURE}")
    kind = type(error).__name__
    is_passing = not isinstance(error, ValueError | PermissionError)
    if isinstance(error, OSError) and error.strerror and kind != "OSError":
        reason = f"cannot be read ({kind}: {error.strerror}); {CURE}"
        return Refused(path=path, reason=reason, is_passing=is_passing)
    message = " ".join(str(error).split())[:LONGEST_MESSAGE]
    reason = f"{message or 'cannot be used'} ({kind} in {place_of(error)})"
    if isinstance(error, OSError):
        reason = f"cannot be read: {reason}; {CURE}"
    elif not isinstance(error, ValueError):  # those are written for people
        reason += "; convert the file or remove it, and report this: it is a fault of the program"
    return Refused(path=path, reason=reason, is_passing=is_passing)


def place_of(error: BaseException) -> str:
    """Where an error was raised, as ``file:function``: the innermost place in this package, if it has one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    if own:
        return f"{Path(own[-1].filename).relative_to(PACKAGE).as_posix()}:{own[-1].name}"
    return f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "an unknown place"


def check_is_file(path: Path) -> None:
    """Refuse what is no regular file before it is opened: reading from a pipe may never end.

    Raises:
        AudioError: it is a folder, a pipe, a socket or a device.
        OSError: there is nothing, or it may not be looked at.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        what = next((name for is_that, name in SPECIAL if is_that(mode)), "something else")
        raise AudioError(f"{what}, not a file; give a file, or remove it", path)
