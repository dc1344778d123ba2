"""solfa probe: from a task's files to the table, and what it says when something is missing."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from probing_data import make_task
from solfa import tasks
from solfa.cli import probe as command
from solfa.cli.main import app
from solfa.tasks import SPLITS, Classes, ClipRule, Item, TaskError
from synth import noise, tone

FAST = ("--seeds", 2, "--set", "hidden_dim=8", "--set", "lrs=[0.01]", "--set", "n_epochs=3")


def load(folder: Path) -> list[Item]:
    """Tones and noises, as their names say."""
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise TaskError(f"{folder} is empty. Put sounds there.")
    return [
        Item(path, split, int("noise" in path.name), track=path.stem, group=path.stem)
        for path in paths
        for split in SPLITS
        if path.name.startswith(split)
    ]


@pytest.fixture
def data(tmp_path: Path, write_wav: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task of tones and noises, which is the only one that is known."""
    for number, split in enumerate(SPLITS):
        for n in range(3):
            sounds = {"tone": tone(300 + 90 * n + 20 * number, 0.6), "noise": noise(0.6, seed=3 * number + n)}
            for name, waveform in sounds.items():
                write_wav(tmp_path / "data" / "toy" / f"{split}-{name}-{n}.wav", waveform)  # type: ignore[operator]
    kind = Classes(("tone", "noise"))
    toy = make_task(kind, ("accuracy",), load=load, clips=ClipRule(seconds=0.5), download="Make some noise.")
    for place in (tasks.catalogue.TASKS, command.TASKS):
        monkeypatch.setitem(place, "toy", toy)
    return tmp_path / "data"


def probe(*arguments: object, exit_code: int = 0) -> Result:
    words = ["probe", *map(str, arguments)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def test_a_task_becomes_a_table_and_pictures(data: Path, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = probe("toy", "--model", tiny_run, "--data", data, "--out", out, *FAST).stdout
    assert "toy: 18 items, features of 18 new" in said
    [result] = json.loads((out / "results.json").read_text())["results"]
    assert result["n_items"] == [6, 6, 6]
    assert result["scores"][0]["metric"] == "accuracy"
    for name in ("table.md", "table.tex", "layers.png", "heat-1.png", "refused.jsonl"):
        assert (out / name).exists()
    again = probe("toy", "--model", tiny_run, "--data", data, "--out", out, *FAST).stdout
    assert "features of 0 new" in again


def test_a_bad_file_is_refused_and_the_rest_is_scored(data: Path, tiny_run: Path, tmp_path: Path) -> None:
    (data / "toy" / "test-tone-9.wav").write_bytes(b"no music")
    options = ("--data", data, "--out", tmp_path / "out", *FAST)
    said = probe("toy", "--model", tiny_run, *options).stdout
    assert "1 files refused" in said
    assert "test-tone-9.wav" in (tmp_path / "out" / "refused.jsonl").read_text()
    assert "1 items could not be used" in (tmp_path / "out" / "table.md").read_text()
    probe("toy", "--model", tiny_run, *options, "--strict", exit_code=1)


def test_the_list_says_what_is_here_and_what_to_download(data: Path) -> None:
    said = probe("--list", "--data", data).stdout
    assert "present  toy" in said
    assert "6/6/6 items" in said
    assert "missing  gtzan_genre" in said


def test_a_task_without_data_says_what_to_download(data: Path, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="Make some noise"):
        probe("toy", "--model", tiny_run, "--data", tmp_path / "nothing", "--out", tmp_path / "out")


def test_a_model_is_needed(data: Path) -> None:
    assert "--list shows the tasks" in probe("toy", exit_code=2).output.replace("\n", " ").replace("│", "")


def test_a_layer_that_is_not_there_is_refused(data: Path, tiny_run: Path, tmp_path: Path) -> None:
    options = ("--data", data, "--out", tmp_path / "out", "--layer", 7, *FAST)
    assert "layers 0 to 2" in probe("toy", "--model", tiny_run, *options, exit_code=2).output


def test_layers_of_all_models_are_looked_at_before_any_work(
    data: Path, tiny_run: Path, tmp_path: Path
) -> None:
    models = ("--model", tiny_run, "--model", "log-mel")
    options = ("--data", data, "--out", tmp_path / "out", "--layer", 1, *FAST)
    assert "log-mel has the layers 0 to 0" in probe("toy", *models, *options, exit_code=2).output
    assert not (tmp_path / "out").exists()


def test_scores_are_better_than_chance_where_layers_differ(
    data: Path, tiny_run: Path, tmp_path: Path
) -> None:
    options = ("--seeds", 1, "--set", "lrs=[0.01]", "--set", "is_standardised=true")
    probe("toy", "--model", tiny_run, "--data", data, "--out", tmp_path / "out", *options)
    [result] = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert np.mean(result["scores"][0]["by_seed"]) > 0.8


def test_baselines_stand_in_the_same_table(data: Path, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    models = ("log-mel", "random", f"untrained:{tiny_run}")
    probe(
        "toy", *(word for name in models for word in ("--model", name)), "--data", data, "--out", out, *FAST
    )
    found = [result["model"] for result in json.loads((out / "results.json").read_text())["results"]]
    assert found == list(models)
