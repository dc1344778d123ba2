"""What single sets hold in their own layout, and where a set is looked for."""

import json
import os
import statistics
from pathlib import Path

import pytest

from solfa.tasks import TASKS, Item, Span, TaskError, find_data, load_items, look_for, task
from tasks.replicas import REPLICAS, write_replica

BY_NAME = {replica.name: replica for replica in REPLICAS}


def items_of(root: Path, replica: str, name: str) -> dict[str, Item]:
    write_replica(BY_NAME[replica], root, 0.3)
    return {item.track: item for item in load_items(name, [root])}


def test_an_unknown_task_is_refused_with_the_nearest() -> None:
    with pytest.raises(TaskError, match="Did you mean 'gtzan_genre'"):
        task("gtzan_genres")


def test_data_are_found_in_the_folder_named_by_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b" / "EMO").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_data("emomusic") is None
    monkeypatch.setenv("SOLFA_DATA", os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")]))
    assert find_data("emomusic") == tmp_path / "b" / "EMO"


def test_data_are_found_in_the_folder_data_with_marbles_relative_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOLFA_DATA", raising=False)
    write_replica(BY_NAME["emomusic, marble"], Path("data"))
    assert find_data("emomusic") == Path("data/EMO")
    assert look_for(TASKS["emomusic"]).n_items == {"train": 4, "valid": 4, "test": 4}


def test_a_root_may_be_the_folder_of_a_set_itself(tmp_path: Path) -> None:
    folder = write_replica(BY_NAME["emomusic, marble"], tmp_path)
    assert find_data("emomusic", [folder]) == folder
    assert find_data("gtzan_genre", [folder]) is None


def test_marbles_lists_may_lie_in_a_folder_of_another_name(tmp_path: Path) -> None:
    folder = write_replica(BY_NAME["emomusic, marble"], tmp_path).rename(tmp_path / "emomusic")
    assert len(TASKS["emomusic"].load(folder)) == 12


def test_a_list_of_tasks_says_why_one_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "EMO").mkdir()
    found = look_for(TASKS["emomusic"], [tmp_path])
    assert not found.is_usable
    assert sum(found.n_items.values()) == 0
    assert "EMO.train.jsonl is missing" in found.problem


def test_a_list_of_tasks_counts_groups_on_two_sides(tmp_path: Path) -> None:
    folder = write_replica(BY_NAME["hooktheory"], tmp_path)
    lists = [folder / f"HookTheoryKey.{split}.jsonl" for split in ("train", "val")]
    lists[1].write_text(lists[0].read_text().splitlines()[0] + "\n")
    assert look_for(TASKS["hooktheory_key"], [tmp_path]).n_shared == 1


def test_an_unknown_label_is_refused_with_the_nearest(tmp_path: Path) -> None:
    folder = write_replica(BY_NAME["gtzan, marble"], tmp_path)
    path = folder / "GTZANGenre.test.jsonl"
    path.write_text(path.read_text().replace('"blues"', '"bluess"', 1))
    with pytest.raises(TaskError, match="Did you mean 'blues'"):
        TASKS["gtzan_genre"].load(folder)


def test_the_broken_file_of_gtzan_is_left_out(tmp_path: Path) -> None:
    assert "jazz.00054" not in items_of(tmp_path, "gtzan, published", "gtzan_genre")


def test_beats_and_downbeats_of_gtzan_are_seconds(tmp_path: Path) -> None:
    beats, downbeats = items_of(tmp_path, "gtzan, marble", "gtzan_beats")["blues.00000"].label
    assert len(beats) == 8
    assert downbeats == (beats[0], beats[4])


def test_the_folder_of_a_clip_of_magnatagatune_is_its_split(tmp_path: Path) -> None:
    items = items_of(tmp_path, "mtt, published", "magnatagatune").values()
    assert {(item.path.parent.name, item.split) for item in items} == {
        ("0", "train"),
        ("c", "valid"),
        ("f", "test"),
    }


def test_untagged_clips_of_magnatagatune_are_kept(tmp_path: Path) -> None:
    assert () in [item.label for item in items_of(tmp_path, "mtt, published", "magnatagatune").values()]


def test_empty_files_of_magnatagatune_are_left_out(tmp_path: Path) -> None:
    folder = write_replica(BY_NAME["mtt, published"], tmp_path)
    table = folder / "annotations_final.csv"
    lines = table.read_text().splitlines()
    broken = "6/norine_braun-now_and_zen-08-gently-117-146.mp3"
    table.write_text("\n".join([*lines, lines[1].rsplit("\t", 1)[0] + "\t" + broken]))
    assert len(TASKS["magnatagatune"].load(folder)) == len(lines) - 1


def test_unsure_and_double_keys_of_giantsteps_are_left_out(tmp_path: Path) -> None:
    items = items_of(tmp_path, "giantsteps, published", "giantsteps_key")
    assert not {"8", "9"} & set(items)
    assert len(items) == 12
    assert TASKS["giantsteps_key"].kind.names[items["0"].label] == "Eb minor"


def test_ratings_of_emomusic_are_deviations_from_the_development_set(tmp_path: Path) -> None:
    items = items_of(tmp_path, "emomusic, published", "emomusic").values()
    arousal = [item.label[0] for item in items if item.split != "test"]
    assert statistics.fmean(arousal) == pytest.approx(0)
    assert statistics.pstdev(arousal) == pytest.approx(1)


def test_an_artist_of_jamendo_is_a_group(tmp_path: Path) -> None:
    items = items_of(tmp_path, "mtg, published", "mtg_genre")
    assert items["track_0000002"].group == items["track_0000003"].group == "artist_000001"


def test_tags_of_jamendo_fill_the_last_column_and_beyond(tmp_path: Path) -> None:
    items = items_of(tmp_path, "mtg, published", "mtg_top50")
    assert (items["track_0000001"].label, items["track_0000002"].label) == ((1, 49), (2,))


def test_the_fourteen_tracks_of_musdb_validate(tmp_path: Path) -> None:
    items = items_of(tmp_path, "musdb18", "musdb18")
    assert items["Leaf - Summerghost"].split == "valid"
    assert [path.stem for path in items["A - One"].label] == ["vocals", "drums", "bass", "other"]


def test_chords_of_no_class_leave_a_gap(tmp_path: Path) -> None:
    spans = items_of(tmp_path, "chords1217", "chords1217")["TR0000"].label
    names = TASKS["chords1217"].kind.names
    assert [names[span.label] for span in spans] == ["N", "E:maj", "Gb:min", "Bb:maj"]
    assert spans[3].start == pytest.approx(0.25)


def test_a_chord_without_length_is_passed_over(tmp_path: Path) -> None:
    folder = write_replica(BY_NAME["chords1217"], tmp_path)
    path = folder / "Chords1217.train.jsonl"
    row, *others = path.read_text().splitlines()
    values = json.loads(row)
    values["label"][-1]["end_time"] = values["label"][-1]["start_time"]
    path.write_text("\n".join([json.dumps(values), *others]))
    assert len(TASKS["chords1217"].load(folder)[0].label) == 3


def test_sections_that_follow_each_other_in_a_clip_of_hooktheory_are_one(tmp_path: Path) -> None:
    items = items_of(tmp_path, "hooktheory", "hooktheory_structure")
    names = TASKS["hooktheory_structure"].kind.names
    assert [names[items[f"clip{n}"].label] for n in (3, 4)] == ["instrumental", "verse"]


def test_sections_of_harmonix_end_where_the_next_begins(tmp_path: Path) -> None:
    item = items_of(tmp_path, "harmonix", "harmonix_structure")["0000_song"]
    assert len(item.label) == 4  # "guitar" tells no section
    first, second = item.label[:2]
    assert isinstance(first, Span)
    assert first.end == second.start


def test_a_file_of_sections_without_an_end_is_refused(tmp_path: Path) -> None:
    folder = write_replica(BY_NAME["harmonix"], tmp_path)
    path = folder / "dataset" / "segments" / "0003_song.txt"
    path.write_text("0.0 intro\n5.0 verse\n")
    with pytest.raises(TaskError, match=r"0003_song\.txt, line 2"):
        TASKS["harmonix_structure"].load(folder)


def test_techniques_of_vocalset_are_split_by_singer(tmp_path: Path) -> None:
    items = items_of(tmp_path, "vocalset", "vocalset_technique")
    assert {item.group: item.split for item in items.values()} == {
        "f1": "train",
        "f9": "valid",
        "f2": "test",
        "m10": "test",
    }
    assert not [track for track in items if "slow_forte" in track]


def test_an_unknown_singer_is_refused(tmp_path: Path) -> None:
    folder = write_replica(BY_NAME["vocalset"], tmp_path)
    (folder / "FULL" / "child1").mkdir()
    with pytest.raises(TaskError, match="child1 is the folder of no known singer"):
        TASKS["vocalset_singer"].load(folder)
