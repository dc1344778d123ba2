"""Fine-tuning by the trainer: what is filled in at its start, continuity, two processes, and bad files."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import solfa
import synth
from conftest import save_tiny_run
from solfa import checkpoint
from solfa.config import override
from solfa.data.manifest import read_manifest
from solfa.models import LoRAConfig, Tagger
from solfa.objectives import FrozenConfig
from solfa.recipes.finetuning import finetune
from solfa.recipes.resolve import with_labels
from solfa.tasks import TASKS, Item, Numbers, TaskError
from solfa.training import RunConfig, Trainer, TrainingError
from training.test_trainer import stop_after, train
from training.test_two_processes import assert_same, gradients


def weights_of(run: Path) -> Callable[[int], Path]:
    return lambda step: checkpoint.step_folder(run, step) / checkpoint.WEIGHTS


@pytest.fixture
def table(tmp_path: Path, write_wav: object) -> Path:
    """Twelve sounds of 1.5 s, tones and noises, and the table of their labels."""
    rows = ["path,label,split"]
    for number in range(6):
        split = "valid" if number == 5 else "train"
        sounds = {"tone": synth.tone(200 + 80 * number, 1.5), "noise": synth.noise(1.5, seed=number)}
        for label, waveform in sounds.items():
            write_wav(tmp_path / f"{label}{number}.wav", waveform)  # type: ignore[operator]
            rows.append(f"{label}{number}.wav,{label},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "labels.csv"


@pytest.fixture
def small(table: Path, tiny_run: Path) -> RunConfig:
    """Fine-tuning on clips of a second; labels and encoder are named only."""
    changes = {
        "objective.start": str(tiny_run), "data.labels": str(table), "data.clip_seconds": 1.0,
        "data.clips_per_step": 4, "n_steps": 4, "log_every": 1, "validate_every": 2, "checkpoint_every": 2,
    }  # fmt: skip
    return override(finetune(), changes)


def test_a_run_takes_labels_and_sizes_from_what_it_is_given(small: RunConfig, tmp_path: Path) -> None:
    config = with_labels(small, tmp_path / "run")
    assert config.objective.tagger.labels.names == ("noise", "tone")  # type: ignore[union-attr]
    assert config.objective.tagger.encoder.conformer.dim == 16  # type: ignore[union-attr]
    tracks = read_manifest(Path(config.data.manifest))
    assert [track.tags["label"] for track in tracks] == ["tone", "noise"] * 5
    assert len(read_manifest(Path(config.data.valid_manifest))) == 2
    assert with_labels(config, tmp_path / "elsewhere") == config


def test_a_folder_that_holds_a_run_is_refused(small: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(TrainingError, match="--resume, or choose another --out"):
        with_labels(small, tmp_path / "run")


def test_four_steps_equal_two_saved_and_two_more(small: RunConfig, tmp_path: Path) -> None:
    config = with_labels(override(small, {"objective.learns": LoRAConfig(rank=2)}), tmp_path / "run")
    whole = load_file(train(config, tmp_path / "whole") / "model.safetensors")
    stop_after(config, tmp_path / "broken", 2)
    broken = load_file(train(config, tmp_path / "broken", resume=True) / "model.safetensors")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_the_best_step_on_validation_is_kept_and_loaded(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"objective.learns": FrozenConfig(), "validate_every": 1, "checkpoint_every": 1, "n_steps": 5}
    run = tmp_path / "run"
    config = with_labels(override(small, {**changes, "n_checkpoints_kept": 9}), run)
    losses = {1: 0.9, 2: 0.5, 3: math.nan, 4: 0.6, 5: 0.5}
    monkeypatch.setattr(Trainer, "validate", lambda trainer: {"loss": losses[trainer.step]})
    stop_after(config, run, 3)
    train(config, run, resume=True)
    kept, second, last = (
        load_file(path) for path in (run / "best.safetensors", *map(weights_of(run), (2, 5)))
    )
    assert all(torch.equal(kept[name], second[name]) for name in kept)
    assert not all(torch.equal(kept[name], last[name]) for name in kept)
    loaded, best, latest = (
        solfa.load(folder) for folder in (run, run / "step-00000002", run / "step-00000005")
    )
    sound = torch.from_numpy(synth.tone(300, 1.0))[None]
    torch.testing.assert_close(loaded.predict(sound), best.predict(sound), rtol=0, atol=0)
    assert not torch.equal(loaded.predict(sound), latest.predict(sound))


def test_a_run_with_lora_loads_as_a_tagger_without_it(small: RunConfig, tmp_path: Path) -> None:
    config = with_labels(override(small, {"objective.learns": LoRAConfig(rank=2)}), tmp_path / "run")
    train(config, tmp_path / "run")
    tagger = solfa.load(tmp_path / "run")
    assert isinstance(tagger, Tagger)
    assert not any("down" in name for name in tagger.state_dict())
    assert tagger.labels == ("noise", "tone")
    answers = tagger.predict(torch.zeros(2, 24_000))
    assert torch.allclose(answers.sum(1), torch.ones(2))
    saved = solfa.load(tagger.save_pretrained(tmp_path / "saved"))
    assert isinstance(saved, Tagger)
    assert torch.equal(saved.predict(torch.zeros(2, 24_000)), answers)


def test_two_processes_give_the_gradients_of_one(small: RunConfig, tmp_path: Path) -> None:
    config = override(
        with_labels(small, tmp_path / "run"), {"n_steps": 1, "objective.tagger.head.dropout": 0.0}
    )
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))


def test_files_that_cannot_be_read_are_named_and_the_rest_is_learned(
    small: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tone1.wav").write_bytes(b"no music")
    config = with_labels(small, tmp_path / "run")
    assert len(read_manifest(Path(config.data.manifest))) == 9
    assert "tone1.wav is left out" in caplog.text
    assert "tone1.wav" in (tmp_path / "run" / "refused.jsonl").read_text()


def test_a_label_whose_files_are_all_left_out_stops_the_run(small: RunConfig, tmp_path: Path) -> None:
    for path in tmp_path.glob("tone*.wav"):
        path.write_bytes(b"no music")
    with pytest.raises(TaskError, match=r"left in train with the label tone.*repair them"):
        with_labels(small, tmp_path / "run")


def test_files_shorter_than_a_clip_say_what_to_lower(small: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="None of the files"):
        with_labels(override(small, {"data.clip_seconds": 2.0}), tmp_path / "run")


def test_labels_in_time_are_refused_with_the_tasks_that_can_be_learned(
    small: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(TaskError, match=r"gtzan_beats has labels in time.*gtzan_genre"):
        with_labels(override(small, {"data.labels": "gtzan_beats"}), tmp_path / "run")


def test_labels_and_encoder_must_be_named(small: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.labels=labels\.csv.*objective\.start=MODEL"):
        with_labels(override(small, {"data.labels": ""}), tmp_path / "run")


def test_a_task_of_numbers_learns_stretches_of_files(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from probing_data import make_task

    items = [
        Item(tmp_path / f"tone{n}.wav", "train", (float(n), 7.0), track=str(n), group=str(n), start=0.25)
        for n in range(4)
    ]
    toy = make_task(Numbers(("rising", "constant")), ("r2",), load=lambda folder: items)
    monkeypatch.setitem(TASKS, "toy", toy)
    (tmp_path / "data" / "toy").mkdir(parents=True)
    monkeypatch.setenv("SOLFA_DATA", str(tmp_path / "data"))
    config = with_labels(override(small, {"data.labels": "toy", "n_steps": 2}), tmp_path / "run")
    labels = config.objective.tagger.labels  # type: ignore[union-attr]
    assert (labels.means, labels.deviations[1]) == ((1.5, 7.0), 1.0)
    assert {track.start_seconds for track in read_manifest(Path(config.data.manifest))} == {0.25}
    train(config, tmp_path / "run")
    tagger = solfa.load(tmp_path / "run")
    assert isinstance(tagger, Tagger)
    assert float(tagger.predict(torch.zeros(1, 24_000))[0, 1]) == pytest.approx(7.0, abs=3.0)


def test_licences_go_along(small: RunConfig, tmp_path: Path) -> None:
    import json

    saved = solfa.load(save_tiny_run(tmp_path / "tiny")).save_pretrained(tmp_path / "licensed")
    values = json.loads((saved / "config.json").read_text()) | {"license": "CC-BY-NC-4.0"}
    (saved / "config.json").write_text(json.dumps(values))
    config = with_labels(override(small, {"objective.start": str(saved), "n_steps": 1}), tmp_path / "run")
    train(config, tmp_path / "run")
    assert solfa.load(tmp_path / "run").license == "CC-BY-NC-4.0"
