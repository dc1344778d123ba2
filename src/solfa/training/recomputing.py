"""Layers whose activations are computed twice, and kept only where they come in and go out."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from solfa.errors import ArgumentError
from solfa.objectives import Objective


def recompute(objective: Objective) -> None:
    """Keep what enters each layer, and compute the rest again as gradients go backward.

    Dropout is drawn again as it was, and running statistics count each batch once: gradients are the same.

    Source:
        Sublinear memory cost, arXiv:1604.06174.

    Raises:
        ArgumentError: no layers are known of it.
    """
    layers = objective.layers_to_recompute()
    if not layers:
        raise ArgumentError(
            f"Of {type(objective).__name__} no layers are known that could be computed again. Train without "
            "--recompute, and with fewer clips at a time: --clips-per-device."
        )
    for layer in layers:
        # Inside of the layer's call, so that hooks around it, which gather its weights, see it once each way.
        again = partial(_contexts, layer)
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, context_fn=again)


def _contexts(layer: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Of the first computation, and of the second."""
    return nullcontext(), _unchanged_buffers(layer)


@contextmanager
def _unchanged_buffers(layer: nn.Module) -> Iterator[None]:
    before = [(buffer, buffer.clone()) for buffer in layer.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.data.copy_(value)  # as no change: gradients that are on their way look for such
