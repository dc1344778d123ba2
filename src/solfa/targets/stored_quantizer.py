"""A quantizer out of a run folder, or out of a folder in MuQ's official layout."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from solfa import checkpoint
from solfa.config import from_dict
from solfa.targets.base import TargetError
from solfa.targets.quantizer import (
    RandomProjection,
    RandomProjectionConfig,
    ResidualVectorQuantizer,
    ResidualVectorQuantizerConfig,
    VectorQuantizer,
    VectorQuantizerConfig,
)

STACKED_MEL = {25: 4, 50: 2}  # label rate -> mel frames of 10 ms in a target frame, as published


def load_quantizer(folder: str | Path) -> ResidualVectorQuantizer | VectorQuantizer | RandomProjection:
    """The quantizer that made, or was made by, the run in ``folder``; frozen, in eval mode.

    Args:
        folder: a run folder of ``mel_rvq`` or of a MuQ trained here, one of its ``step-*`` folders, or a
            folder in the official layout of MuQ (``config.json`` and ``model.safetensors``).

    Returns:
        A quantizer whose ``encode`` takes ``(clip frame dim)`` and gives ``(clip codebook frame)``.

    Raises:
        TargetError: there is no quantizer; the message names the cure.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TargetError(f"No quantizer at {folder}. Fit one with: solfa train mel_rvq --out {folder}")
    with checkpoint.explained(folder, TargetError):
        values = checkpoint.read_values(folder)
        weights = checkpoint.read_weights(checkpoint.weights_file(folder))
        if "objective" in values:
            quantizer = _of_run(folder, values, weights)
        else:
            quantizer = _of_official_folder(folder, values, weights)
    return quantizer.eval().requires_grad_(False)


def _of_run(
    folder: Path, values: dict[str, Any], weights: dict[str, Tensor]
) -> ResidualVectorQuantizer | VectorQuantizer | RandomProjection:
    found = [part["quantizer"] for part in _parts(values["objective"]) if "quantizer" in part]
    prefixes = sorted(
        {name.split("quantizer.")[0] + "quantizer." for name in weights if "quantizer." in name}
    )
    if not found or not prefixes:
        raise TargetError(f"The run in {folder} has no quantizer. A run of mel_rvq or of MuQ has one.")
    return _built(found[0], _with_prefix(weights, prefixes[0]))


def _of_official_folder(
    folder: Path, values: dict[str, Any], weights: dict[str, Tensor]
) -> ResidualVectorQuantizer | VectorQuantizer | RandomProjection:
    dim = values["n_mels"] * STACKED_MEL[values["label_rate"]]
    rvq, random = _with_prefix(weights, "model.rvq."), _with_prefix(weights, "model.quantizer_melspec_2048.")
    if values.get("use_rvq_target") and rvq:
        n_codebooks, n_layers = values["rvq_n_codebooks"], values.get("rvq_multi_layer_num", 1)
        shape = {
            "codebook_size": 1024,
            "codebook_dim": values["codebook_dim"],
            "n_projection_layers": n_layers,
        }
        return _built({"kind": "rvq", "dim": dim, "n_codebooks": n_codebooks, **shape}, rvq)
    if values.get("use_vq_target") and rvq:
        size, width = rvq["codebook.weight"].shape
        return _built({"kind": "vq", "dim": dim, "codebook_size": size, "codebook_dim": width}, rvq)
    if random:
        size, width = random["codebook"].shape
        return _built(
            {"kind": "random_projection", "dim": dim, "codebook_size": size, "codebook_dim": width}, random
        )
    raise TargetError(
        f"The weights in {folder} hold no quantizer: it was trained on codes stored beforehand."
    )


def _built(
    config: dict[str, Any], weights: dict[str, Tensor]
) -> ResidualVectorQuantizer | VectorQuantizer | RandomProjection:
    quantizer: ResidualVectorQuantizer | VectorQuantizer | RandomProjection
    match config["kind"]:
        case "rvq":
            residual = from_dict(ResidualVectorQuantizerConfig, config)
            checkpoint.check_sizes(residual, weights)
            quantizer = ResidualVectorQuantizer(residual)
        case "vq":
            single = from_dict(VectorQuantizerConfig, config)
            checkpoint.check_sizes(single, weights)
            quantizer = VectorQuantizer(single)
        case _:
            projection = from_dict(RandomProjectionConfig, config)
            checkpoint.check_sizes(projection, weights)
            quantizer = RandomProjection(projection)
    quantizer.load_state_dict(weights)
    return quantizer


def _with_prefix(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in weights.items() if name.startswith(prefix)}


def _parts(values: Any) -> Iterator[dict[str, Any]]:
    """Every group inside a configuration, the outer before the inner."""
    if isinstance(values, dict):
        yield values
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            yield from _parts(value)
