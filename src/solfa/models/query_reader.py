"""QueryReader: words -> vectors, by the text side of a stored music-text model, without PyTorch.

A query needs a language model, a small map, and nothing of the audio side, which is only hashed: its
fingerprint tells whether the model is the one that made a library, and whether its bytes are as they were.
Models that stand on other parts are left to ``solfa.load``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from solfa import runs
from solfa.errors import SolfaError
from solfa.models.fingerprint import fingerprint_of_stored
from solfa.models.folders import ANSWER, LIMIT, MODEL, is_saved, model_folder
from solfa.models.sentence_reader import gelu, linear, normalized, sentence_reader

PROBE_TEXT = "calm solo piano"  # of a known answer
LATER = ("pooled", "adapter")  # settings of a tower that came later; None says what held before
CLIP_ENCODER = "frontend.mulan."  # what the names of weights begin with in the encoder that made a library


class UnreadableError(SolfaError, ValueError):
    """A model whose text side cannot be computed here; ``solfa.load`` says what is wrong, if anything is."""


class QueryReader:
    """The text side of a music-text model.

    Args:
        settings: of its text tower, as ``config.json`` has them.
        weights: of its text tower, by name.

    Raises:
        UnreadableError: it stands on parts that are not known here.
        ImportError: the package of its language model is not installed.
    """

    def __init__(self, settings: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> None:
        transformer = settings.get("transformer")
        if settings["reads"] != "sentence" or not settings["language"] or (transformer or {}).get("n_layers"):
            raise UnreadableError("The text tower reads tokens, or has layers of its own.")
        self.language_name = str(settings["language"])
        self.language = sentence_reader(self.language_name)
        self._weights = weights

    def embed_text(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        """Unit vectors of texts, as ``MuLan.embed_text`` gives them."""
        return self.project(self.language.sentences(texts))

    def project(self, sentences: Float[np.ndarray, "text wide"]) -> Float[np.ndarray, "text dim"]:
        """Unit vectors in the shared space, of those of the language model."""
        if "adapter.hidden.weight" in self._weights:
            hidden = gelu(self._map("adapter.hidden", sentences))
            sentences = sentences + self._map("adapter.change", hidden)
        elif "projection.weight" in self._weights:
            sentences = self._map("projection", sentences)
        return normalized(self._map("to_shared", sentences))

    def _map(self, name: str, x: Float[np.ndarray, "text wide"]) -> Float[np.ndarray, "text dim"]:
        return linear(x, self._weights[f"{name}.weight"].T, self._weights[f"{name}.bias"])


def read_queries(name: str | Path, weights: str) -> QueryReader:
    """The text side of the model that made a library.

    Args:
        name: what ``solfa.load`` takes.
        weights: the fingerprint of its audio side.

    Raises:
        UnreadableError: it cannot be computed here, is another model, or gives another answer than when it
            was saved.
        SolfaError, OSError: its files are missing or damaged.
        ImportError: its language model is not installed.
    """
    folder = model_folder(name)
    values = runs.read_values(folder)
    config, prefix = _config(values)
    stored = runs.below(prefix, _arrays(runs.weights_file(folder)))
    of_library = {f"{CLIP_ENCODER}{name}": array for name, array in stored.items()}
    if fingerprint_of_stored(_identity(config), of_library) != weights:
        raise UnreadableError(f"{folder} holds another model, or weights in another form.")
    reader = QueryReader(config["text"], runs.below("text.", stored))
    if is_saved(values):
        _check_answer(reader, values[ANSWER])
    return reader


def _config(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Settings of a music-text model, and what the names of its weights begin with."""
    if is_saved(values) and values[MODEL].get("kind") == "mulan":
        return values[MODEL], ""
    if "mulan" in values.get("objective", {}):
        return values["objective"]["mulan"], "mulan."
    raise UnreadableError("It is no music-text model that solfa has made.")


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """As ``solfa.config.identity``, of the settings of a music-text model as they are stored."""
    return {
        name: {inner: value for inner, value in part.items() if inner not in LATER or value is not None}
        if name in ("audio", "text")
        else part
        for name, part in config.items()
    }


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as a model computes with them: halves in float32."""
    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError) as error:  # bfloat16, which NumPy has not, among others
        raise UnreadableError(f"{path} cannot be read here: {error}") from error
    return {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in arrays.items()
    }


def _check_answer(reader: QueryReader, saved: Any) -> None:
    """Refuse a text side that does not compute what it did when the model was saved."""
    if not isinstance(saved, Mapping):
        raise UnreadableError("Its known answer is of an older kind.")
    known = np.array(saved["values"][-1], np.float32)
    off = np.linalg.norm(reader.embed_text([PROBE_TEXT])[0] - known) / np.linalg.norm(known)
    if not off <= LIMIT:
        raise UnreadableError("It does not give the answer that it gave when it was saved.")
