"""The contract of tasks: every one loads its replica, and every error names the file and the cure."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from solfa.tasks import (
    SPLITS,
    TASKS,
    Classes,
    FrameClasses,
    FrameEvents,
    Item,
    Numbers,
    Stems,
    Tags,
    Task,
    TaskError,
    load_items,
    look_for,
    shared_groups,
)
from tasks.replicas import REPLICAS, Replica, write_replica

CASES = [(replica, name) for replica in REPLICAS for name in replica.tasks]
WITH_TABLE = [case for case in CASES if case[0].table]
SECONDS = 0.3


def ids(case: object) -> str:
    return case.name if isinstance(case, Replica) else str(case)


@pytest.fixture(scope="module")
def root_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Replica], Path]:
    """Writes a replica once; it must not be changed."""
    roots: dict[str, Path] = {}

    def root(replica: Replica) -> Path:
        if replica.name not in roots:
            roots[replica.name] = tmp_path_factory.mktemp("root")
            write_replica(replica, roots[replica.name], SECONDS)
        return roots[replica.name]

    return root


@pytest.fixture
def copy_of(root_of: Callable[[Replica], Path], tmp_path: Path) -> Callable[[Replica], Path]:
    """Copies a replica, so that it may be damaged; returns its folder."""

    def copy(replica: Replica) -> Path:
        shutil.copytree(root_of(replica), tmp_path / "copy")
        return tmp_path / "copy" / replica.folder

    return copy


def is_label_of(task: Task, item: Item) -> bool:
    label, n = item.label, len(task.kind.names)
    match task.kind:
        case Classes():
            return isinstance(label, int) and 0 <= label < n
        case Tags():
            return isinstance(label, tuple) and len(set(label)) == len(label) and set(label) <= set(range(n))
        case Numbers():
            return isinstance(label, tuple) and len(label) == n
        case FrameClasses():
            return all(0 <= span.label < n and 0 <= span.start < span.end for span in label)
        case FrameEvents():
            return len(label) == n and all(list(times) == sorted(times) for times in label)
        case Stems():
            return len(label) == n and all(path.is_file() for path in label)


def test_every_task_has_a_replica() -> None:
    assert {name for _, name in CASES} == set(TASKS)


@pytest.mark.parametrize(("replica", "name"), CASES, ids=ids)
def test_a_task_loads_its_replica(root_of: Callable, replica: Replica, name: str) -> None:
    items = load_items(name, [root_of(replica)])
    assert {item.split for item in items} == set(SPLITS)
    assert all(item.path.is_file() for item in items)
    assert all(is_label_of(TASKS[name], item) for item in items)


@pytest.mark.parametrize(("replica", "name"), CASES, ids=ids)
def test_no_group_stands_on_two_sides(root_of: Callable, replica: Replica, name: str) -> None:
    assert not shared_groups(load_items(name, [root_of(replica)]))


@pytest.mark.parametrize(("replica", "name"), CASES, ids=ids)
def test_items_of_a_track_share_split_and_label(root_of: Callable, replica: Replica, name: str) -> None:
    items = load_items(name, [root_of(replica)])
    assert len({(item.track, item.split, item.label) for item in items}) == len({i.track for i in items})


@pytest.mark.parametrize(("replica", "name"), CASES, ids=ids)
def test_a_list_of_tasks_tells_how_many_items_are_there(
    root_of: Callable, replica: Replica, name: str
) -> None:
    root = root_of(replica)
    found = look_for(TASKS[name], [root])
    assert found.is_usable
    assert found.folder == root / replica.folder
    counts = Counter(item.split for item in load_items(name, [root]))
    assert found.n_items == {split: counts[split] for split in SPLITS}


@pytest.mark.parametrize("name", TASKS)
def test_a_missing_folder_is_named_with_what_to_fetch(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaskError) as error:
        load_items(name, [tmp_path])
    assert str(tmp_path / (TASKS[name].folders or (name,))[0]) in str(error.value)
    assert TASKS[name].download in str(error.value)


@pytest.mark.parametrize("name", TASKS)
def test_an_empty_folder_is_named_with_what_to_fetch(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaskError) as error:
        TASKS[name].load(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert TASKS[name].download in str(error.value)
    assert look_for(TASKS[name], [tmp_path / "none"]).folder is None


@pytest.mark.parametrize(("replica", "name"), CASES, ids=ids)
def test_missing_audio_is_named(copy_of: Callable, replica: Replica, name: str) -> None:
    folder = copy_of(replica)
    if replica.name == "vocalset":
        pytest.skip("no list says which recordings VocalSet has")
    gone = next(item for item in TASKS[name].load(folder) if item.split == "valid").path
    gone.unlink()
    with pytest.raises(TaskError, match=r"line \d+.*Fetch|Unpack") as error:
        TASKS[name].load(folder)
    assert gone.stem in str(error.value)


@pytest.mark.parametrize(("replica", "name"), WITH_TABLE, ids=ids)
def test_a_broken_line_is_named(copy_of: Callable, replica: Replica, name: str) -> None:
    folder = copy_of(replica)
    for path in folder.glob(replica.table):
        lines = path.read_text().split("\n")
        broken = lines[0] if path.suffix == ".json" else lines[1]
        lines[0 if path.suffix == ".json" else 1] = broken[:3]
        path.write_text("\n".join(lines))
    with pytest.raises(TaskError, match=r"line [12]: .*(Correct|Fetch)") as error:
        TASKS[name].load(folder)
    assert any(str(path) in str(error.value) for path in folder.glob(replica.table))


@pytest.mark.parametrize(
    ("replica", "name"), [c for c in CASES if c[0].table.endswith(".val.jsonl")], ids=ids
)
@pytest.mark.parametrize("label", ["nonsense", 7, None, ["nonsense"], {"beat": ["x"]}, [{"chord_str": "H"}]])
def test_an_unknown_label_is_named(copy_of: Callable, replica: Replica, name: str, label: object) -> None:
    folder = copy_of(replica)
    for path in folder.glob(replica.table):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[1]["label"] = label
        path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(TaskError, match=r"val\.jsonl, line 2: has .*\. .*[Cc]orrect") as error:
        TASKS[name].load(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_a_task_says_what_a_reader_must_know(task: Task) -> None:
    told = (task.title, task.licence, task.size, task.split_source, task.faults, task.download, task.source)
    assert all(text.strip() for text in told)
    assert len(set(task.kind.names)) == len(task.kind.names)
    assert "data/" in task.download
