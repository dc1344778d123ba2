"""Weights in half precision: what is multiplied with them is rounded as they are, and nothing else."""

from contextlib import AbstractContextManager, nullcontext
from itertools import chain

import torch
from torch import nn

from solfa.features.exact import HALVES


def weights_type(model: nn.Module) -> torch.dtype:
    """In what type a model keeps its numbers: that of the first one."""
    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.float32 if first is None or not first.is_floating_point() else first.dtype


def as_weights_are(model: nn.Module) -> AbstractContextManager[object]:
    """Inside, products are computed in the half precision that weights are in; no change for other weights.

    Norms, softmax and hidden states stay float32, as they do under any autocast.
    """
    first = next(chain(model.parameters(), model.buffers()), None)
    if first is None or first.dtype not in HALVES or torch.is_autocast_enabled(first.device.type):
        return nullcontext()
    return torch.autocast(first.device.type, first.dtype)
