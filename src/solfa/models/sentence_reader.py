"""SentenceReader: sentences -> unit vectors, by NumPy, of a language model that a package carries.

It computes what ``TextModel.sentences`` computes by PyTorch, which takes seconds to start; a test holds the
two against each other.
"""

import importlib
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from safetensors import safe_open

from solfa.checkpoint import WEIGHTS
from solfa.errors import ArgumentError
from solfa.json_files import read_json_object
from solfa.models.packaged import MULTILINGUAL, MULTILINGUAL_DIM, PACKAGED, SETTINGS, packaged_folder

log = logging.getLogger(__name__)

TOKENIZER, TOKENIZER_SETTINGS = "tokenizer.json", "tokenizer_config.json"
MOST_REMEMBERED = 1_000  # texts
CUT = "A text of %d tokens is cut to the %d that the language model can read: '%.60s ...'"
# The error function by a polynomial of 1 / (1 + RATE x), 1.5e-7 off at most: Abramowitz, Stegun, 7.1.26.
RATE = 0.3275911
POWERS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class SentenceReader:
    """A BERT that reads sentences: the mean over the states of their tokens.

    Args:
        folder: with its settings, its tokenizer and its weights.

    Raises:
        ValueError: it is of another kind.
        ImportError: the tokenizers library is not installed.

    Source:
        BERT, arXiv:1810.04805; Sentence-BERT, arXiv:1908.10084.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.settings = read_json_object(folder / SETTINGS)
        _check_kind(self.settings, folder)
        self.tokenizer: Any = Tokenizer.from_file(str(folder / TOKENIZER))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        longest = read_json_object(folder / TOKENIZER_SETTINGS).get("model_max_length", sys.maxsize)
        self.most_tokens = int(min(longest, self.settings["max_position_embeddings"]))
        self._weights = _Weights(folder / WEIGHTS)
        self._read: dict[
            str, Float[np.ndarray, " dim"]
        ] = {}  # a query asks for the same texts more than once

    @property
    def n_entries(self) -> int:
        """Of the vocabulary."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    def n_pieces(self, word: str) -> int:
        """Pieces of the vocabulary that a word is read in; one if it is an entry."""
        return len(self.tokenizer.encode(word, add_special_tokens=False).ids)

    def n_tokens(self, text: str) -> int:
        """Of a whole text, those at its ends included."""
        return len(self.tokenizer.encode(text).ids)

    def sentences(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        """A unit vector of each text. A longer text than the model can read is cut, with a warning."""
        known = {text: self._read[text] for text in texts if text in self._read}
        if fresh := [text for text in dict.fromkeys(texts) if text not in known]:
            known |= dict(zip(fresh, self._vectors(fresh), strict=True))
            self._read = known if len(self._read) >= MOST_REMEMBERED else self._read | known
        return np.stack([known[text] for text in texts]) if texts else self._vectors([])

    def _vectors(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        rows = [self._tokens(text) for text in texts]
        vectors = np.zeros((len(rows), self.settings["hidden_size"]), np.float32)
        for length in {len(row) for row in rows}:  # so that none is filled up
            alike = [place for place, row in enumerate(rows) if len(row) == length]
            vectors[alike] = self._states(np.array([rows[place] for place in alike])).mean(1)
        return normalized(vectors)

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text).ids
        if len(ids) <= self.most_tokens:
            return ids
        log.warning(CUT, len(ids), self.most_tokens, text)
        return [*ids[: self.most_tokens - 1], ids[-1]]  # the last one ends a text

    def _states(self, ids: Int[np.ndarray, "text token"]) -> Float[np.ndarray, "text token dim"]:
        """Last hidden states of texts of one length."""
        name, length = "embeddings", ids.shape[1]
        states = self._weights.rows(f"{name}.word_embeddings.weight", ids)
        states = states + self._weights[f"{name}.position_embeddings.weight"][:length]
        states = states + self._weights[f"{name}.token_type_embeddings.weight"][0]
        states = self._norm(f"{name}.LayerNorm", states)
        for number in range(self.settings["num_hidden_layers"]):
            states = self._layer(f"encoder.layer.{number}", states)
        return states

    def _layer(
        self, name: str, states: Float[np.ndarray, "text token dim"]
    ) -> Float[np.ndarray, "text token dim"]:
        n_heads = self.settings["num_attention_heads"]
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", states)
            .reshape(*states.shape[:2], n_heads, -1)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        attended = softmax(query @ key.swapaxes(2, 3) / np.float32(query.shape[-1] ** 0.5)) @ value
        attended = attended.transpose(0, 2, 1, 3).reshape(states.shape)
        attended = self._linear(f"{name}.attention.output.dense", attended)
        states = self._norm(f"{name}.attention.output.LayerNorm", states + attended)
        hidden = gelu(self._linear(f"{name}.intermediate.dense", states))
        return self._norm(f"{name}.output.LayerNorm", states + self._linear(f"{name}.output.dense", hidden))

    def _linear(self, name: str, x: Float[np.ndarray, "... wide"]) -> Float[np.ndarray, "... dim"]:
        return linear(x, self._weights.map(f"{name}.weight"), self._weights[f"{name}.bias"])

    def _norm(self, name: str, x: Float[np.ndarray, "... dim"]) -> Float[np.ndarray, "... dim"]:
        x = x - x.mean(-1, keepdims=True)
        scale = np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(self.settings["layer_norm_eps"]))
        return x / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


class MultilingualReader:
    """Sentences of fifteen languages; see ``MultilingualSentences``, whose vectors it gives.

    Raises:
        ImportError: its package is not installed.
    """

    n_entries = most_tokens = sys.maxsize  # as many words, and as long a text, as one likes

    def __init__(self) -> None:
        packaged_folder(MULTILINGUAL)
        self.encoder: Any = importlib.import_module(PACKAGED[MULTILINGUAL][0]).USE(threads=1)

    def n_pieces(self, word: str) -> int:
        """A word is one."""
        return 1

    def n_tokens(self, text: str) -> int:
        """A text is one."""
        return 1

    def sentences(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        """A unit vector of each text."""
        return np.asarray(self.encoder.encode(list(texts)), np.float32).reshape(-1, MULTILINGUAL_DIM)


def sentence_reader(name: str) -> SentenceReader | MultilingualReader:
    """The reader of the language model that an installed package carries.

    Raises:
        ImportError: the package, or what reads its tokenizer, is not installed.
        ValueError: none of that name is known, or none that can be read so.
    """
    return MultilingualReader() if name == MULTILINGUAL else SentenceReader(packaged_folder(name))


def linear(
    x: Float[np.ndarray, "... wide"], weight: Float[np.ndarray, "wide dim"], bias: Float[np.ndarray, " dim"]
) -> Float[np.ndarray, "... dim"]:
    """A linear map and its bias."""
    return (x.reshape(-1, len(weight)) @ weight + bias).reshape(*x.shape[:-1], len(bias))


def normalized(vectors: Float[np.ndarray, "text dim"]) -> Float[np.ndarray, "text dim"]:
    """Vectors of length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))


def softmax(x: Float[np.ndarray, "... key"]) -> Float[np.ndarray, "... key"]:
    """Shares that add up to one."""
    shares = np.exp(x - x.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def gelu(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Each number times the share of a normal distribution that lies below it."""
    size = np.abs(x) * np.float32(0.5**0.5)
    inverse = 1 / (1 + np.float32(RATE) * size)
    above = np.zeros_like(inverse)
    for factor in POWERS:
        above = (above + np.float32(factor)) * inverse
    above *= np.exp(-np.square(size)) / 2
    return x * np.where(x < 0, above, 1 - above)


class _Weights:
    """Tensors of a safetensors file, read when they are asked for; of a table, its rows that are asked for.

    The table of words is half of a language model, and a query needs ten rows of it.
    """

    def __init__(self, path: Path) -> None:
        self._file = safe_open(path, "np")
        self._known: dict[str, np.ndarray] = {}
        self._maps: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._known:
            self._known[name] = self._file.get_tensor(name)
        return self._known[name]

    def map(self, name: str) -> Float[np.ndarray, "wide dim"]:
        """A matrix turned around: few rows times many are twice as fast if both lie in order."""
        if name not in self._maps:
            self._maps[name] = np.ascontiguousarray(self._file.get_tensor(name).T)
        return self._maps[name]

    def rows(self, name: str, numbers: Int[np.ndarray, "text token"]) -> Float[np.ndarray, "text token dim"]:
        """Rows of a table by their numbers."""
        table = self._file.get_slice(name)
        wanted, places = np.unique(numbers, return_inverse=True)
        rows = np.concatenate([table[number : number + 1] for number in wanted.tolist()])
        return rows[places.reshape(-1)].reshape(*numbers.shape, -1)


def _check_kind(settings: Mapping[str, Any], folder: Path) -> None:
    known = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for name, value in known.items():
        if settings.get(name, value) != value:
            raise ArgumentError(f"{folder} is no BERT that can be read here: its {name} is no {value}.")
