import json
import shutil
from pathlib import Path

import pytest

from solfa.tasks import TASKS, Item, Span, TaskError, shared_groups
from solfa_free.soundfonts import SOURCES
from solfa_free.tasks_of_renderings import RENDERED_TASKS, SOUNDFONTS, free_version
from tasks.free_replica import PIECE_SECONDS, PLAYERS, write_free


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_free(tmp_path / "free", 0.3)
    return tmp_path / "free"


def load(folder: Path, name: str) -> list[Item]:
    return list(TASKS[f"free_{name}"].load(folder))


@pytest.mark.parametrize("name", [task.name for task in RENDERED_TASKS])
def test_neither_piece_nor_soundfont_stands_on_two_sides(folder: Path, name: str) -> None:
    items = TASKS[name].load(folder)
    assert not shared_groups(items)
    players = {(item.split, item.track.split()[1]) for item in items}
    assert players == set(PLAYERS.items())


@pytest.mark.parametrize("name", [task.name for task in RENDERED_TASKS])
def test_a_missing_split_is_named_with_the_command_that_makes_it(folder: Path, name: str) -> None:
    for place in folder.glob("*timgm6mb"):
        shutil.rmtree(place)
    with pytest.raises(TaskError, match=r"nothing to test with.*solfa data render"):
        TASKS[name].load(folder)


def test_every_soundfont_of_the_benchmark_can_be_fetched() -> None:
    assert set(SOUNDFONTS) <= set(SOURCES)


def test_keys_are_numbered_as_in_other_tasks(folder: Path) -> None:
    names = TASKS["free_key"].kind.names
    assert {names[item.label] for item in load(folder, "key")} == {"C major", "Gb minor"}


def test_a_piece_in_one_key_is_the_recording_that_other_tasks_have(folder: Path) -> None:
    def stretches(name: str) -> set[tuple[Path, float, float | None]]:
        return {(item.path, item.start, item.seconds) for item in load(folder, name)}

    assert stretches("key") == stretches("tempo")


def test_a_short_stretch_in_a_key_is_left_out(folder: Path) -> None:
    path = folder / "pop909-fluidr3" / "labels.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["keys"] = [[0.0, 15.0, "C major"], [15.0, 20.0, "D major"]]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = [item for item in load(folder, "key") if item.split == "train"]
    assert [(item.start, item.seconds) for item in found] == [(0.0, 15.0), (0.0, None)]


def test_suspended_chords_are_not_counted(folder: Path) -> None:
    names = TASKS["free_chords"].kind.names
    spans = load(folder, "chords")[0].label
    assert [(span.start, span.end, names[span.label]) for span in spans] == [
        (0.0, 2.0, "C:maj"),
        (2.0, 10.0, "Gb:min"),
    ]


def test_between_notes_of_the_melody_there_is_none(folder: Path) -> None:
    spans = load(folder, "melody")[0].label
    names = TASKS["free_melody"].kind.names
    assert spans[0] == Span(0.0, 1.0, 0)
    assert [names[span.label] for span in spans] == ["none", "60", "64", "none", "67", "none"]
    assert spans[-1].end == PIECE_SECONDS


def test_a_single_note_knows_its_pitch_and_its_family(folder: Path) -> None:
    pitches, families = TASKS["free_pitch"].kind.names, TASKS["free_family"].kind.names
    assert {pitches[item.label] for item in load(folder, "pitch")} == {"60", "61"}
    assert {families[item.label] for item in load(folder, "family")} == {"piano", "chromatic percussion"}


def test_songs_are_no_single_notes(folder: Path) -> None:
    assert {len(load(folder, name)) for name in ("tempo", "pitch")} == {6}


def test_an_accompaniment_knows_its_style(folder: Path) -> None:
    names = TASKS["free_style"].kind.names
    found = load(folder, "style")
    assert {(names[item.label], item.group.rpartition("/")[2]) for item in found} == {
        ("waltz", "waltz"),
        ("rock", "rock"),
    }
    assert len(found) == 6


def test_a_style_that_is_none_is_refused_by_file_and_line(folder: Path) -> None:
    path = folder / "mma-fluidr3" / "labels.jsonl"
    path.write_text(path.read_text().replace('"style": "rock"', '"style": "polka dot"'))
    with pytest.raises(TaskError, match=r"labels.jsonl, line 2: has an unknown style 'polka dot'"):
        load(folder, "style")


def test_a_tempo_twice_as_fast_is_one_more(folder: Path) -> None:
    path = folder / "pop909-fluidr3" / "labels.jsonl"
    path.write_text(path.read_text().replace('"tempo_bpm": 120.0', '"tempo_bpm": 60.0', 1))
    slow, fast = (item.label[0] for item in load(folder, "tempo") if item.split == "train")
    assert fast - slow == pytest.approx(1.0)


def test_the_version_changes_with_any_label_and_not_with_the_place(folder: Path, tmp_path: Path) -> None:
    before = free_version(folder)
    (folder / "neither").rename(folder / "elsewhere")
    assert free_version(folder) == before
    path = folder / "elsewhere" / "labels.jsonl"
    path.write_text(path.read_text().replace("C:maj", "D:maj"))
    assert free_version(folder) != before


def test_a_part_may_be_a_link_to_where_it_lies(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for part in folder.iterdir():
        (linked / part.name).symlink_to(part)
    assert free_version(linked) == free_version(folder)
    assert len(load(linked, "pitch")) == len(load(folder, "pitch"))


def test_an_unknown_label_is_refused_by_file_and_line(folder: Path) -> None:
    path = folder / "pop909-fluidr3" / "labels.jsonl"
    path.write_text(path.read_text().replace("C major", "H major"))
    with pytest.raises(TaskError, match=r"labels.jsonl, line 1: has an unknown label.*Render it again"):
        load(folder, "key")
