"""A run folder, a published name or a file -> a model."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from solfa import checkpoint, runs
from solfa.config import Config, from_dict
from solfa.features.exact import InFloat32
from solfa.models.bundled import ENCODER
from solfa.models.checks import broken_weights
from solfa.models.encoder import AudioEncoder
from solfa.models.folders import (
    ANSWER,
    MODEL,
    SHA256,
    TEXT,
    ModelError,
    check_bytes,
    is_saved,
    language_folder,
    language_model,
    model_folder,
    read_weights,
)
from solfa.models.input import checked_device
from solfa.models.known_answer import departure
from solfa.models.layers.low_rank import LoRAConfig, merge_lora
from solfa.models.mulan import ClipEncoder, MuLan, MuLanConfig
from solfa.models.published import CHECKPOINTS, FORMATS, find_format
from solfa.models.registry import EncoderConfig, build_encoder
from solfa.models.saving import Shareable
from solfa.models.sentences import packaged_language
from solfa.models.tagger import Tagger, TaggerConfig
from solfa.models.text import TextModel
from solfa.runs import below

log = logging.getLogger(__name__)

ModelConfig = EncoderConfig | MuLanConfig | TaggerConfig


@dataclass(frozen=True, kw_only=True)
class _Saved(Config):
    model: ModelConfig


@dataclass(frozen=True, kw_only=True)
class _Encoder(Config):
    encoder: EncoderConfig


INITIALISATIONS = (
    "uniform_",
    "normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
)  # of torch, by random numbers
UNSTATED = "not stated"
FREE_LICENCES = ("Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0")  # that leave people free; others are told


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Inside, no default of the caller counts: neither type nor device of new tensors, nor inference mode."""
    with torch.device("cpu"), torch.inference_mode(False), InFloat32():
        yield


@_undisturbed()
def load(name: str | Path = ENCODER, device: str | torch.device = "cpu") -> AudioEncoder | MuLan:
    """A trained encoder or music-text model, in eval mode and float32, whatever torch's default type is.

    Args:
        name: ``solfa-small`` or ``solfa-mulan-small``, which come with solfa; a run folder or one of its
            ``step-*`` folders; a folder that ``save_pretrained`` wrote; a folder in the official layout
            (``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``); or a published name such as
            ``OpenMuQ/MuQ-large-msd-iter``, ``OpenMuQ/MuQ-MuLan-large`` or ``m-a-p/MERT-v1-95M``, which is
            fetched from the hub unless it is in the local cache.
        device: where the weights go.

    Raises:
        ValueError: no such device.
        ModelError: nothing of that name, weights that do not fit, or that compute something else than when
            they were saved; the message names the cure.
    """
    device = checked_device(device)
    folder = model_folder(name)
    with runs.explained(folder, ModelError):
        values = runs.read_values(folder)
        check_bytes(folder, values)
        weights = read_weights(folder)
        with _WithoutRandomNumbers():
            model, weights = _build(folder, values, weights, _licence(name, values))
        _fill(model, weights, folder)
    model.taught_by = runs.taught_by(values)
    model = model.eval().requires_grad_(False).to(device)
    with runs.explained(folder, ModelError):
        _check_answer(model, values)
    if model.license and model.license not in FREE_LICENCES:
        log.warning("The weights of %s are licensed %s.", name, model.license)
    return model


def load_encoder(name: str | Path, device: str | torch.device = "cpu") -> AudioEncoder:
    """As ``load``; of a music-text model its audio side, as an encoder of whole clips."""
    model = load(name, device)
    return ClipEncoder(model).eval() if isinstance(model, MuLan) else model


def licence_to_teach(model: Shareable, name: str | Path) -> str:
    """The licence that stands over what learns from a model that ``load(name)`` gave.

    It is empty if nobody stated one of a run or a saved model, as of one's own; of weights in a published
    layout it is ``not stated`` then, since a folder does not say whose they are.
    """
    values = runs.read_values(model_folder(name))
    is_published = "objective" not in values and not is_saved(values)
    return model.license or (UNSTATED if is_published else "")


class _WithoutRandomNumbers(TorchFunctionMode):
    """Leaves a tensor unwritten where random numbers would fill it.

    Untouched memory is never taken, so that a model costs nothing before it gets its weights. What it
    computes of other numbers, such as the filters of its features, is as ever.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") in INITIALISATIONS:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def _build(
    folder: Path, values: Mapping[str, Any], weights: dict[str, Tensor], licence: str
) -> tuple[AudioEncoder | MuLan, dict[str, Tensor]]:
    """A model without weights, and the weights under its names."""
    if "objective" in values:
        return _of_run(folder, values, weights)
    if is_saved(values):
        config = from_dict(_Saved, {MODEL: values[MODEL]}).model
        checkpoint.check_sizes(config, weights)
        if isinstance(config, MuLanConfig):
            return MuLan(config, _language(config, folder / TEXT, weights), licence), weights
        if isinstance(config, TaggerConfig):
            return Tagger(config, licence), weights
        return build_encoder(config, licence), weights
    if layout := find_format(values):
        found = layout.config(folder, values)
        checkpoint.check_sizes(found, weights)
        return layout.build(found, licence, folder, weights), layout.weights(weights)
    raise ModelError(
        f"Its config.json is of no model known here. Known are runs and saved models of solfa, and "
        f"{', '.join(layout.model.__name__ for layout in FORMATS)} as they are published."
    )


def _check_answer(model: Shareable, values: Mapping[str, Any]) -> None:
    """Refuse a saved model that does not compute what it did when it was saved."""
    if not is_saved(values):
        return
    off, limit = departure(model, model.sample_rate, values[ANSWER])
    if off > limit:
        bytes_are = "are whole" if SHA256 in values else "may be damaged"
        raise ModelError(
            f"It does not give the answer that it gave when it was saved: it is off by {off:.2g}, where "
            f"processors differ by less than {limit:g}. Its weights {bytes_are}. Either another of its files "
            "was changed, or this program or this machine computes something else: fetch the whole folder "
            "again, and run 'solfa doctor'."
        )


def _of_run(
    folder: Path, values: Mapping[str, Any], weights: dict[str, Tensor]
) -> tuple[AudioEncoder | MuLan, dict[str, Tensor]]:
    if "tagger" in values["objective"]:
        return _tagger(values["objective"], weights)
    if "mulan" in values["objective"]:
        return _mulan(values["objective"], weights)
    if "encoder" not in values["objective"]:
        raise ModelError(
            f"The run in {folder} has no encoder to load. It is {use_without_encoder(values['objective'])}."
        )
    config = from_dict(_Encoder, {"encoder": values["objective"]["encoder"]}).encoder
    weights = below("encoder.", weights)
    checkpoint.check_sizes(config, weights)
    return build_encoder(config, runs.licence(values)), weights


def use_without_encoder(objective: Mapping[str, Any]) -> str:
    """What a run without an encoder or a music-text model has made, and what it is for."""
    kind, target = objective.get("kind", "?"), objective.get("target", {}).get("kind", "?")
    label = "solfa data label" if target == "hidden_rvq" else f"'fitted' of a {target} target"
    uses = {
        "quantizer_fit": f"a quantizer, for {label} and solfa.targets.load_quantizer",
        "codec_fit": "a codec, for solfa codec, 'fitted' of an rvq_vae target and solfa.targets.load_codec",
        "kmeans_fit": "clusters of k-means, for 'fitted' of a kmeans target",
    }
    return uses.get(kind, f"a run of the kind {kind}, of which this solfa knows no use")


def _tagger(objective: Mapping[str, Any], weights: dict[str, Tensor]) -> tuple[Tagger, dict[str, Tensor]]:
    """A fine-tuned encoder with its head; what LoRA learned beside matrices becomes part of them."""
    config = from_dict(TaggerConfig, objective["tagger"])
    weights, learns = below("tagger.", weights), objective["learns"]
    if learns["kind"] == "lora":
        weights = merge_lora(weights, from_dict(LoRAConfig, learns))
    checkpoint.check_sizes(config, weights)
    return Tagger(config, objective["license"]), weights


def _mulan(objective: Mapping[str, Any], weights: dict[str, Tensor]) -> tuple[MuLan, dict[str, Tensor]]:
    config, weights = from_dict(MuLanConfig, objective["mulan"]), below("mulan.", weights)
    checkpoint.check_sizes(config, weights)
    language = _language(config, language_folder(objective["language"]), weights)
    return MuLan(config, language, objective["license"]), weights


def _language(config: MuLanConfig, folder: Path, weights: Mapping[str, Tensor]) -> TextModel:
    """From a package with its weights; else from a folder, to be filled with those of the model."""
    name = config.text.language
    return packaged_language(name) if name else language_model(folder, weights)


def _fill(encoder: Shareable, weights: dict[str, Tensor], folder: Path) -> None:
    """Make ``weights`` the encoder's own; otherwise a report of what is missing, unexpected or misshapen."""
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
    for name, empty in wanted.items():  # one at a time, in place of the one before
        weights[name] = weights[name].to(empty.dtype)
    encoder.load_state_dict(weights, assign=True)
    if broken := broken_weights(encoder):
        raise ModelError(
            f"The weights in {folder} hold NaN or infinity: {', '.join(broken[:3])}. Fetch them again."
        )


def _licence(name: str | Path, values: Mapping[str, Any]) -> str:
    known = CHECKPOINTS.get(str(name))
    return values.get("license", "") or (known.licence if known else "")
