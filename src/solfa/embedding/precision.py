"""Precision: in what numbers an encoder multiplies; weights, norms and hidden states are always float32."""

from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse half precision where it gains nothing."""
    if precision != "float32" and device.type != "cuda":
        raise ValueError(
            f"{precision} is for CUDA devices; on this device ({device.type}) it would round the vectors and "
            "gain nothing. Use float32, or name a CUDA device."
        )


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """What is computed inside is computed in ``precision``, whatever holds outside."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "float32")
