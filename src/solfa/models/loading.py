"""A run folder, a published name or a file -> a model."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from torch import Tensor

from solfa import checkpoint
from solfa.models.encoder import AudioEncoder
from solfa.models.muq import MuQ, MuQConfig
from solfa.models.published import muq_config, muq_weights

log = logging.getLogger(__name__)

EncoderConfig = MuQConfig

PUBLISHED_LICENCES = {
    "OpenMuQ/MuQ-large-msd-iter": "CC-BY-NC-4.0",
}


class ModelError(ValueError):
    """A model that cannot be loaded; the message names the cure."""


def build_encoder(config: EncoderConfig, license: str = "") -> AudioEncoder:
    """The encoder that ``config`` describes, with random weights."""
    return MuQ(config, license)


def load(name: str | Path, device: str | torch.device = "cpu") -> AudioEncoder:
    """A trained encoder, in eval mode.

    Args:
        name: a run folder or one of its ``step-*`` folders, a folder in the official layout (``config.json``
            and ``model.safetensors``), or a published name such as ``OpenMuQ/MuQ-large-msd-iter``, which is
            fetched from the hub unless it is in the local cache.
        device: where the weights go.

    Raises:
        ModelError: nothing of that name, or weights that do not fit; the message names the cure.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _fetch(str(name))
    values, weights = checkpoint.read_values(folder), load_file(checkpoint.weights_file(folder))
    if "objective" in values:
        encoder, weights = _of_run(folder, values, weights)
    elif "w2v2_config" in values:
        encoder, weights = MuQ(muq_config(values), _licence(name, values)), muq_weights(weights)
    else:
        raise ModelError(
            f"{folder}/config.json is of no model known here. Known are runs of solfa and folders of MuQ."
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
        return Path(snapshot_download(name, allow_patterns=["config.json", "model.safetensors"]))
    except RepositoryNotFoundError:
        raise ModelError(f"The hub has no model '{name}'. 'solfa models' lists what can be loaded.") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{name} is not in the local cache, and the hub cannot be reached ({type(error).__name__}). "
            "Download its config.json and model.safetensors on a connected machine and give their folder."
        ) from None
