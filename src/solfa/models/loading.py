"""A run folder, a published name or a file -> a model."""

import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from solfa import checkpoint
from solfa.config import Config, from_dict
from solfa.features.exact import InFloat32
from solfa.files import sha256
from solfa.json_files import ContentError, read_json_object
from solfa.models.building import EncoderConfig, build_encoder
from solfa.models.bundled import ENCODER, bundled_folder
from solfa.models.encoder import AudioEncoder
from solfa.models.finite import broken_weights
from solfa.models.input import checked_device
from solfa.models.known_answer import departure
from solfa.models.layers.low_rank import LoRAConfig, merge_lora
from solfa.models.mert import MERT, MERTConfig
from solfa.models.mulan import TEXT, ClipEncoder, MuLan, MuLanConfig
from solfa.models.muq import MuQ, MuQConfig
from solfa.models.published import muq_config, muq_weights
from solfa.models.published_mert import is_mert, mert_config, mert_weights
from solfa.models.published_mulan import is_mulan, mulan_config, mulan_weights
from solfa.models.sharing import ANSWER, MODEL, SHA256, Shareable, is_saved
from solfa.models.tagger import Tagger, TaggerConfig
from solfa.models.text import FILES, PACKAGED, TextModel, packaged_folder

log = logging.getLogger(__name__)

ModelConfig = MuQConfig | MERTConfig | MuLanConfig | TaggerConfig


@dataclass(frozen=True, kw_only=True)
class _Saved(Config):
    model: ModelConfig


@dataclass(frozen=True, kw_only=True)
class _Encoder(Config):
    encoder: EncoderConfig


PICKLED_WEIGHTS, PREPROCESSOR = "pytorch_model.bin", "preprocessor_config.json"
LANGUAGE_SIZES = ("hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings")
INITIALISATIONS = (
    "uniform_",
    "normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
)  # of torch, by random numbers
FREE_LICENCES = ("Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0")  # that leave people free; others are told
PUBLISHED_LICENCES = {
    "OpenMuQ/MuQ-large-msd-iter": "CC-BY-NC-4.0",
    "OpenMuQ/MuQ-MuLan-large": "CC-BY-NC-4.0",
    "m-a-p/MERT-v0": "CC-BY-NC-4.0",
    "m-a-p/MERT-v0-public": "CC-BY-NC-4.0",
    "m-a-p/MERT-v1-95M": "CC-BY-NC-4.0",
    "m-a-p/MERT-v1-330M": "CC-BY-NC-4.0",
}


class ModelError(ValueError):
    """A model that cannot be loaded; the message names the cure."""


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
    with checkpoint.explained(folder, ModelError):
        values = checkpoint.read_values(folder)
        _check_bytes(folder, values)
        weights = read_weights(folder)
        with _WithoutRandomNumbers():
            model, weights = _build(folder, values, weights, _licence(name, values))
        _fill(model, weights, folder)
    model = model.eval().requires_grad_(False).to(device)
    with checkpoint.explained(folder, ModelError):
        _check_answer(model, values)
    if model.license and model.license not in FREE_LICENCES:
        log.warning("The weights of %s are licensed %s.", name, model.license)
    return model


def load_encoder(name: str | Path, device: str | torch.device = "cpu") -> AudioEncoder:
    """As ``load``; of a music-text model its audio side, as an encoder of whole clips."""
    model = load(name, device)
    return ClipEncoder(model).eval() if isinstance(model, MuLan) else model


def model_folder(name: str | Path) -> Path:
    """Where a model's files are; a published one is fetched unless it is in the local cache."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    return bundled_folder(name) or fetch(str(name), ["*config.json", checkpoint.WEIGHTS, f"{TEXT}/*"])


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
    if "w2v2_config" in values:
        muq = muq_config(values)
        checkpoint.check_sizes(muq, weights)
        return MuQ(muq, licence), muq_weights(weights)
    if is_mert(values):
        mert = mert_config(values, read_preprocessor(folder))
        checkpoint.check_sizes(mert, weights)
        return MERT(mert, licence), mert_weights(weights)
    if is_mulan(values):
        mulan = mulan_config(values, _audio_values(folder, values))
        checkpoint.check_sizes(mulan, weights)
        text = _part(folder, values["text_model"]["name"], list(FILES))
        return MuLan(mulan, _text_model(text, weights), licence), mulan_weights(weights)
    raise ModelError(
        "Its config.json is of no model known here. Known are runs and saved models of solfa, and folders of "
        "MuQ, MuQ-MuLan and MERT."
    )


def _check_bytes(folder: Path, values: Mapping[str, Any]) -> None:
    """Refuse weights that are not those that were saved; folders of before hold no sum, and pass."""
    if SHA256 not in values:
        return
    path = checkpoint.weights_file(folder)
    if (found := sha256(path)) != values[SHA256]:
        raise ModelError(
            f"{path} is damaged: its SHA-256 is {found[:12]}..., and its {checkpoint.CONFIG} says "
            f"{str(values[SHA256])[:12]}... Fetch the whole folder again."
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


def _audio_values(folder: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the MuQ that a published MuQ-MuLan stands on; its weights are in the MuLan's file."""
    if "muq_config" in values:
        return values["muq_config"]
    return checkpoint.read_values(_part(folder, values["audio_model"]["name"], [checkpoint.CONFIG]))


def _part(folder: Path, name: str, files: list[str]) -> Path:
    """A folder inside a model's folder, or else of the hub."""
    inside = next((folder / part for part in (name, Path(name).name) if (folder / part).is_dir()), None)
    # xlm-roberta-base has no owner in its published name; the hub keeps it under one.
    return inside or fetch(name if "/" in name else f"FacebookAI/{name}", files)


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
    weights = _below("encoder.", weights)
    checkpoint.check_sizes(config, weights)
    return build_encoder(config), weights


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
    weights, learns = _below("tagger.", weights), objective["learns"]
    if learns["kind"] == "lora":
        weights = merge_lora(weights, from_dict(LoRAConfig, learns))
    checkpoint.check_sizes(config, weights)
    return Tagger(config, objective["license"]), weights


def _mulan(objective: Mapping[str, Any], weights: dict[str, Tensor]) -> tuple[MuLan, dict[str, Tensor]]:
    config, weights = from_dict(MuLanConfig, objective["mulan"]), _below("mulan.", weights)
    checkpoint.check_sizes(config, weights)
    language = _language(config, language_folder(objective["language"]), weights)
    return MuLan(config, language, objective["license"]), weights


def _language(config: MuLanConfig, folder: Path, weights: Mapping[str, Tensor]) -> TextModel:
    """From a package with its weights; else from a folder, to be filled with those of the model."""
    name = config.text.language
    return TextModel(packaged_folder(name), has_weights=True) if name else _text_model(folder, weights)


def _text_model(folder: Path, weights: Mapping[str, Tensor]) -> TextModel:
    """A language model without weights, of no other size than they are."""
    settings = checkpoint.read_values(folder)
    longest = max((n for w in weights.values() for n in w.shape), default=0)
    room = dict.fromkeys(LANGUAGE_SIZES, longest) | {"num_hidden_layers": len(weights)}
    for name, most in room.items():
        if isinstance(size := settings.get(name), int) and not 1 <= size <= most:
            raise ModelError(
                f"{folder} says that {name} is {size}, but the weights have room for {most}. Copy all of it "
                "again from where it came."
            )
    try:
        return TextModel(folder)
    except ImportError:
        raise
    except Exception as error:  # a tokenizer or a config.json that is damaged can raise anything
        raise ModelError(
            f"{folder} holds no language model that can be used ({type(error).__name__}: {error}). Copy all "
            "of it again from where it came."
        ) from error


def language_folder(name: str, has_weights: bool = False) -> Path:
    """Where a language model lies: a folder, one in an installed package, or one of the hub.

    Raises:
        ImportError: the package is not installed.
        ModelError: there is none of that name.
    """
    if name in PACKAGED:
        return packaged_folder(name)
    if Path(name).is_dir():
        return Path(name)
    return fetch(name, [*FILES, *([checkpoint.WEIGHTS] if has_weights else [])])


def _below(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: w for name, w in weights.items() if name.startswith(prefix)}


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Tensors by name, from safetensors, or, where there are none, from a pickle without running its code.

    Each has memory of its own, which a model may keep: none is a window into a file that may change.
    """
    pickled = folder / PICKLED_WEIGHTS
    if not pickled.is_file() or (folder / checkpoint.WEIGHTS).is_file():
        return checkpoint.read_weights(checkpoint.weights_file(folder))
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
    # One at a time: tensors may share memory, and what they leave is freed.
    return {name: weights.pop(name).clone() for name in list(weights)}


def read_preprocessor(folder: Path) -> dict[str, Any] | None:
    """What a MERT folder says about its input, if it says anything."""
    path = folder / PREPROCESSOR
    try:
        return read_json_object(path) if path.is_file() else None
    except ContentError as error:
        raise ModelError(f"{error} Fetch it again from its publisher.") from None


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
    return values.get("license", "") or PUBLISHED_LICENCES.get(str(name), "")


def fetch(name: str, files: list[str]) -> Path:
    """The folder of a published model, from the local cache or from the hub."""
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"There is no model '{name}': no such folder, and no published name (as in owner/model). "
            "'solfa models' lists what can be loaded."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=files))
        if checkpoint.WEIGHTS in files and not (folder / checkpoint.WEIGHTS).is_file():
            snapshot_download(name, allow_patterns=[PICKLED_WEIGHTS])
        return folder
    except RepositoryNotFoundError:
        raise ModelError(f"The hub has no model '{name}'. 'solfa models' lists what can be loaded.") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{name} is not in the local cache, and the hub cannot be reached ({type(error).__name__}). "
            f"Download its {' and '.join(files[:2])} on a connected machine and give their folder."
        ) from None
