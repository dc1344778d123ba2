"""A run as others read it: what its ``config.json`` says, and its weights part by part."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from solfa.checkpoint import BEST, CONFIG, WEIGHTS, CheckpointError, read_weights, step_folder, steps
from solfa.json_files import ContentError, read_json_object

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True)
class StoredTarget:
    """A target of a run: its settings, and what the names of its weights begin with."""

    settings: dict[str, Any]
    prefix: str


@dataclass(frozen=True)
class Run:
    """A run folder, one of its ``step-*`` folders, or a published folder; read when it is asked."""

    folder: Path

    @cached_property
    def values(self) -> dict[str, Any]:
        """What ``config.json`` says."""
        return read_values(self.folder)

    @property
    def is_trained_here(self) -> bool:
        """Whether solfa trained it: a published or saved model has no objective."""
        return "objective" in self.values

    @property
    def objective(self) -> dict[str, Any]:
        """Settings of the objective; empty where there is none."""
        found: dict[str, Any] = self.values.get("objective", {})
        return found

    @cached_property
    def weights(self) -> dict[str, "torch.Tensor"]:
        """All weights by name."""
        return read_weights(weights_file(self.folder))

    def part(self, prefix: str) -> dict[str, "torch.Tensor"]:
        """Weights of the part whose names begin with ``prefix``, by their names within it."""
        return below(prefix, self.weights)

    @property
    def targets(self) -> list[StoredTarget]:
        """Targets that were fitted or learned from, in the order of the settings."""
        if "codec" in self.objective:
            codec = {"kind": "rvq_vae", "codec": self.objective["codec"], "fitted": str(self.folder)}
            return [StoredTarget(codec, "codec.")]
        if "target" in self.objective:
            return [StoredTarget(self.objective["target"], "target.")]
        predicted = [prediction["target"] for prediction in self.objective.get("predictions", [])]
        every = predicted or self.objective.get("targets", [])
        return [StoredTarget(settings, f"targets.{number}.") for number, settings in enumerate(every)]


@contextmanager
def opened(folder: Path, kind: type[ValueError], absent: str) -> Iterator[Run]:
    """The run in ``folder``. Whatever is wrong with it is an error of ``kind`` that names the folder.

    Args:
        folder: where it is.
        kind: class of the error.
        absent: what to say, with the cure, if there is no such folder.
    """
    if not folder.is_dir():
        raise kind(absent)
    with explained(folder, kind):
        yield Run(folder)


def below(prefix: str, weights: Mapping[str, T]) -> dict[str, T]:
    """The tensors whose names begin with ``prefix``, by what follows it."""
    return {name[len(prefix) :]: tensor for name, tensor in weights.items() if name.startswith(prefix)}


@contextmanager
def explained(folder: Path, kind: type[ValueError]) -> Iterator[None]:
    """Name the folder in whatever is wrong with its files, as an error of ``kind``.

    What config.json says is taken for true until something does not fit, and then any error may come of it.
    """
    try:
        yield
    except ValueError as error:  # of whatever class: it says what does not fit
        is_named = str(folder) in str(error)
        raise kind(f"{'' if is_named else f'{folder} cannot be loaded. '}{error}") from error
    except (LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, MemoryError) as error:
        raise kind(
            f"{folder} cannot be loaded: its {CONFIG} and its weights do not fit ({type(error).__name__}: "
            f"{error}). Copy both again from where they came."
        ) from error


def taught_by(values: Mapping[str, Any]) -> str:
    """The teachers whose codes or lessons a run or a saved model has learned; empty if it had none.

    So were those of what it began with.
    """
    return _joined(values, "taught_by", ", ")


def licence(values: Mapping[str, Any]) -> str:
    """The licence of a run or a saved model, and of what it began with; empty if nobody stated one."""
    return _joined(values, "license", "; ")


def _joined(values: Mapping[str, Any], key: str, separator: str) -> str:
    """What a saved model says, or a run and what it began with; nothing twice."""
    sources = (values.get("start_from") or {}, values.get("objective", values))
    parts = [part for source in sources for part in str(source.get(key, "")).split(separator) if part]
    return separator.join(dict.fromkeys(parts))


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
        return read_json_object(path)
    except ContentError as error:
        raise CheckpointError(f"{error} Copy it again from where it came.") from None
