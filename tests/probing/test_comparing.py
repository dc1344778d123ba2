"""Models compared: what is kept of answers, chance, and intervals over the same drawn tracks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from probing_data import CONFIG, classes_task, make_task, write_features
from solfa.cli.main import app
from solfa.errors import ArgumentError
from solfa.probing import ProbeConfig, ProbeResult, load_results, save_result
from solfa.probing.answers import (
    CHOSEN,
    LAST,
    UPPER,
    AnswersError,
    KeptAnswers,
    choices_by_reading,
    keep_answers,
    load_answers,
    save_answers,
)
from solfa.probing.chance import chance
from solfa.probing.comparing import compare
from solfa.probing.comparison_report import comparison_to_json, comparison_to_markdown
from solfa.probing.grid import Fit
from solfa.probing.heads import Head
from solfa.probing.probe import probe_and_keep
from solfa.probing.report import answers_path, save_kept
from solfa.probing.scoring import score
from solfa.probing.splits import Predictions
from solfa.tasks.kinds import Classes, FrameEvents, Numbers, Tags

QUICK = ProbeConfig(**CONFIG | {"batch": 16}, lrs=(1e-2,), seeds=(0, 1), n_epochs=20)
N_TRACKS = 240


def predictions(right: np.ndarray, n_classes: int = 4) -> Predictions:
    """Track n has the class n modulo all, and is told right or wrong."""
    labels = np.arange(len(right)) % n_classes
    said = np.where(right, labels, (labels + 1) % n_classes)
    return Predictions(Classes(tuple("abcd"[:n_classes])), labels.tolist(), list(np.eye(n_classes)[said]))


def kept(right: np.ndarray) -> KeptAnswers:
    """Answers of a model of one layer."""
    names = [f"track {n}" for n in range(len(right))]
    found = keep_answers(("accuracy",), names, {"0": [predictions(right)]}, {CHOSEN: 0, LAST: 0})
    assert found is not None
    return found


def saved(folder: Path, model: str, right: np.ndarray, task: str = "toy", version: str = "") -> Path:
    """A result with its answers, as if it had been probed."""
    result = ProbeResult(
        task=task, title="Toy", model=model, weights=model.ljust(64, "0"), layer=0, lr=1e-3, epochs=(1,),
        scores=(), layers=(), n_items=(1, 1, len(right)), n_test_tracks=len(right), n_refused=0,
        left_out=(), faults="", probe=QUICK, seconds=1.0, data_version=version,
    )  # fmt: skip
    return save_kept(result, kept(right), folder)


def hard_and_easy(share_lost: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two models that are right about the same half of the tracks; one of them loses a share of those."""
    random = np.random.default_rng(seed)
    easy = random.random(N_TRACKS) < 0.5
    return easy, easy & (random.random(N_TRACKS) >= share_lost)


def test_a_paired_difference_is_surer_than_two_intervals(tmp_path: Path) -> None:
    better, worse = hard_and_easy(share_lost=0.15)
    assert better.sum() - worse.sum() >= 5
    saved(tmp_path, "base", worse)
    saved(tmp_path, "model", better)
    [comparison] = compare([tmp_path], "base")
    base, model = comparison.compared
    assert base.row.model == "base" and base.difference is None
    assert base.mean.value < model.mean.value and model.mean.low < base.mean.high  # apart they say nothing
    assert model.difference is not None and model.difference.low > 0
    assert (model.n_won, model.n_lost, model.n_tied) == (1, 0, 0)
    expected = 100 * (better.mean() - worse.mean()) / 0.75
    assert model.difference.value == pytest.approx(expected)


def test_a_model_is_no_better_than_itself(tmp_path: Path) -> None:
    right, _ = hard_and_easy()
    saved(tmp_path, "base", right)
    saved(tmp_path, "same", right)
    [comparison] = compare([tmp_path], "base")
    difference = comparison.compared[1].difference
    assert difference is not None and (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert comparison.compared[1].n_tied == 1


def test_a_task_that_one_answer_solves_is_left_out(tmp_path: Path) -> None:
    """Nothing lies above a chance of 100 %: scores could not be normalised."""
    always = np.ones(N_TRACKS, bool)
    for model in ("base", "model"):
        path = saved(tmp_path, model, always)
        save_answers(replace(kept(always), chance={"accuracy": 1.0}), answers_path(path))
    with pytest.raises(
        ArgumentError, match=r"toy is left out: all of its test tracks.*one and the same answer"
    ):
        compare([tmp_path], "base")


def test_the_mean_counts_tasks_alike_and_takes_chance_away(tmp_path: Path) -> None:
    always, half = np.ones(N_TRACKS, bool), np.arange(N_TRACKS) % 8 < 4
    for model, rights in {"base": (always, half), "model": (half, always)}.items():
        for task, right in zip(("one", "two"), rights, strict=True):
            saved(tmp_path, model, right, task)
    [comparison] = compare([tmp_path], "base")
    base, model = comparison.compared
    assert comparison.chance == {"one": 25.0, "two": 25.0}
    assert base.mean.value == pytest.approx(100 * (1 + (0.5 - 0.25) / 0.75) / 2)
    assert (model.n_won, model.n_lost) == (1, 1)
    assert model.difference is not None and model.difference.value == pytest.approx(0)
    assert base.scores == {"one": pytest.approx(100), "two": pytest.approx(50)}


def test_what_cannot_be_compared_is_left_out_and_named(tmp_path: Path) -> None:
    right, _ = hard_and_easy()
    for task in ("all_have", "other_data", "other_tracks", "one_lacks"):
        saved(tmp_path, "base", right, task)
    saved(tmp_path, "model", right, "all_have")
    saved(tmp_path, "model", right, "other_data", version="2")
    saved(tmp_path, "model", right[:-1], "other_tracks")
    answers_path(saved(tmp_path, "model", right, "old")).unlink()
    [comparison] = compare([tmp_path], "base")
    assert comparison.tasks == ("all_have",)
    notes = "\n".join(comparison.notes)
    for words in ("other_data is left out", "other_tracks is left out", "model was not asked",
                  "model, old: no answers are kept"):  # fmt: skip
        assert words in notes
    assert len(load_results(tmp_path)) == 8  # those of older versions are read as ever
    with pytest.raises(ArgumentError, match="Those of others are: base, model"):
        compare([tmp_path], "nobody")


def test_readouts_are_never_mixed(tmp_path: Path) -> None:
    right, _ = hard_and_easy()
    saved(tmp_path, "base", right)
    path = saved(tmp_path, "model", right)
    (result,) = [one for one in load_results(tmp_path) if one.model == "model"]
    answers = load_answers(answers_path(path))
    save_kept(replace(result, probe=replace(QUICK, pool="mean+std")), answers, tmp_path)
    [comparison] = compare([tmp_path], "base")
    assert [one.row for one in comparison.compared] == [("base", "mean"), ("model", "mean")]


def test_a_probe_keeps_the_answers_of_every_reading(tmp_path: Path) -> None:
    task = classes_task(("a", "b", "c"))
    features = write_features(tmp_path / "f", task, n_per_split=30, n_layers=3, dim=8, label_layer=1)
    result, answers = probe_and_keep(task, features, "toy", QUICK, lambda done, note: None)
    assert answers is not None
    assert answers.layers[UPPER] == "1" and answers.layers[LAST] == "2"
    assert set(answers.layers) == {
        "chosen", "best layer", "best layer from 1 on", "last layer", "concatenated", "weighted",
    }  # fmt: skip
    assert answers.layers[CHOSEN] == str(result.layer)
    assert answers.score("accuracy", CHOSEN) == pytest.approx(result.scores[0].mean)
    assert answers.score("accuracy", LAST) < 0.7 < answers.score("accuracy", UPPER)  # noise, and the label
    path = save_kept(result, answers, tmp_path)
    again = load_answers(answers_path(path))
    for reading in answers.layers:
        assert again.score("accuracy", reading) == answers.score("accuracy", reading)
    save_kept(result, None, tmp_path)
    assert not answers_path(path).exists()


def test_areas_and_numbers_are_kept_as_labels_and_logits(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tags = [tuple(np.flatnonzero(row)) for row in random.random((40, 3)) < 0.4]
    of_tags = Predictions(
        Tags(("a", "b", "c")), tags, list(random.standard_normal((40, 3)).astype(np.float32))
    )
    numbers = [tuple(row) for row in random.standard_normal((40, 1))]
    of_numbers = Predictions(
        Numbers(("tempo",)), numbers, list(random.standard_normal((40, 1)).astype(np.float32))
    )
    some = random.integers(0, 40, 40)
    for answers, metric in ((of_tags, "roc_auc"), (of_tags, "pr_auc"), (of_numbers, "r2")):
        found = keep_answers((metric,), list(map(str, range(40))), {"0": [answers]}, {CHOSEN: 0})
        assert found is not None
        save_answers(found, tmp_path / "kept.npz")
        again = load_answers(tmp_path / "kept.npz")
        assert again.score(metric, CHOSEN) == pytest.approx(score(metric, answers))
        assert again.score(metric, CHOSEN, some) == pytest.approx(score(metric, answers.take(some)))


def test_damaged_answers_name_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    save_answers(kept(np.ones(4, bool)), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(AnswersError, match="Remove it, and probe again"):
        load_answers(path)


def test_chance_is_that_of_the_best_constant_answer() -> None:
    classes = Predictions(Classes(("a", "b")), [0, 0, 0, 1], [np.zeros(2)] * 4)
    assert chance("accuracy", classes) == 0.75
    keys = Predictions(Classes(("C major", "G major")), [0, 1], [np.zeros(2)] * 2)
    assert chance("key_score", keys) == pytest.approx((1 + 0.5) / 2)  # a fifth off counts one half
    tags = Predictions(Tags(("a", "b")), [(0,), (0, 1), (0,), ()], [np.zeros(2)] * 4)
    assert chance("roc_auc", tags) == 0.5
    assert chance("pr_auc", tags) == pytest.approx((0.75 + 0.25) / 2)
    tempi = Predictions(Numbers(("tempo",)), [(7.0,), (7.01,), (6.0,)], [np.zeros(1)] * 3)
    assert chance("tempo_accuracy_1", tempi) == pytest.approx(2 / 3)
    assert chance("tempo_accuracy_2", tempi) == pytest.approx(1)
    assert chance("r2", tempi) is None
    times = np.arange(500) / 25
    beats = Predictions(
        FrameEvents(("beat",)), [(tuple(np.arange(0.3, 19, 0.61)),)], [np.zeros((500, 1))], [times]
    )
    found = chance("beat_f1", beats)
    assert found is not None and 0 < found < 0.5


def test_choices_of_readings_leave_out_what_was_not_fitted() -> None:
    fits = [Fit(Head(layer, 1e-3, 0), value, 1, None) for layer, value in ((0, 0.9), (1, 0.4), (2, 0.3))]
    assert choices_by_reading(fits) == {
        "chosen": (0, 1e-3), "best layer": (0, 1e-3), UPPER: (1, 1e-3), LAST: (2, 1e-3),
    }  # fmt: skip
    assert choices_by_reading(fits[:1]).keys() == {"chosen", "best layer", "last layer"}


def test_the_command_writes_a_table_and_json(tmp_path: Path) -> None:
    better, worse = hard_and_easy(share_lost=0.2)
    saved(tmp_path / "a", "base", worse)
    saved(tmp_path / "b", "model", better)
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    done = CliRunner().invoke(app, ["compare", *folders, "--against", "base", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    table = (tmp_path / "comparison.md").read_text()
    assert "| model | chosen |" in table and "less base" in table and "1, 0, 0" in table
    [told] = json.loads((tmp_path / "comparison.json").read_text())
    assert told["against"] == "base" and told["chance"] == {"toy": 25.0}
    [comparison] = compare([tmp_path / "a", tmp_path / "b"], "base")
    assert comparison_to_markdown([comparison]) == table
    assert json.loads(comparison_to_json([comparison])) == [told]


def test_a_task_without_chance_is_left_out(tmp_path: Path) -> None:
    right, _ = hard_and_easy()
    saved(tmp_path, "base", right)
    path = saved(tmp_path, "base", right, "numbers")
    answers = load_answers(answers_path(path))
    save_answers(replace(answers, chance={"accuracy": None}), answers_path(path))
    [comparison] = compare([tmp_path], "base")
    assert comparison.tasks == ("toy",)
    assert "numbers is left out: accuracy has no chance." in comparison.notes


def test_results_without_answers_are_saved_as_before(tmp_path: Path) -> None:
    right, _ = hard_and_easy()
    saved(tmp_path, "base", right)
    (result,) = load_results(tmp_path)
    assert save_result(result, tmp_path).name == "toy-base00000000.result.json"


def test_kept_answers_of_a_task_in_time_are_two_numbers_a_track() -> None:
    task = make_task(FrameEvents(("beat",)), ("beat_f1",))
    times = np.arange(100) / 25
    answers = Predictions(task.kind, [((1.0, 2.0, 3.0),)] * 2, [np.zeros((100, 1))] * 2, [times] * 2)
    found = keep_answers(task.metrics, ["a", "b"], {"0": [answers]}, {CHOSEN: 0})
    assert found is not None and found.parts["beat_f1|0"].shape == (1, 2, 2) and not found.logits
