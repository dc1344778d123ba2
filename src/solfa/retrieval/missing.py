"""Tracks whose files are not found any more: which have really gone, and which may only be out of sight.

A disk that is not mounted looks like an empty folder, and a folder without rights like one that was removed.
Vectors of a thousand tracks take hours, so that a doubt is in favour of the library.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from solfa.data.folders import Found

MOST_GONE = 5  # one of so many tracks may go without being asked for
PRUNE = "If they have really gone: --prune"


@dataclass(frozen=True)
class Kept:
    """Tracks whose files were not found, and which stay."""

    folder: Path
    n: int
    reason: str  # and the cure


class Missing:
    """Tracks of the folders of an update that were not found there.

    Args:
        known: the files of all tracks of the library.
        folders: that were looked through.
        found: what was found in them.
    """

    def __init__(self, known: Collection[Path], folders: Collection[Path], found: Found) -> None:
        self.folders = folders
        listed = set(found.paths)
        missing = {path for path in known if path not in listed and is_in(path, folders)}
        unreadable = {item.path: item for item in found.refused}
        self.out_of_sight = {path: top for path in missing if (top := _top(path, unreadable)) is not None}
        self.gone = missing - self.out_of_sight.keys()
        self._listed = listed

    def to_remove(self, n_tracks: int, *, prune: bool) -> tuple[list[Path], list[Kept]]:
        """Which of the tracks that are still missing go, and which stay.

        Args:
            n_tracks: of the library.
            prune: whether somebody has said that they have gone.
        """
        reason = "which cannot be read"
        kept = [Kept(top, n, reason) for top, n in _counted(self.out_of_sight.values())]
        if prune:
            return sorted(self.gone), kept
        emptied = self._emptied()
        reason = f"which is empty now; perhaps its disk is not mounted. {PRUNE}"
        kept += [Kept(folder, n, reason) for folder, n in _counted(emptied.values())]
        removed = sorted(self.gone - emptied.keys())
        is_all = len(removed) == n_tracks
        if removed and (is_all or (len(removed) > 1 and MOST_GONE * len(removed) > n_tracks)):
            share = "all tracks" if is_all else f"{len(removed)} of {n_tracks} tracks"
            share += ", more than a fifth of the library"
            reason = f"where they are not found any more: {share}. {PRUNE}"
            tops = (_top(path, self.folders) or path.parent for path in removed)
            return [], kept + [Kept(folder, n, reason) for folder, n in _counted(tops)]
        return removed, kept

    def _emptied(self) -> dict[Path, Path]:
        """Missing tracks that lay in a folder which is there and has no audio left, with that folder."""
        if not self.gone:
            return {}
        alive = {folder for path in self._listed for folder in path.parents}
        standing: dict[Path, Path] = {}  # the nearest folder of each that is there
        emptied = {}
        for path in self.gone:
            if os.path.lexists(path):  # it is passed over now
                continue
            if path.parent not in standing:
                standing[path.parent] = next(folder for folder in path.parents if os.path.isdir(folder))  # noqa: PTH112  # no error
            if (folder := standing[path.parent]) not in alive:
                emptied[path] = folder
        return emptied


def is_in(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path is one of some folders, or below it."""
    return _top(path, folders) is not None


def _top(path: Path, folders: Iterable[Path]) -> Path | None:
    return next((folder for folder in folders if path.is_relative_to(folder)), None)


def _counted(folders: Iterable[Path]) -> list[tuple[Path, int]]:
    numbers: dict[Path, int] = {}
    for folder in folders:
        numbers[folder] = numbers.get(folder, 0) + 1
    return sorted(numbers.items())
