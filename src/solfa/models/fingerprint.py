"""By what the weights of a model are known, whatever it is called: loaded, or as they are stored."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solfa.config import Config, identity

if TYPE_CHECKING:
    from torch import Tensor, nn

Described = tuple[str, str, tuple[int, ...], Any]  # name, type of numbers as PyTorch calls it, shape, bytes


def fingerprint(encoder: "nn.Module") -> str:
    """SHA-256 of an encoder's configuration and weights, whatever device they are on."""
    config: Config = encoder.config  # type: ignore[assignment]  # attributes of modules have no type
    values = {name: value for name, value in identity(config).items() if name != "default_layer"}
    weights = encoder.state_dict().items()
    return _digest(values, ((name, str(w.dtype), tuple(w.shape), bytes_of(w)) for name, w in sorted(weights)))


def fingerprint_of_stored(values: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> str:
    """What ``fingerprint`` gives for a model that is filled with some weights, which PyTorch need not read.

    Args:
        values: the ``identity`` of its configuration.
        weights: by the names in the model, as it computes with them.
    """
    described = (
        (name, f"torch.{w.dtype}", w.shape, w.reshape(-1).data) for name, w in sorted(weights.items())
    )
    return _digest(values, described)


def _digest(values: Mapping[str, Any], weights: Iterable[Described]) -> str:
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for name, dtype, shape, content in weights:
        digest.update(f"{name} {dtype} {shape}".encode())
        digest.update(content)
    return digest.hexdigest()


def bytes_of(tensor: "Tensor") -> memoryview:
    """The memory of a tensor, wherever it lies."""
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
