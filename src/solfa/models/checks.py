"""Hidden states that are not finite: in which layer it begins, whose fault it is, and the cure."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from solfa.checkpoint import not_finite
from solfa.errors import ArgumentError, SolfaError
from solfa.frames import LOUDEST

NAMES_SHOWN = 3


class NotFiniteError(SolfaError, ValueError):
    """A model that answers with NaN or infinity; the message names the layer and the cure."""


def values_of(tensor: Tensor) -> Any:
    """The numbers, or None where there are none yet: in a traced or mapped program, or on the meta device."""
    if torch.compiler.is_compiling():
        return None
    try:
        return tensor.detach().tolist()
    except RuntimeError:  # what PyTorch says of mapped tensors and of the meta device
        return None


def check_finite(
    model: nn.Module,
    states: Sequence[Float[Tensor, "clip frame dim"]],
    waveform: Float[Tensor, "clip sample"],
) -> None:
    """Refuse hidden states that hold NaN or infinity.

    Only the last state is looked at while all is well: what a layer spoils, the layers after it pass on.

    Args:
        model: what made the states.
        states: numbered as in ``HiddenStates``; perhaps not up to the last layer.
        waveform: what they were made of.

    Raises:
        NotFiniteError: the weights or the precision are at fault, so that another clip does not help.
        ValueError: the waveform is.
    """
    if values_of(torch.isfinite(states[-1]).all()) in (True, None):
        return
    where = f"The hidden states are not finite, {_first(states, getattr(model, 'n_layers', len(states) - 1))}"
    if broken := broken_weights(model):
        raise NotFiniteError(f"{where}: {_listed(broken)}. The weights are damaged; fetch them again.")
    loudest = float(waveform.abs().max())
    if loudest > LOUDEST:
        raise ArgumentError(
            f"{where}: the waveform reaches {loudest:.3g} and should stay in [-1, 1]. Divide integers by "
            "full scale, and repair or leave out other such clips."
        )
    raise NotFiniteError(f"{where}: {_cure(_dtype(waveform.device))}")


def broken_weights(model: nn.Module) -> list[str]:
    """Names of the weights and fixed statistics of a model that hold NaN or infinity."""
    return not_finite(model.state_dict())


def _first(states: Sequence[Float[Tensor, "clip frame dim"]], n_layers: int) -> str:
    number = next(n for n, state in enumerate(states) if not bool(torch.isfinite(state).all()))
    return f"first in layer {number} of {n_layers}" if number else "already in what enters layer 1"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(names[:NAMES_SHOWN])}{more} hold NaN or infinity"


def _dtype(device: torch.device) -> torch.dtype:
    """In what products are computed."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32


def _cure(dtype: torch.dtype) -> str:
    if dtype == torch.float16:
        return "float16 ends at 65,504. Compute in bfloat16, which reaches as far as float32, or in float32."
    if dtype == torch.bfloat16:
        return "try float32. If that fails too, the weights are damaged: fetch them again."
    return "its weights are finite but of no meaning. They are damaged; fetch them again."
