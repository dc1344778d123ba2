"""Layers that PyTorch compiles: their elementwise steps in one pass over memory."""

import warnings

import torch

from solfa.errors import ArgumentError
from solfa.objectives import Objective


def compile_layers(objective: Objective, device: torch.device) -> None:
    """Compile each layer of an objective by itself, when it is first called; names of weights stay.

    A layer answers as before but for rounding; dropout, where it has any, draws other lots. Shapes that come
    later are compiled again, once, for any size.

    Args:
        objective: whose layers; those of its encoder, and of its predictor.
        device: where it computes.

    Raises:
        ArgumentError: no layers are known of it, or nothing can be compiled on this machine.
    """
    layers = objective.layers_to_compile()
    if not layers:
        raise ArgumentError(
            f"Of {type(objective).__name__} no layers are known that could be compiled. Train "
            "without --compile."
        )
    check_compiler(device)
    for layer in layers:
        layer.compile()


def check_compiler(device: torch.device) -> None:
    """Compile a product and a sum. ArgumentError if this machine cannot: it may have no C++ compiler."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of PyTorch about its own parts
            torch.compile(_doubled)(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler that is not there, or too old, makes of it
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ArgumentError(
            f"PyTorch cannot compile for {device.type} here: {why} Install a C++ compiler (on Debian: apt "
            "install g++), or train without --compile."
        ) from error


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return 2 * x + 1
