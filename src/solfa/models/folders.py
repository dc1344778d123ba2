"""Where the files of a model are, here or on the hub, and what stands in them."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solfa import checkpoint, runs
from solfa.errors import SolfaError
from solfa.files import sha256
from solfa.json_files import ContentError, read_json_object
from solfa.models.bundled import bundled_folder
from solfa.models.packaged import FILES, PACKAGED, packaged_folder

if TYPE_CHECKING:  # who only asks where a model lies does without PyTorch
    import torch

    import solfa.models.text

TEXT = "text"  # folder of the language model's configuration and tokenizer inside a saved model
MODEL, ANSWER, SHA256 = "model", "known_answer", "weights_sha256"  # keys of a saved config.json
# How far a known answer may be off, relative: processors differ by 1e-6, the least of the faults that must be
# caught by 8e-3.
LIMIT = 1e-4
PICKLED_WEIGHTS, PREPROCESSOR = "pytorch_model.bin", "preprocessor_config.json"
LANGUAGE_SIZES = ("hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings")


class ModelError(SolfaError, ValueError):
    """A model that cannot be loaded; the message names the cure."""


def model_folder(name: str | Path) -> Path:
    """Where a model's files are; a published one is fetched unless it is in the local cache."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    return bundled_folder(name) or fetch(str(name), ["*config.json", checkpoint.WEIGHTS, f"{TEXT}/*"])


def is_saved(values: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` was written by ``save_pretrained``."""
    return MODEL in values and ANSWER in values


def check_bytes(folder: Path, values: Mapping[str, Any]) -> None:
    """Refuse weights that are not those that were saved; folders of before hold no sum, and pass."""
    if SHA256 not in values:
        return
    path = runs.weights_file(folder)
    if (found := sha256(path)) != values[SHA256]:
        raise ModelError(
            f"{path} is damaged: its SHA-256 is {found[:12]}..., and its {checkpoint.CONFIG} says "
            f"{str(values[SHA256])[:12]}... Fetch the whole folder again."
        )


def part_folder(folder: Path, name: str, files: list[str]) -> Path:
    """Where another model is that one stands on: inside its folder, or else on the hub."""
    inside = next((folder / part for part in (name, Path(name).name) if (folder / part).is_dir()), None)
    # xlm-roberta-base has no owner in its published name; the hub keeps it under one.
    return inside or fetch(name if "/" in name else f"FacebookAI/{name}", files)


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


def language_model(folder: Path, weights: Mapping[str, "torch.Tensor"]) -> "solfa.models.text.TextModel":
    """A language model without weights, of no other size than the weights of the whole are."""
    from solfa.models.text import TextModel

    settings = runs.read_values(folder)
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


def read_weights(folder: Path) -> dict[str, "torch.Tensor"]:
    """Tensors by name, from safetensors, or, where there are none, from a pickle without running its code.

    Each has memory of its own, which a model may keep: none is a window into a file that may change.
    """
    pickled = folder / PICKLED_WEIGHTS
    if not pickled.is_file() or (folder / checkpoint.WEIGHTS).is_file():
        return checkpoint.read_weights(runs.weights_file(folder))
    import torch

    try:
        weights = torch.load(pickled, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(
            f"{pickled} is refused: it is damaged, or holds code that would run when it is opened "
            f"({type(error).__name__}). Fetch it again from its publisher, or take a {checkpoint.WEIGHTS} "
            "instead."
        ) from None
    if not isinstance(weights, dict) or not all(isinstance(w, torch.Tensor) for w in weights.values()):
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


def fetch(name: str, files: list[str]) -> Path:
    """The folder of a published model, from the local cache or from the hub."""
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"There is no model '{name}': no such folder, and no published name (as in owner/model). "
            "'solfa models' lists what can be loaded."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        folder = Path(snapshot_download(name, allow_patterns=files))
        if checkpoint.WEIGHTS in files and not (folder / checkpoint.WEIGHTS).is_file():
            snapshot_download(name, allow_patterns=[PICKLED_WEIGHTS])
        return folder
    except HFValidationError as error:
        reason = str(error).rstrip(".")
        raise ModelError(f"No model can be called '{name}': {reason}. 'solfa models' lists some.") from None
    except RepositoryNotFoundError:
        raise ModelError(f"The hub has no model '{name}'. 'solfa models' lists what can be loaded.") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{name} is not in the local cache, and the hub cannot be reached ({type(error).__name__}). "
            f"Download its {' and '.join(files[:2])} on a connected machine and give their folder."
        ) from None
