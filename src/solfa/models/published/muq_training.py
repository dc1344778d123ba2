"""What a folder in MuQ's official layout holds besides the encoder: head, quantizer, what is never used."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from solfa.config import to_dict
from solfa.models.layers.rotary import rotary_frequencies
from solfa.models.muq import MuQConfig
from solfa.models.published.format import Besides
from solfa.runs import below

log = logging.getLogger(__name__)

HEAD, RECONSTRUCTION = "model.linear.", "model.recon_proj."
NUMBERS_OF_CODES = ("codebook_size", "n_clusters")  # one is in the settings of every target that gives codes
FIXED = {"codebook_size": 1024, "n_projection_layers": 1}  # of quantizers that are fitted
CODEBOOK_DIM = {"rvq": 16, "vq": 8}
AS_IT_IS = {"level": "kept"}  # of mel frames in targets; runs that do not say it are older than the choice
SPELLINGS = (  # of weight normalisation: ours, and that of the quantizers of the official program
    ("parametrizations.weight.original0", "weight_g"),
    ("parametrizations.weight.original1", "weight_v"),
)


def besides_of_run(config: MuQConfig, objective: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Besides:
    """What a run trained or used besides its encoder, as far as the official program has the same.

    Args:
        config: of the encoder.
        objective: of the run's ``config.json``.
        weights: all that the run has.
    """
    settings = _masking(objective.get("masking", {}))
    tensors: dict[str, Tensor] = {}
    for number, prediction in enumerate(objective.get("predictions", ())):
        place = _place(config, prediction)
        if place is None or f"{place}bias" in tensors:
            kind = prediction["target"]["kind"]
            log.warning("The official layout has no place for prediction %d (%s): left out.", number, kind)
            continue
        head = below(f"heads.{number}.linear.", weights)
        tensors |= _under(place, head)
        if place == RECONSTRUCTION:
            settings["recon_loss_ratio"] = prediction["weight"]
            continue
        found = _quantizer(config, prediction["target"], below(f"targets.{number}.quantizer.", weights))
        settings |= {"codebook_size": len(head["bias"]), **found.settings}  # of all codebooks together
        tensors |= found.weights
    return Besides(settings, tensors)


def gives_codes(target: Any) -> bool:
    """Whether the settings of a target, or of a part of it, say how many codes there are; else: values."""
    if not isinstance(target, Mapping):
        return False
    return any(name in target for name in NUMBERS_OF_CODES) or any(map(gives_codes, target.values()))


def never_used(config: MuQConfig, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors that the official program wants to find, and on which no hidden state depends."""
    inner, dim = settings["w2v2_config"], config.conformer.dim
    taps, n_groups = inner["num_conv_pos_embeddings"], inner["num_conv_pos_embedding_groups"]
    head_dim = dim // config.conformer.n_heads
    positions = "model.conformer.pos_conv_embed.conv."
    return {
        "model.cls_token": torch.zeros(dim),
        "model.linear.weight": torch.zeros(settings["codebook_size"], dim),
        "model.linear.bias": torch.zeros(settings["codebook_size"]),
        "model.conformer.embed_positions.inv_freq": rotary_frequencies(
            head_dim, config.conformer.rotary_base, torch.device("cpu")
        ),
        f"{positions}bias": torch.zeros(dim),
        f"{positions}parametrizations.weight.original0": torch.zeros(1, 1, taps),
        f"{positions}parametrizations.weight.original1": torch.ones(dim, dim // n_groups, taps),
    }


def _masking(masking: Mapping[str, Any]) -> dict[str, Any]:
    if masking.get("kind") != "block":
        return {}
    return {"mask_hop": masking["block_seconds"], "mask_prob": masking["probability"]}


def _place(config: MuQConfig, prediction: Mapping[str, Any]) -> str | None:
    """Where the official layout keeps the head of a prediction, if anywhere."""
    target = prediction["target"]
    if prediction["head"]["kind"] != "linear":
        return None
    if gives_codes(target):
        return HEAD
    return RECONSTRUCTION if AS_IT_IS | target.get("frames", {}) == _frames(config) else None


def _quantizer(config: MuQConfig, target: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Besides:
    """The quantizer of a target, if the official program can have it; without one it makes no targets."""
    problem = _misfit(config, target)
    if problem:
        log.warning("The official layout has no place for the quantizer of this run: %s.", problem)
        return Besides()
    settings = target["quantizer"]
    chosen = {"features": ["melspec_2048"], "codebook_dim": settings["codebook_dim"]}
    if settings["kind"] == "random_projection":
        return Besides(chosen, _under("model.quantizer_melspec_2048.", weights))
    chosen[f"use_{settings['kind']}_target"] = True
    if settings["kind"] == "rvq":
        chosen["rvq_n_codebooks"] = settings["n_codebooks"]
    return Besides(chosen, _under("model.rvq.", weights))


def _misfit(config: MuQConfig, target: Mapping[str, Any]) -> str:
    """Why the official program cannot make the codes of a target; empty if it can."""
    if target["kind"] not in ("mel_rvq", "mel_random_projection"):
        return f"it makes codes of mel frames, not of {target['kind']}"
    if AS_IT_IS | target["frames"] != _frames(config):
        return "its mel frames are those of the encoder, stacked to the encoder's rate"
    quantizer = target["quantizer"]
    if quantizer["kind"] not in ("random_projection", *CODEBOOK_DIM):
        return "it has no quantizer whose entries are centres"
    fixed = FIXED | {"codebook_dim": CODEBOOK_DIM.get(quantizer["kind"])}
    if quantizer["kind"] == "random_projection":
        fixed = {}
    wrong = [f"{name} is {value} there" for name, value in fixed.items() if quantizer[name] != value]
    return " and ".join(wrong)


def _frames(config: MuQConfig) -> dict[str, Any]:
    """The mel frames that targets of the official program are made of."""
    return {"mel": to_dict(config.mel), "n_stacked": math.prod(config.stem.time_strides), **AS_IT_IS}


def _under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under a prefix, in the older spelling of weight normalisation."""
    spelled = {}
    for name, tensor in weights.items():
        for new, old in SPELLINGS:
            name = name.replace(new, old)
        spelled[prefix + name] = tensor
    return spelled
