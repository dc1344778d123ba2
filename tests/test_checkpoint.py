"""The run folder: whole or not at all."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from solfa import checkpoint
from solfa.checkpoint import CheckpointError

WEIGHTS = {"a": torch.arange(6.0).view(2, 3)}


def save(run: Path, step: int) -> Path:
    return checkpoint.save(run, step, WEIGHTS, {"step": step})


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    folder = save(tmp_path, 7)
    assert checkpoint.steps(tmp_path) == [7]
    assert torch.equal(load_file(checkpoint.weights_file(tmp_path))["a"], WEIGHTS["a"])
    assert checkpoint.load_training(folder, torch.device("cpu")) == {"step": 7}


def test_the_newest_checkpoint_of_a_run_is_the_one_that_is_used(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        save(tmp_path, step)
    assert checkpoint.weights_file(tmp_path).parent == checkpoint.step_folder(tmp_path, 10)


def test_only_the_newest_are_kept_and_leftovers_removed(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    (tmp_path / "step-00000004.partial").mkdir()
    checkpoint.keep_newest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]


def test_a_step_saved_again_replaces_the_old_one(tmp_path: Path) -> None:
    save(tmp_path, 1)
    checkpoint.save(tmp_path, 1, {"a": torch.ones(1)}, {"step": 1})
    checkpoint.keep_newest(tmp_path, 2)
    assert torch.equal(load_file(checkpoint.weights_file(tmp_path))["a"], torch.ones(1))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_half_written_checkpoint_is_never_seen(tmp_path: Path) -> None:
    save(tmp_path, 1)
    half = tmp_path / "step-00000002.partial"
    half.mkdir()
    (half / checkpoint.WEIGHTS).write_bytes(b"half")
    assert checkpoint.steps(tmp_path) == [1]


def test_a_full_disk_leaves_the_older_checkpoint_and_names_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left.*Free some space.*--resume"):
        save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


@pytest.mark.parametrize("reader", [checkpoint.weights_file, checkpoint.read_values])
def test_a_folder_without_a_model_is_refused(tmp_path: Path, reader: object) -> None:
    with pytest.raises(CheckpointError, match=r"There is no (model\.safetensors|config\.json)"):
        reader(tmp_path)  # type: ignore[operator]


def test_a_broken_config_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is not valid JSON"):
        checkpoint.read_values(tmp_path)


def test_a_small_file_is_written_whole(tmp_path: Path) -> None:
    checkpoint.write_text(tmp_path / "log", "all of it\n")
    assert (tmp_path / "log").read_text() == "all of it\n"
    assert len(list(tmp_path.iterdir())) == 1
