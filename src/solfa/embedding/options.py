"""What callers say of an embedding: wrong options are errors before any work; each names what is known."""

import operator
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import torch

from solfa.config import Precision, PrecisionWish
from solfa.embedding.space import Pool, check_pool
from solfa.embedding.windows import WindowConfig
from solfa.errors import ArgumentError
from solfa.models import AudioEncoder, ClipEncoder, MuLan, load_encoder
from solfa.models.input import checked_device
from solfa.models.layer_guide import check_task
from solfa.precision import check_precision

if TYPE_CHECKING:
    Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
    Model = str | PathLike[str] | AudioEncoder | MuLan  # what solfa.load takes, or what it gave
    PoolName = Pool
    PrecisionName = PrecisionWish
    TaskName = str
    Count = int
    Cut = WindowConfig
    Device = str | torch.device
else:  # whatever comes is looked at here, and refused with the cure, by no check of annotations before
    Paths = Model = PoolName = PrecisionName = TaskName = Count = Cut = Device = Any


def check_options(
    *, pool: Any, layer: Any, task: Any, precision: Any, windows: Any, windows_at_once: Any
) -> None:
    """Refuse options of ``solfa.embed`` that no model can follow.

    Raises:
        ValueError: which, and what may stand there.
    """
    check_pool(pool)
    if task is not None:
        check_task(task)
        if layer is not None:
            raise ArgumentError(
                "A layer and a task are named, and the task would choose the layer. Leave one out."
            )
    if layer is not None and (isinstance(layer, bool) or not hasattr(layer, "__index__")):
        raise ArgumentError(
            f"A layer is a whole number, not {layer!r:.80}. Negative ones count from the last."
        )
    check_reading(precision, windows, windows_at_once)


def check_reading(precision: Any, windows: Any, windows_at_once: Any) -> None:
    """Refuse options of how files are read and computed that no model can follow."""
    if precision not in (known := get_args(PrecisionWish)):
        names = f"{', '.join(known[:-1])} and {known[-1]}"
        raise ArgumentError(f"There is no precision {precision!r:.80}. Known are {names}.")
    if windows is not None and not isinstance(windows, WindowConfig):
        raise ArgumentError(
            f"windows is a WindowConfig, not {windows!r:.80}. Write "
            "solfa.embedding.WindowConfig(window_seconds=30.0, context_seconds=5.0)."
        )
    if windows_at_once is not None:
        checked_count(windows_at_once, "windows_at_once")


def checked_count(number: Any, name: str) -> int:
    """A whole number of at least one; ValueError with the option's name if it is none."""
    if isinstance(number, bool) or not hasattr(number, "__index__") or operator.index(number) < 1:
        raise ArgumentError(f"{name} is a whole number of at least 1, not {number!r:.80}.")
    return operator.index(number)


def encoder_of(model: Model, device: Device) -> AudioEncoder:
    """The encoder that is named, or handed over; of a music-text model its audio side.

    Args:
        model: what ``solfa.load`` takes, or what it gave.
        device: where a model that is named goes; one that is handed over stays where it is.

    Raises:
        ValueError: neither a name nor a model, or no such device.
        ModelError: no such model.
    """
    if isinstance(model, AudioEncoder):
        return model
    if isinstance(model, MuLan):
        return ClipEncoder(model)
    if isinstance(model, str | PathLike):
        return load_encoder(Path(model) if isinstance(model, PathLike) else model, checked_device(device))
    inner = getattr(model, "model", None)
    if isinstance(inner, AudioEncoder | MuLan):  # behind the call style of an original
        return encoder_of(inner, device)
    raise ArgumentError(
        f"A model is a name, a folder, or what solfa.load gave, not a {type(model).__name__}. "
        "'solfa models' lists what can be loaded."
    )


def check_is_ready(encoder: AudioEncoder, precision: Precision) -> None:
    """Refuse an encoder that would answer at random, or whose device has no use for a precision."""
    if encoder.training:
        raise ArgumentError(
            "The encoder is in training mode, where it answers at random. Call encoder.eval()."
        )
    check_precision(precision, encoder.device)
