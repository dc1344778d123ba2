"""WholeModel: a music-text model of PyTorch as what understands words, for those of which that is all."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from solfa.models import MuLan, TextModel


class WholeModel:
    """The text side of a loaded model."""

    def __init__(self, mulan: MuLan) -> None:
        self.mulan = mulan
        self.language_name = mulan.text.config.language
        self.language = _Language(mulan.text.language)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        """Unit vectors of texts."""
        return self.mulan.embed_text(texts).cpu().numpy()


class _Language:
    """A language model whose vectors are arrays."""

    def __init__(self, model: TextModel) -> None:
        self.model = model
        self.n_pieces, self.n_tokens = model.n_pieces, model.n_tokens

    @property
    def n_entries(self) -> int:
        return self.model.n_entries

    @property
    def most_tokens(self) -> int:
        return self.model.most_tokens

    @torch.no_grad()
    def sentences(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        return self.model.sentences(texts).cpu().numpy()
