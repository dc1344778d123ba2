"""Every task by name; where its data lie on this machine, and how many items are there."""

import difflib
import os
from collections import Counter
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules

from solfa.tasks.base import SPLITS, Item, Split, Task, TaskError
from solfa.tasks.leaks import shared_groups

ROOTS_VARIABLE = "SOLFA_DATA"  # folders of data sets, separated as in PATH

# As papers list them; tasks that are not named here come after these.
ORDER = (
    "magnatagatune",
    "gtzan_genre",
    "gtzan_beats",
    "giantsteps_key",
    "emomusic",
    "nsynth_instrument",
    "nsynth_pitch",
    "vocalset_technique",
    "vocalset_singer",
    "mtg_genre",
    "mtg_instrument",
    "mtg_mood",
    "mtg_top50",
    "musdb18",
    "chords1217",
    "hooktheory_key",
    "hooktheory_structure",
    "harmonix_structure",
)


@dataclass(frozen=True, kw_only=True)
class Presence:
    """What of a task is on this machine."""

    task: Task
    folder: Path | None  # None: not found in any root
    n_items: dict[Split, int]  # zeros if it cannot be used
    n_shared: int  # groups that stand in two splits
    problem: str  # why it cannot be used, and the cure; empty if it can

    @property
    def is_usable(self) -> bool:
        """Whether the task can be run."""
        return not self.problem


class _Tasks(MutableMapping[str, Task]):
    """Tasks by name: those of this room's files and of wings, which are imported when a task is asked for."""

    @cached_property
    def _all(self) -> dict[str, Task]:
        return _own() | {task.name: task for tasks in wings().values() for task in tasks}

    def __getitem__(self, name: str) -> Task:
        return self._all[name]

    def __setitem__(self, name: str, task: Task) -> None:
        self._all[name] = task

    def __delitem__(self, name: str) -> None:
        del self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


TASKS: MutableMapping[str, Task] = _Tasks()


def _own() -> dict[str, Task]:
    """Every ``Task`` that a file of this room has among its names."""
    files = [
        import_module(f"{__package__}.{file.name}") for file in iter_modules([str(Path(__file__).parent)])
    ]
    found = {value.name: value for file in files for value in vars(file).values() if isinstance(value, Task)}
    return {name: found.pop(name) for name in ORDER} | found


@cache
def wings() -> dict[str, Sequence[Task]]:
    """Tasks that packages beside solfa add by an entry point, by its name, which stands for all of them."""
    return {entry.name: entry.load() for entry in entry_points(group="solfa.tasks")}


def task(name: str) -> Task:
    """The task of that name. Raises TaskError with the nearest name if there is none."""
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise TaskError(f"There is no task '{name}'. {hint}Known: {', '.join(TASKS)}.")
    return TASKS[name]


def default_roots() -> list[Path]:
    """Folders that data sets are looked for in: those in SOLFA_DATA, then ``data`` where one works."""
    named = os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep)
    return [*(Path(root).expanduser() for root in named if root), Path("data")]


def find_data(name: str, roots: Sequence[Path] | None = None) -> Path | None:
    """The folder of a task's data, or None.

    Args:
        name: of the task.
        roots: folders that hold one folder for each data set, in the order in which they are looked into, or
            such a folder itself; ``default_roots`` if None.
    """
    return _find(task(name), default_roots() if roots is None else roots)


def load_items(name: str, roots: Sequence[Path] | None = None) -> Sequence[Item]:
    """The items of a task, wherever its data lie. Raises TaskError with what to fetch if they do not."""
    folder = find_data(name, roots)
    if folder is None:
        raise TaskError(_missing(task(name), default_roots() if roots is None else roots))
    return task(name).load(folder)


def data_version(wanted: Task, roots: Sequence[Path] | None = None) -> str:
    """The version of a task's data; empty if they have none, or are not there."""
    folder = _find(wanted, default_roots() if roots is None else roots)
    return wanted.version(folder) if wanted.version and folder else ""


def look_for(wanted: Task, roots: Sequence[Path] | None = None) -> Presence:
    """Where a task's data lie, how many items there are, and what is missing. Reads all its lists."""
    roots = default_roots() if roots is None else roots
    folder = _find(wanted, roots)
    items: Sequence[Item] = ()
    problem = ""
    if folder is None:
        problem = _missing(wanted, roots)
    else:
        try:
            items = wanted.load(folder)
        except TaskError as error:
            problem = str(error)
    counts = Counter(item.split for item in items)
    return Presence(
        task=wanted,
        folder=folder,
        n_items={split: counts[split] for split in SPLITS},
        n_shared=len(shared_groups(items)),
        problem=problem,
    )


def _find(wanted: Task, roots: Sequence[Path]) -> Path | None:
    names = wanted.folders or (wanted.name,)
    for root in roots:
        for place in (*([root] if root.name in names else []), *(root / name for name in names)):
            if place.is_dir():
                return place
    return None


def _missing(wanted: Task, roots: Sequence[Path]) -> str:
    names = wanted.folders or (wanted.name,)
    looked = ", ".join(str(root / names[0]) for root in roots)
    return (
        f"{wanted.title} is not at {looked}. {wanted.download} Where it lies elsewhere than in data/, name "
        f"that folder with --data or {ROOTS_VARIABLE}."
    )
