"""By what the weights of an encoder are known, whatever it is called."""

import hashlib
import json

import torch
from torch import Tensor, nn

from solfa.config import Config, identity


def fingerprint(encoder: nn.Module) -> str:
    """SHA-256 of an encoder's configuration and weights, whatever device they are on."""
    config: Config = encoder.config  # type: ignore[assignment]  # attributes of modules have no type
    values = {name: value for name, value in identity(config).items() if name != "default_layer"}
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
