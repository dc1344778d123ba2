import json
import shutil
from pathlib import Path

import pytest

from solfa.tasks import SPLITS, TASKS, Item, TaskError, find_leaks, shared_groups
from solfa_free.real_sounds import DRUMS, GAMES, KITS, SCENE_SPLITS, SOUND_PACKAGES, TRACK_PACKAGES
from solfa_free.tasks import FREE_TASKS
from solfa_free.tasks_of_recordings import REAL_TASKS
from tasks.free_replica import write_free


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_free(tmp_path / "free", 0.3)
    return tmp_path / "free"


def load(folder: Path, name: str) -> list[Item]:
    return list(TASKS[f"free_{name}"].load(folder))


def change_first_row(path: Path, **values: object) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0] |= values
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_sounds_of_a_replica_have_their_kinds(folder: Path) -> None:
    drums = TASKS["free_drums"].kind.names
    assert {drums[item.label] for item in load(folder, "drums")} == {"kick", "snare"}


def test_a_track_without_a_scene_is_only_asked_for_its_game(folder: Path) -> None:
    assert (len(load(folder, "game")), len(load(folder, "scene"))) == (6, 3)
    names = TASKS["free_scene"].kind.names
    assert {tuple(names[n] for n in item.label) for item in load(folder, "scene")} == {("battle", "cave")}


def test_games_are_split_by_track_and_scenes_by_package(folder: Path) -> None:
    assert {item.group for item in load(folder, "scene")} == {
        f"package {name}" for name in ("supertux-data", "neverball-common", "hedgewars-data")
    }
    assert len({item.group for item in load(folder, "game")}) == 6


@pytest.mark.parametrize("name", [task.name for task in REAL_TASKS])
def test_a_folder_without_recordings_says_how_to_get_them(folder: Path, name: str) -> None:
    for corpus in ("drums", "sounds", "tracks"):
        shutil.rmtree(folder / corpus)
    with pytest.raises(TaskError, match="solfa data render free"):
        TASKS[name].load(folder)


def test_an_unknown_kind_is_refused_by_file_and_line(folder: Path) -> None:
    change_first_row(folder / "drums" / "labels.jsonl", tags={"corpus": "drums", "kind": "gong"})
    with pytest.raises(TaskError, match=r"line 1: has an unknown label 'gong'"):
        load(folder, "drums")


def test_every_kind_and_package_has_its_side() -> None:
    assert set(KITS.values()) == set(SPLITS) == set(SOUND_PACKAGES.values())
    assert set(SCENE_SPLITS) <= set(TRACK_PACKAGES)
    assert all(any(package.startswith(game) for package in TRACK_PACKAGES) for game in GAMES)
    assert len(DRUMS) == len(set(DRUMS))


@pytest.mark.parametrize("name", [task.name for task in FREE_TASKS])
def test_a_clean_replica_has_no_leaks(folder: Path, name: str) -> None:
    if name == "free_style" and not any("mma" in path.name for path in folder.iterdir()):
        pytest.skip("the replica has no accompaniments")
    items = TASKS[name].load(folder)
    assert not {name for name in find_leaks(items) if not name.startswith("bytes of")}


def test_a_kit_on_two_sides_is_found(folder: Path) -> None:
    change_first_row(folder / "drums" / "labels.jsonl", group="package hedgewars-data")
    assert shared_groups(load(folder, "drums")) == {"package hedgewars-data": {"train", "test"}}


def test_the_same_audio_on_two_sides_is_found_whatever_its_row_says(folder: Path) -> None:
    audio = folder / "drums" / "audio"
    assert not shared_groups(load(folder, "drums"))
    shutil.copy(audio / "drums-train-kick.flac", audio / "drums-test-kick.flac")
    leaks = find_leaks(load(folder, "drums"))
    assert list(leaks.values()) == [{"train", "test"}]


def test_the_same_recording_on_two_sides_is_found_by_its_row(folder: Path) -> None:
    change_first_row(folder / "drums" / "labels.jsonl", content_hash="drums-test-kick")
    assert shared_groups(load(folder, "drums")) == {"audio drums-test-kick": {"train", "test"}}


def test_a_soundfont_of_the_test_may_not_train(folder: Path) -> None:
    items = load(folder, "key")
    trained = next(item for item in items if item.split == "train")
    leak = Item(trained.path, "train", 0, "other", "other", soundfont="timgm6mb")
    assert shared_groups([*items, leak]) == {"soundfont timgm6mb": {"train", "test"}}
    fair = Item(trained.path, "valid", 0, "other", "other", soundfont=trained.soundfont)
    assert not shared_groups([*items, fair])
