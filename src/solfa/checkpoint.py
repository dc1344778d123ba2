"""The run folder: config.json, weights, training state; written whole or not at all.

    RUN/config.json               everything resolved
    RUN/log.jsonl                 one line per logged step
    RUN/step-00000100/            a checkpoint: model.safetensors, training.pt, SHA256SUMS
    RUN/step-00000100/shards/     of a run whose ranks share its weights out: moments, by rank; SHA256SUMS
    RUN/best.safetensors          of a run that keeps them: weights of its best step on validation
    RUN/SHA256SUMS                of the best step
    RUN/ended-00000100/           where a run ended that was made longer since: a checkpoint, too

A checkpoint is written beside its place, flushed to the disk and then renamed: a folder called ``step-*`` is
whole, whatever killed the program and whenever. What a disk or a copy has changed since is told by the sums,
which ``sha256sum -c`` checks too; folders that were written before there were sums are taken as they are.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from solfa.config import Config, ConfigError, numbers
from solfa.errors import ArgumentError, SolfaError
from solfa.files import PARTIAL, SUMS, flush, read_sums, sha256, sum_line, whole_file, write_text

if TYPE_CHECKING:  # who only asks where the files of a run are does without PyTorch, which takes a second
    import torch

CONFIG, WEIGHTS, TRAINING, LOG = "config.json", "model.safetensors", "training.pt", "log.jsonl"
BEST, SHARDS = "best.safetensors", "shards"
ASIDE = "ended-"  # begins the name of a checkpoint that its run does not go on from
Shape = tuple[int, ...]


class CheckpointError(SolfaError, ValueError):
    """A run folder that cannot be used; the message names the cure."""


def steps(run: Path) -> list[int]:
    """Steps whose checkpoints are in the run folder, in order."""
    found = [(path, path.name.removeprefix("step-")) for path in run.glob("step-*") if path.is_dir()]
    numbers = [(path, int(name)) for path, name in found if name.isascii() and name.isdigit()]
    return sorted(number for path, number in numbers if path == step_folder(run, number))


def step_folder(run: Path, step: int) -> Path:
    """Where the checkpoint of ``step`` is."""
    return run / f"step-{step:08d}"


def save(
    run: Path,
    step: int,
    weights: Mapping[str, "torch.Tensor"],
    training: Mapping[str, Any],
    shards: Path | None = None,
) -> Path:
    """Write a checkpoint; it appears under its name only once all of it is on the disk.

    Args:
        run: its folder.
        step: after which it is.
        weights: by name, whole.
        training: the rest of its state.
        shards: a folder on the same disk, of what ranks have written of that state; it becomes part of it.

    Raises:
        CheckpointError: the disk is full or does not accept files; older checkpoints are untouched.
    """
    target = step_folder(run, step)
    partial = target.with_name(target.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        save_tensors(partial / WEIGHTS, weights)
        _save_state(partial / TRAINING, dict(training))
        _write_sums(partial, [(sha256(partial / name), name) for name in (WEIGHTS, TRAINING)])
        if shards:
            _write_sums(shards, [(sha256(path), path.name) for path in sorted(shards.iterdir())])
            shards.rename(partial / SHARDS)
        for path in [*partial.rglob("*"), partial]:
            flush(path)
        if target.exists():  # a step saved again: the old folder goes only now that the new one is whole
            _hide(target)
        partial.rename(target)
        flush(run)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(_not_written(step, run, error)) from error
    return target


def save_best(run: Path, step: int, weights: Mapping[str, "torch.Tensor"]) -> None:
    """Write weights by which the run is known from now on, in the place of others.

    Raises:
        CheckpointError: the disk is full or does not accept files; what was there is untouched.
    """
    try:
        with whole_file(run / BEST) as partial:
            save_tensors(partial, weights, {"step": str(step)})
            sums = [(sha256(partial), BEST)]
            # Both are right until the file has its name: a kill leaves the old one or the new one.
            before = read_sums(run) or [(sha256(run / BEST), BEST)] if (run / BEST).is_file() else []
            _write_sums(run, before + sums)
        _write_sums(run, sums)
    except OSError as error:
        raise CheckpointError(_not_written(step, run, error)) from error


def save_tensors(
    path: Path, tensors: Mapping[str, "torch.Tensor"], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file; not whole by itself.

    Raises:
        OSError: the disk is full or does not take the file.
    """
    from safetensors.torch import save_file

    path.touch()
    rights = path.stat().st_mode  # those of any new file here; safetensors would leave it to its owner only
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
        path.chmod(rights)
    except SafetensorError as error:  # of a disk that is full, among others, and of no class that says so
        raise OSError(str(error)) from error


def _save_state(path: Path, state: dict[str, Any]) -> None:
    import torch

    try:
        with path.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:  # PyTorch counts bytes, and hides why they are too few
        raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def _not_written(step: int, run: Path, error: Exception) -> str:
    reason = str(error.__cause__ or error)
    return (
        f"The checkpoint of step {step} could not be written to {run}: {reason}. Free some space (or "
        "check the rights of the folder) and continue with --resume; older checkpoints are whole."
    )


def set_aside(run: Path, step: int) -> Path:
    """Give a checkpoint a name by which a run does not go on from it; one that has that name gives way.

    Returns:
        Where it is now. It can be loaded from there.
    """
    aside = run / f"{ASIDE}{step:08d}"
    shutil.rmtree(aside, ignore_errors=True)
    step_folder(run, step).rename(aside)
    flush(run)
    return aside


def keep_newest(run: Path, n: int, *, always: int | None = None) -> None:
    """Remove all but the newest ``n`` checkpoints, and what an interrupted save left behind.

    Args:
        run: its folder.
        n: so many are kept.
        always: a step whose checkpoint is kept besides, if there is one.

    Raises:
        ValueError: none would be kept.
    """
    if n < 1:
        raise ArgumentError(f"{n} checkpoints cannot be kept. Set n_checkpoints_kept to 1 or more.")
    for step in steps(run)[:-n]:
        if step != always:
            _hide(step_folder(run, step))
    for leftover in run.glob(f"step-*{PARTIAL}"):
        shutil.rmtree(leftover, ignore_errors=True)
    for leftover in run.glob(f".{BEST}*{PARTIAL}"):
        leftover.unlink(missing_ok=True)


def _hide(folder: Path) -> None:
    """Take the name from a checkpoint that is to be removed: one that is removed by half is none."""
    hidden = folder.with_name(f"{folder.name}.old{PARTIAL}")
    shutil.rmtree(hidden, ignore_errors=True)  # which an interrupted program left
    folder.rename(hidden)


def load_training(folder: Path, device: "torch.device") -> dict[str, Any]:
    """The training state of a checkpoint folder.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    import torch

    path = folder / TRAINING
    if not path.is_file():
        raise CheckpointError(f"There is no {TRAINING} in {folder}. {_cure(path)}")
    check_sum(path)
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a file that is damaged can raise anything
        why = "it holds code or is no training state" if path.stat().st_size else "it is empty"
        raise damaged(path, f"{why} ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise damaged(path, f"it holds a {type(state).__name__}")
    return state


def read_weights(path: Path) -> dict[str, "torch.Tensor"]:
    """The tensors of a safetensors file by name.

    Each has memory of its own, which a model may keep: none is a window into a file that may change.

    Raises:
        CheckpointError: the file is damaged, or holds NaN or infinity.
    """
    check_sum(path)
    weights = {}
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
        for name in names:
            # Opened anew for each: what was read of an open file counts as memory.
            with safe_open(path, "pt") as file:
                weights[name] = file.get_tensor(name).clone()
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise damaged(path, str(error)) from error
    if broken := not_finite(weights):
        raise damaged(path, f"its weights hold NaN or infinity: {', '.join(broken[:3])}")
    return weights


def not_finite(tensors: Mapping[str, "torch.Tensor"]) -> list[str]:
    """Names of the tensors that hold NaN or infinity."""
    import torch

    return [
        name
        for name, tensor in tensors.items()
        # The sum first: where it is finite all are, and it is ten times as fast.
        if tensor.is_floating_point()
        and not bool(torch.isfinite(tensor.sum()))
        and not bool(torch.isfinite(tensor).all())
    ]


def damaged(path: Path, why: str) -> CheckpointError:
    """The error of a file that is there and of no use; it names the checkpoint to take instead."""
    return CheckpointError(f"{path} is damaged: {why}. {_cure(path)}")


def _cure(path: Path) -> str:
    folder = path.parent.parent if path.parent.name == SHARDS else path.parent
    name = folder.name.removeprefix("step-")
    if path.name == BEST:
        return f"Remove it: {folder} is then known by its newest checkpoint."
    if not name.isdigit() or folder != step_folder(folder.parent, int(name)):
        return f"Fetch them again from where they came, all files of {folder}."
    for step in reversed(steps(folder.parent)):
        before = step_folder(folder.parent, step)
        if step < int(name) and _is_whole(before):
            return (
                f"The checkpoint before it is whole: {before}. Load that one; or remove {folder}, and "
                "continue with --resume."
            )
    return "There is no whole checkpoint before it. Copy it again from where it came, or train anew."


def _is_whole(folder: Path) -> bool:
    try:
        for name in (WEIGHTS, TRAINING):
            check_sum(folder / name)
        if (folder / SHARDS).exists():
            check_sums(folder / SHARDS)
    except (OSError, CheckpointError):
        return False
    return (folder / WEIGHTS).is_file() and (folder / TRAINING).is_file()


def check_sizes(config: Config, weights: "Mapping[str, torch.Tensor] | Mapping[str, Shape]") -> None:
    """Refuse sizes that weights do not bear out, before anything of that size is made.

    Args:
        config: of what is to be filled with the weights.
        weights: tensors by name, or their shapes.

    Raises:
        ConfigError: the configuration is damaged, or of other weights.
    """
    shapes = [w if isinstance(w, tuple) else tuple(w.shape) for w in weights.values()]
    most = {"tensors": len(shapes), "axis": max((n for shape in shapes for n in shape), default=0)}
    for name, value, bounds in numbers(config):
        if value > most.get(bounds.held_by, value):
            held = "hold {} tensors" if bounds.held_by == "tensors" else "have no axis longer than {}"
            raise ConfigError(
                f"{CONFIG} says that {name} is {value}, but the weights {held.format(most[bounds.held_by])}. "
                "Copy both again from where they came."
            )


def read_shapes(path: Path) -> dict[str, Shape]:
    """The shapes of the tensors of a safetensors file by name; nothing else of it is read.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise damaged(path, str(error)) from error


# --- sums ---------------------------------------------------------------------------------------------------


def check_sum(path: Path) -> None:
    """Compare a file with its sum, if its folder has one.

    Raises:
        CheckpointError: it has changed since it was written.
        OSError: it cannot be read.
    """
    known = [sum_ for sum_, name in read_sums(path.parent) if name == path.name]
    if known and sha256(path) not in known:
        raise damaged(path, f"its SHA-256 is not the one in {SUMS}")


def check_sums(folder: Path) -> None:
    """Compare all files of a folder that it has sums of.

    Raises:
        CheckpointError: one has changed since it was written, or is missing.
        OSError: one cannot be read.
    """
    for _, name in read_sums(folder):
        if not (folder / name).is_file():
            raise damaged(folder, f"there is no {name}")
        check_sum(folder / name)


def _write_sums(folder: Path, sums: list[tuple[str, str]]) -> None:
    write_text(folder / SUMS, "".join(sum_line(sum_, name) for sum_, name in sums))
