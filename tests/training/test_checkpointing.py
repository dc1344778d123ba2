"""A run on the disk: what is damaged, missing or full ends it with the cure, and nothing is lost."""

import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from full_disk import full_disk
from solfa import checkpoint
from solfa.checkpoint import CheckpointError
from solfa.cli.train import _config
from solfa.config import ConfigError, load_config, override
from solfa.files import WriteError
from solfa.training import CurvesError, Placement, RunConfig, Trainer, draw_curves

CPU = torch.device("cpu")


def trainer(config: RunConfig, run: Path, on_step: Callable[[int, Any], None] | None = None) -> Trainer:
    return Trainer(config, Placement(run=run, device=CPU, clips_per_device=4, n_workers=0), on_step)


@pytest.fixture
def config(small_run: RunConfig) -> RunConfig:
    return override(small_run, {"n_steps": 2, "checkpoint_every": 1, "keep_best": True, "validate_every": 1})


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def run(config: RunConfig, _made: Path, tmp_path: Path) -> Path:
    """A run of two steps, each with a checkpoint."""
    if not (_made / "run").exists():
        trainer(config, _made / "run").train()
    return Path(shutil.copytree(_made / "run", tmp_path / "run"))


def files(run: Path) -> dict[Path, bytes]:
    kept = (path for path in run.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
    return {path.relative_to(run): path.read_bytes() for path in kept}


def newest(run: Path) -> Path:
    return checkpoint.step_folder(run, checkpoint.steps(run)[-1])


def longer(config: RunConfig) -> RunConfig:
    return override(config, {"n_steps": 3})


def weights_of(config: RunConfig, run: Path) -> dict[str, torch.Tensor]:
    """The weights that a run comes to which goes on."""
    return load_file(trainer(config, run).train(resume=True) / "model.safetensors")


def write_training(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the training state, as of before there were sums."""
    state = torch.load(folder / "training.pt", weights_only=True)
    change(state)
    torch.save(state, folder / "training.pt")
    (folder / "SHA256SUMS").unlink()


# --- config.json --------------------------------------------------------------------------------------------


def test_going_on_writes_no_config_where_nothing_changed(config: RunConfig, run: Path) -> None:
    before = (run / "config.json").stat()
    trainer(config, run).train(resume=True)
    after = (run / "config.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_on_a_full_disk_the_config_of_a_run_that_goes_on_stays_whole(config: RunConfig, run: Path) -> None:
    with full_disk(200), pytest.raises(WriteError, match=r"config\.json could not be written.*as it was"):
        trainer(longer(config), run).train(resume=True)
    assert load_config(RunConfig, run / "config.json") == config
    trainer(longer(config), run).train(resume=True)
    assert load_config(RunConfig, run / "config.json") == longer(config)


def test_a_run_without_its_config_does_not_take_the_recipe_unsaid(config: RunConfig, run: Path) -> None:
    shutil.copy(run / "config.json", run.parent / "kept.json")
    (run / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json in .*Put it back.*in place of muq_tiny"):
        _config("muq_tiny", run, resume=True)
    assert _config(str(run.parent / "kept.json"), run, resume=True) == config
    assert _config("muq_tiny", run.parent / "new", resume=True).n_steps == 200


@pytest.mark.parametrize("content", [b"", b"null", b"{", b"\xff", b"[" * 100_000, b'{"n_steps": 0}'])
def test_a_config_of_nothing_is_refused_by_name(content: bytes, run: Path) -> None:
    (run / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"run/config\.json"):
        _config("muq_tiny", run, resume=True)


# --- damaged checkpoints ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "training.pt"])
def test_going_on_from_flipped_bits_is_refused_and_the_checkpoint_before_serves(
    name: str, config: RunConfig, run: Path
) -> None:
    whole = checkpoint.read_weights(newest(run) / "model.safetensors")  # a copy, of a file that will change
    content = bytearray((newest(run) / name).read_bytes())
    content[len(content) // 2] ^= 1
    (newest(run) / name).write_bytes(content)
    before = files(run)
    with pytest.raises(CheckpointError, match=rf"{name} is damaged: its SHA-256.*whole: .*step-00000001"):
        trainer(config, run).train(resume=True)
    assert files(run) == before
    shutil.rmtree(newest(run))  # as the message says
    again = weights_of(config, run)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("was run"),)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:1_000]),
        lambda path: path.write_bytes(pickle.dumps(_Code())),
        lambda path: torch.save([], path),
        Path.unlink,
    ],
    ids=["empty", "cut", "code", "a list", "gone"],
)
def test_a_training_state_of_nothing_is_refused_by_name(
    damage: Callable[[Path], Any], config: RunConfig, run: Path
) -> None:
    (newest(run) / "SHA256SUMS").unlink()
    damage(newest(run) / "training.pt")
    with pytest.raises(CheckpointError, match=r"training\.pt.*step-00000001"):
        trainer(config, run).train(resume=True)
    assert not Path("was run").exists()


def _not_a_number(state: dict[str, Any]) -> None:
    next(iter(state["optimizers"][0]["state"].values()))["exp_avg"].fill_(torch.nan)


def _another_shape(state: dict[str, Any]) -> None:
    moments = next(iter(state["optimizers"][0]["state"].values()))
    moments["exp_avg"] = torch.zeros(3)


@pytest.mark.parametrize(
    "change",
    [
        _not_a_number,
        _another_shape,
        lambda state: state.pop("optimizers"),
        lambda state: state.pop("step"),
        lambda state: state.update(step=7),
        lambda state: state.update(step="2"),
        lambda state: state.update(optimizers=[]),
        lambda state: state.update(optimizers=[3]),
        lambda state: state.update(totals=None),
        lambda state: state.update(n_unreadable="many"),
        lambda state: state.update(best=[]),
        lambda state: state.update(best={"loss": "low"}),
        lambda state: state.update(loss_scale=None),
        lambda state: state["optimizers"][0].update(param_groups=[]),
        lambda state: state["optimizers"][0].update(state=None),
    ],
)
def test_a_training_state_that_does_not_fit_is_refused_by_name(
    change: Callable[[dict[str, Any]], Any], config: RunConfig, run: Path
) -> None:
    write_training(newest(run), change)
    with pytest.raises(CheckpointError, match=r"step-00000002 is damaged, or a checkpoint of another shape"):
        trainer(config, run).train(resume=True)


def test_weights_that_are_no_numbers_are_refused_when_a_run_goes_on(config: RunConfig, run: Path) -> None:
    path = newest(run) / "model.safetensors"
    weights = load_file(path)
    weights["encoder.context.norm.weight"][3] = torch.nan
    save_file(weights, path)
    (newest(run) / "SHA256SUMS").unlink()
    with pytest.raises(CheckpointError, match=r"hold NaN or infinity: encoder\.context\.norm\.weight"):
        trainer(config, run).train(resume=True)


def test_a_run_of_before_there_were_sums_goes_on_to_the_same_weights(config: RunConfig, run: Path) -> None:
    with_sums = Path(shutil.copytree(run, run.parent / "with sums"))
    for path in run.rglob("SHA256SUMS"):
        path.unlink()
    a, b = (weights_of(longer(config), folder) for folder in (run, with_sums))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_sizes_that_the_checkpoint_does_not_bear_out_are_refused_before_anything_is_made(
    config: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("solfa.training.trainer.build_objective", lambda *_: pytest.fail("it is made"))
    for key in ("objective.encoder.conformer.n_layers", "objective.encoder.conformer.dim"):
        with pytest.raises(CheckpointError, match=rf"another shape than this run: .*{key[10:]} is 999"):
            trainer(override(config, {key: 999}), run)


# --- full disks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bytes", [400, 5_000, 20_000])  # of each file: the log, the weights, the state
def test_a_disk_that_gets_full_leaves_whole_checkpoints_from_which_the_run_goes_on(
    n_bytes: int, config: RunConfig, run: Path
) -> None:
    whole = weights_of(longer(config), Path(shutil.copytree(run, run.parent / "whole")))
    before = {path: content for path, content in files(run).items() if path.parts[0].startswith("step")}
    disk = ExitStack()
    cramped = trainer(longer(config), run)
    open_run = cramped._open
    cramped._open = lambda resume: (open_run(resume), disk.enter_context(full_disk(n_bytes)))[0]  # type: ignore[method-assign,assignment]
    with disk, pytest.raises((CheckpointError, WriteError), match=r"could not be written.*--resume"):
        cramped.train(resume=True)
    after = {path: content for path, content in files(run).items() if path.parts[0].startswith("step")}
    assert after == before
    assert not list(run.glob("*.partial"))
    again = weights_of(longer(config), run)
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_a_run_that_begins_on_a_full_disk_says_so(config: RunConfig, tmp_path: Path) -> None:
    with full_disk(), pytest.raises(WriteError, match=r"config\.json could not be written.*nothing of it"):
        trainer(config, tmp_path / "run").train()
    assert list(tmp_path.iterdir()) == []


# --- the log ------------------------------------------------------------------------------------------------


def test_lines_of_the_log_that_are_no_lines_are_left_out(config: RunConfig, run: Path) -> None:
    log = run / "log.jsonl"
    whole = log.read_bytes()
    log.write_bytes(b"\xff\xfe\n" + whole + b'null\n{"step": "two"}\n{"loss": 3}\n{"step": 2, "lo')
    assert draw_curves(run).is_file()
    trainer(longer(config), run).train(resume=True)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\n", b"[1, 2]\n", b'{"loss": null}\n', b'{"step": 1, "loss": "x"}\n']
)
def test_a_log_without_a_step_is_refused_by_name(content: bytes, run: Path) -> None:
    (run / "log.jsonl").write_bytes(content)
    with pytest.raises(CurvesError, match=r"log\.jsonl"):
        draw_curves(run)


def test_a_picture_that_does_not_fit_leaves_the_old_one(run: Path) -> None:
    draw_curves(run)
    before = (run / "curves.png").read_bytes()
    with full_disk(100), pytest.raises(WriteError, match=r"curves\.png could not be written"):
        draw_curves(run)
    assert (run / "curves.png").read_bytes() == before
