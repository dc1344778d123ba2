"""TextModel: texts -> states of their tokens, by a language model of the transformers library."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.errors import ArgumentError
from solfa.models.packaged import INSTALL, SETTINGS, VOCABULARIES

log = logging.getLogger(__name__)

# Of one thread at a time: a tokenizer is told how to cut before each call, and forgets it in the next.
TOKENIZING = threading.Lock()

TEXTS_AT_ONCE, TOKENS_MORE = 8, 8  # the shapes in which texts are read that must not depend on each other


class TextModel(nn.Module):
    """A language model and its tokenizer, read from a folder.

    Args:
        folder: where they lie.
        has_weights: take the weights in the folder too; random ones, until others are loaded, if not.

    Raises:
        ImportError: the extra ``text`` is not installed.
        ValueError: the folder holds no tokenizer or no configuration.
    """

    def __init__(self, folder: Path, has_weights: bool = False) -> None:
        super().__init__()
        self.folder = folder
        self.tokenizer, self.model = _read(folder, has_weights)
        self.settings: Any = self.model.config

    @property
    def dim(self) -> int:
        """Width of the states."""
        return int(self.settings.hidden_size)

    @property
    def most_tokens(self) -> int:
        """Length of the longest text, in tokens, that the model has positions for."""
        # RoBERTa's positions begin after that of padding.
        unused = self.settings.pad_token_id + 1 if "roberta" in self.settings.model_type else 0
        n_positions: int = self.settings.max_position_embeddings - unused
        return min(n_positions, int(self.tokenizer.model_max_length))

    @property
    def n_entries(self) -> int:
        """Of the vocabulary."""
        return len(self.tokenizer)

    def n_pieces(self, word: str) -> int:
        """Pieces of the vocabulary that a word is read in; one if it is an entry."""
        with TOKENIZING:
            return len(self.tokenizer.tokenize(word))

    def n_tokens(self, text: str) -> int:
        """Of a whole text, those at its ends included."""
        with TOKENIZING:
            return len(self.tokenizer.tokenize(text)) + self.tokenizer.num_special_tokens_to_add()

    def forward(
        self, texts: Sequence[str]
    ) -> tuple[Float[Tensor, "text token dim"], Bool[Tensor, "text token"]]:
        """Last hidden states, and True where there is no token. A longer text is cut, with a warning."""
        rows = self._tokens(texts)
        return self._read(rows, max(map(len, rows)))

    @torch.no_grad()
    def each(self, texts: Sequence[str]) -> list[Float[Tensor, "token dim"]]:
        """Last hidden states of each text, to the bit the same whatever other texts are read with it.

        Products of one shape add up the same in each row, whatever the other rows hold, and those of another
        shape need not: so texts are read eight at a time, filled up to a length of whole eights.
        """
        rows = self._tokens(texts)
        lengths = [min(-(-len(row) // TOKENS_MORE) * TOKENS_MORE, self.most_tokens) for row in rows]
        states: dict[int, Tensor] = {}
        for length in dict.fromkeys(lengths):
            alike = [n for n, its_length in enumerate(lengths) if its_length == length]
            for start in range(0, len(alike), TEXTS_AT_ONCE):
                some = alike[start : start + TEXTS_AT_ONCE]
                filled = some + some[:1] * (TEXTS_AT_ONCE - len(some))
                read, _ = self._read([rows[n] for n in filled], length)
                states |= {n: read[place, : len(rows[n])] for place, n in enumerate(some)}
        return [states[n] for n in range(len(rows))]

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, as many as the model can read."""
        with TOKENIZING:
            rows = self.tokenizer(list(texts))["input_ids"]
        too_long = [n for n, row in enumerate(rows) if len(row) > self.most_tokens]
        for n in too_long:
            log.warning(
                "A text of %d tokens is cut to the %d that the language model can read: '%.60s ...'",
                len(rows[n]), self.most_tokens, texts[n],
            )  # fmt: skip
            with TOKENIZING:
                cut = self.tokenizer([texts[n]], truncation=True, max_length=self.most_tokens)
            [rows[n]] = cut["input_ids"]
        return rows

    def _read(
        self, rows: Sequence[Sequence[int]], length: int
    ) -> tuple[Float[Tensor, "text token dim"], Bool[Tensor, "text token"]]:
        """Last hidden states of tokens, filled up to ``length``."""
        ids = torch.full((len(rows), length), int(self.tokenizer.pad_token_id))
        for place, row in zip(ids, rows, strict=True):
            place[: len(row)] = torch.tensor(row)
        n_tokens = torch.tensor([len(row) for row in rows])
        padding = torch.arange(length)[None] >= n_tokens[:, None]
        device = next(self.model.parameters()).device
        ids, padding = ids.to(device), padding.to(device)
        return self.read_tokens(ids, padding), padding

    def read_tokens(
        self, ids: Int[Tensor, "text token"], padding: Bool[Tensor, "text token"]
    ) -> Float[Tensor, "text token dim"]:
        """Last hidden states of tokens."""
        states: Tensor = self.model(input_ids=ids, attention_mask=(~padding).long()).last_hidden_state
        return states

    def sentences(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """A unit vector of each text: the mean over its tokens, as sentence models of this kind are made.

        Source:
            Sentence-BERT, arXiv:1908.10084.
        """
        return sentence_vectors(*self(texts))


def sentence_vectors(
    states: Float[Tensor, "text token dim"], padding: Bool[Tensor, "text token"]
) -> Float[Tensor, "text dim"]:
    """Unit vectors of texts: the mean over what is no padding."""
    kept = (~padding)[..., None].to(states.dtype)
    return F.normalize((states * kept).sum(1) / kept.sum(1), dim=-1)


def _read(folder: Path, has_weights: bool) -> tuple[Any, nn.Module]:
    try:
        from transformers import AutoConfig, AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise ImportError(f"Text needs the transformers library. Install it with: {INSTALL}") from None
    names = {path.name for path in folder.iterdir()}
    if SETTINGS not in names or names.isdisjoint(VOCABULARIES):
        raise ArgumentError(
            f"{folder} holds no language model: it needs {SETTINGS} and one of {', '.join(VOCABULARIES)}. "
            "Fetch them again from where they came."
        )
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if has_weights:
        disable_progress_bar()  # of its own, for a second of work
        return tokenizer, AutoModel.from_pretrained(folder, local_files_only=True).float().eval()
    return tokenizer, AutoModel.from_config(config).float().eval()
