"""The run folder: whole or not at all."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from full_disk import full_disk
from solfa import checkpoint, runs
from solfa.checkpoint import CheckpointError
from solfa.files import sha256

WEIGHTS = {"a": torch.arange(6.0).view(2, 3)}


def save(run: Path, step: int) -> Path:
    return checkpoint.save(run, step, WEIGHTS, {"step": step})


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    folder = save(tmp_path, 7)
    assert checkpoint.steps(tmp_path) == [7]
    assert torch.equal(load_file(runs.weights_file(tmp_path))["a"], WEIGHTS["a"])
    assert checkpoint.load_training(folder, torch.device("cpu")) == {"step": 7}


def test_the_newest_checkpoint_of_a_run_is_the_one_that_is_used(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        save(tmp_path, step)
    assert runs.weights_file(tmp_path).parent == checkpoint.step_folder(tmp_path, 10)


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
    assert torch.equal(load_file(runs.weights_file(tmp_path))["a"], torch.ones(1))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_half_written_checkpoint_is_never_seen(tmp_path: Path) -> None:
    save(tmp_path, 1)
    half = tmp_path / "step-00000002.partial"
    half.mkdir()
    (half / checkpoint.WEIGHTS).write_bytes(b"half")
    assert checkpoint.steps(tmp_path) == [1]


@pytest.mark.parametrize("n_bytes", [0, 60, 2_000])  # nothing, some of the weights, some of the state
def test_a_full_disk_leaves_the_older_checkpoint_and_names_the_cure(n_bytes: int, tmp_path: Path) -> None:
    save(tmp_path, 1)
    state = {"step": 2, "moments": torch.zeros(1_000)}
    with full_disk(n_bytes), pytest.raises(CheckpointError, match=r"too large.*Free some space.*--resume"):
        checkpoint.save(tmp_path, 2, WEIGHTS, state)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_full_disk_leaves_the_older_best_step(tmp_path: Path) -> None:
    checkpoint.save_best(tmp_path, 1, WEIGHTS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(60), pytest.raises(CheckpointError, match=r"too large.*Free some space"):
        checkpoint.save_best(tmp_path, 2, {"a": torch.ones(2, 3)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# --- sums ---------------------------------------------------------------------------------------------------


def flip(path: Path, byte: int = -1) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_of_weights_is_found_and_the_checkpoint_before_named(tmp_path: Path) -> None:
    save(tmp_path, 1)
    flip(save(tmp_path, 2) / "model.safetensors")
    cure = r"step-00000002/model\.safetensors is damaged: its SHA-256.*before it is whole: .*step-00000001"
    with pytest.raises(CheckpointError, match=cure):
        checkpoint.read_weights(runs.weights_file(tmp_path))


def test_a_flipped_bit_of_the_training_state_is_found(tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    flip(folder / "training.pt", 100)
    with pytest.raises(CheckpointError, match=r"training\.pt is damaged: its SHA-256.*step-00000001"):
        checkpoint.load_training(folder, torch.device("cpu"))


def test_the_checkpoint_that_is_named_is_a_whole_one(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    flip(tmp_path / "step-00000002" / "training.pt")
    flip(tmp_path / "step-00000003" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"before it is whole: .*step-00000001"):
        checkpoint.read_weights(runs.weights_file(tmp_path))
    flip(tmp_path / "step-00000001" / "model.safetensors")
    with pytest.raises(CheckpointError, match="no whole checkpoint before it"):
        checkpoint.read_weights(runs.weights_file(tmp_path))


def test_sums_are_those_of_the_usual_program(tmp_path: Path) -> None:
    folder = save(tmp_path, 1)
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert {name: sha256(folder / name) for _, name in lines} == {name: sum_ for sum_, name in lines}


def test_a_best_step_that_has_changed_is_found(tmp_path: Path) -> None:
    save(tmp_path, 1)
    checkpoint.save_best(tmp_path, 1, WEIGHTS)
    checkpoint.save_best(tmp_path, 2, {"a": torch.ones(2, 3)})
    assert torch.equal(checkpoint.read_weights(runs.weights_file(tmp_path))["a"], torch.ones(2, 3))
    flip(tmp_path / "best.safetensors")
    with pytest.raises(CheckpointError, match=r"best\.safetensors is damaged.*its newest checkpoint"):
        checkpoint.read_weights(runs.weights_file(tmp_path))


def test_a_kill_while_the_best_step_is_replaced_leaves_a_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save_best(tmp_path, 1, WEIGHTS)
    old = (tmp_path / "best.safetensors").read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for moment in ("replace", "read_text"):  # before the file gets its name, and while sums are looked up
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Path, moment, killed)
            checkpoint.save_best(tmp_path, 2, {"a": torch.ones(2, 3)})
        (tmp_path / "best.safetensors").write_bytes(old)
        assert torch.equal(checkpoint.read_weights(runs.weights_file(tmp_path))["a"], WEIGHTS["a"])


def test_a_folder_of_before_there_were_sums_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "step-00000007"
    folder.mkdir()
    save_file(WEIGHTS, folder / "model.safetensors")
    torch.save({"step": 7}, folder / "training.pt")
    assert torch.equal(checkpoint.read_weights(runs.weights_file(tmp_path))["a"], WEIGHTS["a"])
    assert checkpoint.load_training(folder, torch.device("cpu")) == {"step": 7}


# --- files that are of no use -------------------------------------------------------------------------------


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("was run"),)


def _zeros(path: Path) -> None:
    path.write_bytes(b"")


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _code(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Code()))


def _list(path: Path) -> None:
    torch.save([1, 2], path)


@pytest.mark.parametrize("damage", [_zeros, _half, _code, _list, Path.unlink])
def test_a_training_state_that_is_none_is_refused_by_name(damage: Any, tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    (folder / "SHA256SUMS").unlink()  # as of before
    damage(folder / "training.pt")
    with pytest.raises(CheckpointError, match=r"training\.pt.*step-00000001"):
        checkpoint.load_training(folder, torch.device("cpu"))
    assert not Path("was run").exists()


@pytest.mark.parametrize("damage", [_zeros, _half, _code])
def test_weights_that_are_none_are_refused_by_name(damage: Any, tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    (folder / "SHA256SUMS").unlink()
    damage(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged.*step-00000001"):
        checkpoint.read_weights(runs.weights_file(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, {"a": torch.tensor([1.0, value]), "b": torch.ones(1)}, {})
    with pytest.raises(CheckpointError, match="hold NaN or infinity: a"):
        checkpoint.read_weights(runs.weights_file(tmp_path))


def test_names_that_only_look_like_checkpoints_are_none(tmp_path: Path) -> None:
    save(tmp_path, 3)
    for name in ("step-5", "step-\N{SUPERSCRIPT TWO}", "step-00000009.partial", "step-", "step--0000001"):
        (tmp_path / name).mkdir()
    assert checkpoint.steps(tmp_path) == [3]


def test_what_an_interrupted_save_left_is_in_nobodys_way(tmp_path: Path) -> None:
    save(tmp_path, 1)
    for name in ("step-00000001.partial", "step-00000001.old.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    save(tmp_path, 1)
    save(tmp_path, 2)
    checkpoint.keep_newest(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


@pytest.mark.parametrize("n", [0, -1])
def test_of_a_run_at_least_one_checkpoint_is_kept(n: int, tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(ValueError, match="n_checkpoints_kept to 1 or more"):
        checkpoint.keep_newest(tmp_path, n)
    assert checkpoint.steps(tmp_path) == [1]


@pytest.mark.parametrize("reader", [runs.weights_file, runs.read_values])
def test_a_folder_without_a_model_is_refused(tmp_path: Path, reader: object) -> None:
    with pytest.raises(CheckpointError, match=r"There is no (model\.safetensors|config\.json)"):
        reader(tmp_path)  # type: ignore[operator]


def test_a_broken_config_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is not valid JSON"):
        runs.read_values(tmp_path)


def test_weights_have_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    checkpoint.save_tensors(tmp_path / "a.safetensors", {"a": torch.ones(3)})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
