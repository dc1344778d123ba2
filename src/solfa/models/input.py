"""What callers hand to a model -> a waveform and lengths that it takes; every refusal names the cure."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from solfa.errors import ArgumentError
from solfa.features.exact import exact
from solfa.frames import LOUD, LOUDEST
from solfa.models.checks import values_of

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    Waveform = Float[Tensor, "clip sample"] | Float[np.ndarray, "clip sample"]
    Lengths = Sequence[int] | Int[Tensor, " clip"] | Int[np.ndarray, "clip"] | None
    Layer = int
    Layers = Sequence[Layer] | Int[Tensor, " layer"] | Int[np.ndarray, "layer"]
else:  # whatever comes is looked at here, and refused with the cure, by no check of annotations before
    Waveform = Lengths = Layer = Layers = Any

# By which integers of a type are divided. Wider ones may hold samples of any width.
FULL_SCALE = {
    torch.int8: "waveform / 128",
    torch.uint8: "(waveform.float() - 128) / 128 in PyTorch, (waveform - 128.0) / 128 in NumPy",
    torch.int16: "waveform / 32768",
    torch.int32: "waveform / 2147483648",
}
FULL_SCALES = "16 bits by 32768, 24 bits by 8388608, 32 bits by 2147483648"
MOST_CHANNELS = 8  # of a file: an array with so few columns and more rows is (sample, channel)


def as_waveform(
    given: Waveform, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> Float[Tensor, "clip sample"]:
    """A batch of clips as a tensor of one type on one device; what is no batch of clips is refused.

    Args:
        given: a tensor or a NumPy array (clip, sample) of floats; its values are not looked at.
        device: where it goes; where it is if None.
        dtype: that it gets; float32, or float64 if it is that, if None.

    Raises:
        ValueError: something else, other axes, or numbers that are no floats.
    """
    waveform = _as_tensor(given)
    _refuse_axes(tuple(waveform.shape))
    if not waveform.is_floating_point():
        raise ArgumentError(_no_floats(waveform.dtype))
    waveform = waveform if device is None else waveform.to(device)
    return exact(waveform) if dtype is None else waveform.to(dtype)


def as_lengths(given: Lengths, waveform: Float[Tensor, "clip sample"]) -> Int[Tensor, " clip"] | None:
    """Samples of audio in each clip, beside the waveform; None where no clip has padding.

    Args:
        given: whole numbers, one for each clip: a list, a NumPy array or a tensor on any device, or None.
        waveform: the clips.

    Raises:
        ValueError: other numbers than whole ones from 1 to the samples there are, or not one for each clip.
    """
    if given is None:
        return None
    lengths = _whole_numbers(given, waveform)
    if lengths.shape != waveform.shape[:1]:
        raise ArgumentError(f"{_wanted(waveform)}, not numbers of the shape {tuple(lengths.shape)}.")
    numbers = values_of(lengths)
    if numbers is None:
        return lengths.to(waveform.device)
    if any(not 1 <= number <= waveform.shape[1] for number in numbers):
        empty = "" if min(numbers) > 0 else " A recording without samples has no vector. Leave it out."
        raise ArgumentError(f"{_wanted(waveform)}, not {numbers}.{empty}")
    if all(number == waveform.shape[1] for number in numbers):
        return None
    return lengths.to(waveform.device)


def check_samples(
    waveform: Float[Tensor, "clip sample"], *, loudest: float = LOUDEST, is_training: bool = False
) -> None:
    """Refuse samples of no meaning, and warn once of loud ones.

    Nothing is looked at while a program is traced or mapped, and in training on an accelerator, which would
    have to be waited for at each step: there the trainer finds what such clips do to the gradients.

    Args:
        waveform: clips.
        loudest: that a sample may be; infinite where samples have no full scale.
        is_training: whether the model learns.

    Raises:
        ValueError: NaN, infinity, or samples so large that they must be integers in disguise.
    """
    if is_training and waveform.device.type != "cpu":
        return
    peak = _peak(waveform)
    if peak is None:
        return
    if not np.isfinite(peak):
        raise ArgumentError(
            "The waveform holds NaN or infinite samples. Leave such clips out or repair them."
        )
    if peak > loudest:
        raise ArgumentError(
            f"These cannot be samples of audio: the waveform reaches {peak:.4g} and should stay in [-1, 1]. "
            f"Divide integers by full scale: {FULL_SCALES}. Repair or leave out other such clips."
        )
    if peak > LOUD and np.isfinite(loudest) and not is_training:
        _warn_of_loud(peak)


def checked_device(device: Any) -> torch.device:
    """The device of that name; ValueError if there is none, or none of its kind in this machine."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ArgumentError(
            f"There is no device {device!r}. Name cpu, or cuda or cuda:1 and so on."
        ) from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ArgumentError(
            f"There is no device {str(found)!r}: this machine has {torch.cuda.device_count()} CUDA devices "
            "that PyTorch can use. Name another, or cpu."
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ArgumentError("This machine has no MPS device that PyTorch can use. Name cpu.")
    return found


def check_waveform(waveform: Tensor, lengths: Tensor | None, *, is_training: bool = False) -> None:
    """Refuse a waveform that would give features of no meaning; the message names the cure."""
    _refuse_axes(tuple(waveform.shape))
    if not waveform.is_floating_point():
        raise ArgumentError(_no_floats(waveform.dtype))
    check_samples(waveform, is_training=is_training)
    as_lengths(lengths, waveform)


def _as_tensor(given: Any) -> Tensor:
    if isinstance(given, Tensor):
        return given
    if isinstance(given, np.ndarray):
        return _of_numpy(given)
    kind = type(given).__name__
    if isinstance(given, list | tuple):
        raise ArgumentError(
            f"A waveform is a tensor or a NumPy array of the shape (clip, sample), not a {kind}. Stack clips "
            "of one length: torch.stack(clips). Pad others, and give lengths=[len(clip) for clip in clips]: "
            "torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)."
        )
    raise ArgumentError(
        f"A waveform is a tensor or a NumPy array of the shape (clip, sample), not a {kind}. Files are for "
        "solfa.embed(path, model); other arrays go through torch.as_tensor or numpy.asarray."
    )


def _of_numpy(array: np.ndarray) -> Tensor:
    """The array, or a copy where PyTorch cannot share its memory: read-only, reversed or in foreign order."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if array.dtype.kind not in "fiubc":
        raise ArgumentError(f"A waveform is float in [-1, 1], not an array of {array.dtype}.")
    shared = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(shared if shared.flags.writeable else shared.copy())


def _refuse_axes(shape: tuple[int, ...]) -> None:
    if len(shape) == 2 and not 0 < shape[1] <= MOST_CHANNELS < shape[0]:
        return
    example = {
        2: "this looks like (sample, channel), as files are read: waveform.mean(1)[None]",
        3: "of (clip, channel, sample) that is waveform.mean(1)",
    }.get(len(shape), "of (channel, sample) that is waveform.mean(0)[None]")
    raise ArgumentError(
        f"A waveform has the shape (clip, sample), not {shape}. For one mono clip use waveform[None]; for "
        f"stereo take the mean of the channels first: {example}."
    )


def _no_floats(dtype: torch.dtype) -> str:
    name = str(dtype).removeprefix("torch.")
    if dtype.is_complex:
        return (
            f"A waveform is real, not {name}. Give samples, not a spectrum; of analytic ones waveform.real."
        )
    if dtype == torch.bool:
        return "A waveform is float in [-1, 1], not bool. A mask of samples is given as lengths: mask.sum(1)."
    cure = FULL_SCALE.get(dtype)
    return f"A waveform is float in [-1, 1], not {name}. Divide integers by full scale: " + (
        f"{cure}." if cure else f"samples of {FULL_SCALES}."
    )


def _whole_numbers(given: Any, waveform: Tensor) -> Int[Tensor, "*axis"]:
    try:
        lengths = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given))
    except (TypeError, ValueError):
        raise ArgumentError(f"{_wanted(waveform)}, not {given!r:.80}.") from None
    if lengths.dtype == torch.bool:
        raise ArgumentError(f"{_wanted(waveform)}, not a mask. Of a mask of samples give mask.sum(1).")
    if lengths.is_complex():
        raise ArgumentError(f"{_wanted(waveform)}, not {lengths.tolist()!r:.80}.")
    if lengths.is_floating_point():
        numbers = values_of(lengths.double())
        if numbers is not None and not np.equal(numbers, np.round(numbers)).all():  # of NaN, too
            raise ArgumentError(
                f"{_wanted(waveform)}: whole numbers, not {numbers!r:.80}. Shares of the longest clip are "
                "multiplied by its samples and rounded first."
            )
    return lengths.long()


def _wanted(waveform: Tensor) -> str:
    n_clips, n_samples = waveform.shape
    return f"lengths must give 1 to at most {n_samples} samples for each of {n_clips} clips"


def _peak(waveform: Float[Tensor, "clip sample"]) -> float | None:
    """The largest magnitude, NaN where there is one; None where nobody knows."""
    if not waveform.numel():
        return None
    ends = values_of(
        torch.stack(torch.aminmax(waveform.detach()))
    )  # both at once: a device is waited for once
    return None if ends is None else float(np.abs(ends).max())


_has_warned_of_loud = False


def _warn_of_loud(peak: float) -> None:
    """Once in a process: a recording comes in many windows, and a library in many recordings."""
    global _has_warned_of_loud
    if not _has_warned_of_loud:
        _has_warned_of_loud = True
        log.warning(
            "A waveform reaches %.3g, and models expect samples in [-1, 1]: the answer may mean little. "
            "Scale such clips down. This is said once.",
            peak,
        )
