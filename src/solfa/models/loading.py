"""A run folder, a published name or a file -> a model."""

import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from torch import Tensor

from solfa import checkpoint
from solfa.models.encoder import AudioEncoder
from solfa.models.mert import MERT, MERTConfig
from solfa.models.muq import MuQ, MuQConfig
from solfa.models.published import muq_config, muq_weights
from solfa.models.published_mert import is_mert, mert_config, mert_weights

log = logging.getLogger(__name__)

EncoderConfig = MuQConfig | MERTConfig

PICKLED_WEIGHTS, PREPROCESSOR = "pytorch_model.bin", "preprocessor_config.json"
PUBLISHED_LICENCES = {
    "OpenMuQ/MuQ-large-msd-iter": "CC-BY-NC-4.0",
    "m-a-p/MERT-v0": "CC-BY-NC-4.0",
    "m-a-p/MERT-v0-public": "CC-BY-NC-4.0",
    "m-a-p/MERT-v1-95M": "CC-BY-NC-4.0",
    "m-a-p/MERT-v1-330M": "CC-BY-NC-4.0",
}


class ModelError(ValueError):
    """A model that cannot be loaded; the message names the cure."""


def build_encoder(config: EncoderConfig, license: str = "") -> AudioEncoder:
    """The encoder that ``config`` describes, with random weights."""
    match config:
        case MuQConfig():
            return MuQ(config, license)
        case MERTConfig():
            return MERT(config, license)
        case _:
            assert_never(config)


def load(name: str | Path, device: str | torch.device = "cpu") -> AudioEncoder:
    """A trained encoder, in eval mode.

    Args:
        name: a run folder or one of its ``step-*`` folders, a folder in the official layout (``config.json``
            and ``model.safetensors`` or ``pytorch_model.bin``), or a published name such as
            ``OpenMuQ/MuQ-large-msd-iter`` or ``m-a-p/MERT-v1-95M``, which is fetched from the hub unless it
            is in the local cache.
        device: where the weights go.

    Raises:
        ModelError: nothing of that name, or weights that do not fit; the message names the cure.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _fetch(str(name))
    values, weights = checkpoint.read_values(folder), _read_weights(folder)
    if "objective" in values:
        encoder, weights = _of_run(folder, values, weights)
    elif "w2v2_config" in values:
        encoder, weights = MuQ(muq_config(values), _licence(name, values)), muq_weights(weights)
    elif is_mert(values):
        config = mert_config(values, _preprocessor(folder))
        encoder, weights = MERT(config, _licence(name, values)), mert_weights(weights)
    else:
        raise ModelError(
            f"{folder}/config.json is of no model known here. Known are runs of solfa and folders of MuQ and "
            "of MERT."
        )
    _fill(encoder, weights, folder)
    if encoder.license:
        log.warning("The weights of %s are licensed %s.", name, encoder.license)
    return encoder.eval().requires_grad_(False).to(device)


def _of_run(
    folder: Path, values: Mapping[str, Any], weights: dict[str, Tensor]
) -> tuple[AudioEncoder, dict[str, Tensor]]:
    if "encoder" not in values["objective"]:
        raise ModelError(
            f"The run in {folder} trained a {values['objective'].get('kind', 'part')}, which has no encoder. "
            "Its quantizer is loaded by solfa.targets.load_quantizer."
        )
    encoder = build_encoder(TypeAdapter(EncoderConfig).validate_python(values["objective"]["encoder"]))
    prefix = "encoder."
    return encoder, {name[len(prefix) :]: w for name, w in weights.items() if name.startswith(prefix)}


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """Tensors by name: from safetensors, or, where there are none, from a pickle without running its code."""
    pickled = folder / PICKLED_WEIGHTS
    if not pickled.is_file() or (folder / checkpoint.WEIGHTS).is_file():
        return load_file(checkpoint.weights_file(folder))
    try:
        weights = torch.load(pickled, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(
            f"{pickled} is refused: it is damaged, or holds code that would run when it is opened "
            f"({type(error).__name__}). Fetch it again from its publisher, or take a {checkpoint.WEIGHTS} "
            "instead."
        ) from None
    if not isinstance(weights, dict) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise ModelError(f"{pickled} is no table of tensors by name. Fetch the published file again.")
    return weights


def _preprocessor(folder: Path) -> dict[str, Any] | None:
    path = folder / PREPROCESSOR
    return json.loads(path.read_text()) if path.is_file() else None


def _fill(encoder: AudioEncoder, weights: dict[str, Tensor], folder: Path) -> None:
    """Load weights strictly; a report of what is missing, unexpected or of another shape otherwise."""
    wanted = encoder.state_dict()
    problems = {
        "missing": sorted(wanted.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - wanted.keys()),
        "of another shape": [
            f"{n} {tuple(weights[n].shape)} instead of {tuple(wanted[n].shape)}"
            for n in sorted(wanted.keys() & weights.keys())
            if wanted[n].shape != weights[n].shape
        ],
    }
    if any(problems.values()):
        report = "\n".join(f"  {kind}: {', '.join(names)}" for kind, names in problems.items() if names)
        raise ModelError(
            f"The weights in {folder} do not fit its config.json:\n{report}\nFetch both again together."
        )
    encoder.load_state_dict(weights)


def _licence(name: str | Path, values: Mapping[str, Any]) -> str:
    return values.get("license", "") or PUBLISHED_LICENCES.get(str(name), "")


def _fetch(name: str) -> Path:
    """The folder of a published model, from the local cache or from the hub."""
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"There is no model '{name}': no such folder, and no published name (as in owner/model). "
            "'solfa models' lists what can be loaded."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=["*config.json", checkpoint.WEIGHTS]))
        if not (folder / checkpoint.WEIGHTS).is_file():
            snapshot_download(name, allow_patterns=[PICKLED_WEIGHTS])
        return folder
    except RepositoryNotFoundError:
        raise ModelError(f"The hub has no model '{name}'. 'solfa models' lists what can be loaded.") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{name} is not in the local cache, and the hub cannot be reached ({type(error).__name__}). "
            "Download its config.json and model.safetensors on a connected machine and give their folder."
        ) from None
