"""Inputs and outputs of the original programs; see golden/README.md."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
MERT = ("mert_95m_style", "mert_330m_style", "mert_layer_norm_extractor", "mert_16khz_cqt_input")
MUQ = ("muq_rvq_25hz", "muq_rvq_50hz", "muq_random_25hz", "muq_vq_25hz")


def config_of(case: str) -> dict[str, Any]:
    return json.loads((GOLDEN / case / "config.json").read_text())


def weights_of(case: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / case / "model.safetensors")


def io_of(case: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / case / "io.safetensors")


def relative_error(reference: Tensor, estimated: Tensor) -> float:
    """Largest absolute error, relative to the largest value of the reference."""
    return float((reference - estimated.detach()).abs().max() / reference.abs().max())
