"""The run folder: config.json, weights, training state; written whole or not at all.

    RUN/config.json               everything resolved
    RUN/log.jsonl                 one line per logged step
    RUN/step-00000100/            a checkpoint: model.safetensors, training.pt
    RUN/best.safetensors          of a run that keeps them: weights of its best step on validation

A checkpoint is written beside its place, flushed to the disk and then renamed: a folder called ``step-*`` is
whole, whatever killed the program and whenever.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor

CONFIG, WEIGHTS, TRAINING, LOG = "config.json", "model.safetensors", "training.pt", "log.jsonl"
BEST = "best.safetensors"
PARTIAL, LOCK = ".partial", ".lock"


class CheckpointError(ValueError):
    """A run folder that cannot be used; the message names the cure."""


def steps(run: Path) -> list[int]:
    """Steps whose checkpoints are in the run folder, in order."""
    names = [path.name.removeprefix("step-") for path in run.glob("step-*") if path.is_dir()]
    return sorted(int(name) for name in names if name.isdigit())


def step_folder(run: Path, step: int) -> Path:
    """Where the checkpoint of ``step`` is."""
    return run / f"step-{step:08d}"


def save(run: Path, step: int, weights: Mapping[str, Tensor], training: Mapping[str, Any]) -> Path:
    """Write a checkpoint; it appears under its name only once all of it is on the disk.

    Raises:
        CheckpointError: the disk is full or does not accept files; older checkpoints are untouched.
    """
    target = step_folder(run, step)
    partial = target.with_name(target.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, partial / WEIGHTS)
        torch.save(dict(training), partial / TRAINING)
        for path in [*partial.iterdir(), partial]:
            _flush(path)
        if target.exists():  # a step saved again: the old folder goes only now that the new one is whole
            target.rename(target.with_name(target.name + ".old" + PARTIAL))
        partial.rename(target)
        _flush(run)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(_not_written(step, run, error)) from error
    return target


def save_best(run: Path, step: int, weights: Mapping[str, Tensor]) -> None:
    """Write weights by which the run is known from now on, in the place of others.

    Raises:
        CheckpointError: the disk is full or does not accept files; what was there is untouched.
    """
    partial = run / (BEST + PARTIAL)
    try:
        whole = {name: tensor.contiguous() for name, tensor in weights.items()}
        save_file(whole, partial, {"step": str(step)})
        _flush(partial)
        partial.replace(run / BEST)
        _flush(run)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(_not_written(step, run, error)) from error


def _not_written(step: int, run: Path, error: Exception) -> str:
    return (
        f"The checkpoint of step {step} could not be written to {run}: {error}. Free some space (or "
        "check the rights of the folder) and continue with --resume; older checkpoints are whole."
    )


def keep_newest(run: Path, n: int) -> None:
    """Remove all but the newest ``n`` checkpoints, and what an interrupted save left behind."""
    for step in steps(run)[:-n]:
        doomed = step_folder(run, step)
        hidden = doomed.with_name(doomed.name + PARTIAL)  # renamed first: a half-removed one is no checkpoint
        doomed.rename(hidden)
    for leftover in run.glob(f"step-*{PARTIAL}"):
        shutil.rmtree(leftover, ignore_errors=True)


def load_training(folder: Path, device: torch.device) -> dict[str, Any]:
    """The training state of a checkpoint folder."""
    return torch.load(folder / TRAINING, map_location=device, weights_only=True)


def weights_file(folder: Path) -> Path:
    """The weights of a run (its best, or its newest checkpoint's), of a checkpoint folder or an official one.

    Raises:
        CheckpointError: there are none.
    """
    if (folder / BEST).is_file():
        return folder / BEST
    found = steps(folder)
    path = (step_folder(folder, found[-1]) if found else folder) / WEIGHTS
    if not path.is_file():
        raise CheckpointError(
            f"There is no {WEIGHTS} in {folder}. Name a run folder with a finished checkpoint, one of its "
            "step-* folders, or a folder in the official layout."
        )
    return path


def read_values(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a run, of the run that a checkpoint folder is in, or of an official folder.

    Raises:
        CheckpointError: there is none, or it is not JSON.
    """
    path = next((f / CONFIG for f in (folder, folder.parent) if (f / CONFIG).is_file()), None)
    if path is None:
        raise CheckpointError(f"There is no {CONFIG} in {folder}: it is neither a run nor a published model.")
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{path} is not valid JSON ({error}). Copy it again from where it came."
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    partial = path.with_name(path.name + PARTIAL)
    partial.write_text(text)
    _flush(partial)
    partial.rename(path)


class FolderLock:
    """Keeps everybody else from writing to a folder, until it is closed or this process ends in whatever way.

    Processes that this one forks do not hold the lock: they may outlive it by some seconds.

    Raises:
        BlockingIOError: the folder is locked already.
    """

    held: ClassVar[set[Path]] = set()  # by this process, which the system's lock does not keep out

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.file = (folder / LOCK).open("ab")
        try:
            if self.folder in self.held:
                raise BlockingIOError
            _lock(self.file)
        except OSError as error:
            self.file.close()
            raise BlockingIOError(
                f"Another process is writing to {folder}. Wait for it to end, or give another folder."
            ) from error
        self.held.add(self.folder)

    def close(self) -> None:
        """Let others write."""
        self.held.discard(self.folder)
        self.file.close()

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lock(file: BinaryIO) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _flush(path: Path) -> None:
    """Force a file, or the list of a folder's files, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
