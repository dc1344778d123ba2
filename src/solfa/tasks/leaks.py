"""What stands on both sides of a split: groups, soundfonts, and audio that is the same in every byte."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from solfa.files import sha256
from solfa.tasks.base import Item, Split

Shared = dict[str, set[Split]]  # what it is -> the splits in which it stands


def shared_groups(items: Sequence[Item]) -> Shared:
    """What stands in more than one split by what items say: groups, contents, and soundfonts of a test.

    A soundfont may train and validate. None in a clean data set.
    """
    shared = _in_several((item.group, item.split) for item in items)
    shared |= _in_several((f"audio {item.content}", item.split) for item in items if item.content)
    played = _in_several((f"soundfont {item.soundfont}", item.split) for item in items if item.soundfont)
    return shared | {name: splits for name, splits in played.items() if "test" in splits}


def find_leaks(items: Sequence[Item]) -> Shared:
    """As ``shared_groups``, and files of the same bytes, whatever is said of them. Reads all audio."""
    places: dict[str, str] = {}  # hash of a file's bytes -> the first such file
    of_file: Callable[[Path], str] = cache(sha256)
    same = _in_several(
        (places.setdefault(of_file(item.path), f"bytes of {item.path}"), item.split) for item in _files(items)
    )
    return shared_groups(items) | same


def _files(items: Sequence[Item]) -> Iterable[Item]:
    """An item for each file and split: stretches of a file are one file."""
    return {(item.path, item.split): item for item in items}.values()


def _in_several(standing: Iterable[tuple[str, Split]]) -> Shared:
    splits: Shared = {}
    for name, split in standing:
        splits.setdefault(name, set()).add(split)
    return {name: found for name, found in splits.items() if len(found) > 1}
