"""The table beside published rows, in four forms, and the pictures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.image import imread

from solfa.probing import ProbeConfig, ProbeResult, Score, draw_heat_map, draw_layers
from solfa.probing.probe import LayerScore
from solfa.probing.published import PUBLISHED, PublishedRow
from solfa.probing.report import (
    load_results,
    load_rows,
    make_table,
    narrow_tables,
    save_report,
    save_result,
    save_row,
    to_json,
    to_latex,
    to_markdown,
)
from solfa.tasks import TASKS

LAYERS = tuple(
    LayerScore(layer=layer, lr=1e-3, by_seed=(value, value + 0.02))
    for layer, value in ((0, 0.4), (1, 0.6), (2, 0.5), ("weighted", 0.55), ("concatenated", 0.58))
)
GENRE = ProbeResult(
    task="gtzan_genre", title="GTZAN genre", model="my_model", weights="a" * 64, layer=1, lr=1e-3,
    epochs=(3, 4), scores=(Score(metric="accuracy", by_seed=(0.70, 0.72), low=0.65, high=0.77),),
    layers=LAYERS, n_items=(443, 197, 290), n_test_tracks=290, n_refused=0, left_out=(),
    faults="jazz.00054 is broken", probe=ProbeConfig(), seconds=1.0,
)  # fmt: skip
KEY = replace(
    GENRE, task="giantsteps_key", title="GiantSteps key", n_refused=3,
    scores=(Score(metric="key_score", by_seed=(0.6,), low=0.5, high=0.7),), left_out=("never",),
)  # fmt: skip
OTHER = replace(GENRE, model="other", weights="b" * 64)


def test_a_score_stands_with_its_intervals_beside_published_ones() -> None:
    rows = {row[0]: row for row in make_table([GENRE]).rows}
    assert rows["my_model"][1:] == ("this run", "mean", "71.0 ± 12.7 [65.0, 77.0]")
    assert rows["MuQ"][1:] == ("MuQ, arXiv:2501.01108, table 1", "-", "85.5")
    assert rows["Music2Vec"][3] == "74.1"


def test_what_was_not_run_is_said() -> None:
    rows = {row[0]: row for row in make_table([GENRE, KEY, OTHER]).rows}
    assert rows["my_model"][4] == "60.0 [50.0, 70.0]"
    assert rows["other"][4] == "not run"
    assert rows["MERT-95M (RVQ)"][4] == "-"


def test_notes_say_what_is_not_comparable() -> None:
    notes = "\n".join(make_table([GENRE, KEY]).notes)
    for words in ("jazz.00054", "3 items could not be used", "never", "chosen on validation", "GTZAN 79.3"):
        assert words in notes
    assert "my_model, 3 seeds, layer and rate: gtzan_genre 1 0.001, giantsteps_key 1 0.001." in notes


def test_items_are_counted_once_for_all_encoders_that_had_the_same() -> None:
    notes = "\n".join(make_table([GENRE, OTHER]).notes)
    assert notes.count("443 items") == 1
    assert "GTZAN genre: 443 items" in notes
    notes = "\n".join(make_table([GENRE, replace(OTHER, n_items=(443, 197, 289), n_refused=1)]).notes)
    assert "GTZAN genre (my_model): 443" in notes
    assert "GTZAN genre (other): 443 items to train, 197 to validate, 289" in notes


def test_notes_say_which_heads_were_not_fitted_as_usual() -> None:
    halved = ProbeConfig(halvings=(3, 5), first_seed_chooses=True)
    seeded = replace(KEY, probe=ProbeConfig(seeds=(0,)))
    notes = make_table([replace(GENRE, probe=halved), seeded]).notes
    assert "Not as in MARBLE but halvings=[3, 5], first_seed_chooses=true: gtzan_genre." in notes
    assert sum("MARBLE but" in note for note in notes) == 1
    notes = make_table([replace(GENRE, probe=halved), OTHER]).notes
    assert any(note.endswith("gtzan_genre with my_model.") for note in notes)


def test_the_table_has_the_same_rows_in_every_form() -> None:
    table = make_table([GENRE, KEY])
    markdown, latex = to_markdown(table), to_latex(table)
    assert markdown.count("\n|") == len(table.rows) + 1
    assert latex.count(r"\\") == len(table.rows) + 1
    assert r"my\_model" in latex
    values = json.loads(to_json([GENRE, KEY]))
    assert len(values["results"]) + len(values["published"]) == len(table.rows) + 1
    assert values["results"][0]["layers"][1]["by_seed"] == [0.6, 0.62]


def test_a_table_of_more_tasks_than_rows_is_turned() -> None:
    drums, sounds = (
        replace(GENRE, task=name, title=TASKS[name].title) for name in ("free_drums", "free_sounds")
    )
    table = make_table([drums, sounds])
    assert table.columns == ("task", "my_model")
    assert table.rows[:2] == (("readout", "mean"), ("free_drums, accuracy", "71.0 ± 12.7 [65.0, 77.0]"))
    assert r"{lr}" in to_latex(table)
    lines = to_markdown(table).splitlines()
    assert lines[0] == "| task | my_model |"
    program = PublishedRow("program", "version 1", {("free_drums", "accuracy"): 12.5})
    three = [drums, sounds, replace(drums, task="free_game", title="game")]
    table = make_table(three, others=[program])
    assert table.columns == ("task", "my_model", "program")
    assert table.rows[0] == ("source", "this run", "version 1")
    assert [row[2] for row in table.rows[1:]] == ["-", "12.5", "-", "-"]
    assert to_markdown(table).count("program") == 1


def test_a_narrow_place_gets_short_scores_and_as_many_columns_as_it_holds() -> None:
    results = [
        replace(GENRE, task=task, title=task, model=model)
        for model in ("a", "b", "c") for task in ("free_drums", "free_sounds", "free_game", "free_scene")
    ]  # fmt: skip
    table = make_table(results, is_short=True)
    assert table.rows[1] == ("free_drums, accuracy", *["71.0 [65, 77]"] * 3)
    assert " ± " not in " ".join(table.notes)
    name, score = len("free_sounds, accuracy") + 2, len("71.0 [65, 77]") + 2
    for width, columns in (
        (10, [1, 1, 1]),
        (name + 2 * score - 2, [2, 1]),
        (name + 2 * score - 3, [1, 1, 1]),
    ):
        parts = narrow_tables(table, width)
        assert [len(part.columns) - 1 for part in parts] == columns
        assert [name for part in parts for name in part.columns[1:]] == ["a", "b", "c"]


def test_results_are_found_again_and_replaced(tmp_path: Path) -> None:
    for result in (GENRE, OTHER, replace(GENRE, lr=5.0)):
        save_result(result, tmp_path)
    found = load_results(tmp_path)
    assert {(result.model, result.lr) for result in found} == {("my_model", 5.0), ("other", 1e-3)}
    save_report(found, tmp_path)
    assert {"table.md", "table.tex", "results.json"} <= {path.name for path in tmp_path.iterdir()}


def test_published_rows_name_tasks_and_metrics_that_exist() -> None:
    for row in PUBLISHED:
        for task, metric in row.scores:
            assert metric.startswith(("r2_", "sdr_")) or metric in TASKS[task].metrics, row
            assert 0 < row.scores[task, metric] < 100


@pytest.mark.parametrize("draw", [draw_layers, draw_heat_map])
def test_pictures_are_drawn(tmp_path: Path, draw: object) -> None:
    picture = imread(draw([GENRE, KEY], tmp_path / "picture.png"))  # type: ignore[operator]
    assert picture.shape[1] > 300
    assert picture.std() > 0.01


def test_a_program_that_is_no_encoder_has_a_row_where_it_has_a_task(tmp_path: Path) -> None:
    row = PublishedRow("tracker", "tracker 1.0, run here", {("gtzan_genre", "accuracy"): 12.34})
    save_row(row, tmp_path)
    assert load_rows(tmp_path) == [row]
    assert ("tracker", "tracker 1.0, run here", "-", "12.3") in save_report([GENRE], tmp_path).rows
    assert "tracker" not in {cells[0] for cells in save_report([KEY], tmp_path).rows}


def test_rows_say_their_readout_and_one_model_read_in_two_ways_has_two(tmp_path: Path) -> None:
    rich = replace(GENRE, probe=ProbeConfig(pool="mean+std", reach_frames=2))
    for result in (GENRE, rich):
        save_result(result, tmp_path)
    table = save_report(load_results(tmp_path), tmp_path)
    ours = [row[:3] for row in table.rows if row[1] == "this run"]
    assert sorted(ours) == [("my_model", "this run", "mean"), ("my_model", "this run", "mean+std ±2")]
    assert any(note.startswith("Readout, the same for models and baselines") for note in table.notes)
    assert 'Not as in MARBLE but pool="mean+std", reach_frames=2: gtzan_genre.' in table.notes


@pytest.mark.parametrize(
    ("model", "readout"), [("log-mel", "mean+std ±2"), ("my_model", "mean"), ("musicnn", "mean")]
)
def test_results_from_before_readouts_were_named_say_how_they_were_read(
    tmp_path: Path, model: str, readout: str
) -> None:
    path = save_result(replace(GENRE, model=model), tmp_path)
    values = json.loads(path.read_text())
    del values["probe"]["pool"], values["probe"]["reach_frames"]
    path.write_text(json.dumps(values))
    [found] = load_results(tmp_path)
    assert found.probe.readout == readout
