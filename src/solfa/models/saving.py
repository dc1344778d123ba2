"""Shareable: a model that writes itself into a folder or to the hub, with its card and a known answer.

FOLDER/config.json          what it is, its licence, the SHA-256 of its weights, its known answer
FOLDER/model.safetensors    its weights, under our names
FOLDER/README.md            its card
FOLDER/text/                with a music-text model: configuration and tokenizer of its language model
"""

import copy
import importlib.metadata
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from solfa import checkpoint, runs
from solfa.config import Config, to_dict
from solfa.errors import ArgumentError
from solfa.files import PARTIAL, sha256, whole_folder, write_text
from solfa.json_files import write_json
from solfa.models.checks import broken_weights
from solfa.models.folders import ANSWER, MODEL, SHA256, is_saved
from solfa.models.known_answer import known_answer

CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class ModelCard(Config):
    """What nobody can read from the weights. What is left empty is printed as not stated."""

    title: str = ""
    recipe: str = ""  # and commit
    made: str = ""  # on what hardware, in what time
    data: str = ""  # that it learned from, with hours and licences
    held_out: str = ""  # what it never heard, by which it was judged
    unfair_on: str = ""  # evaluations whose music it may have heard
    scores: str = ""  # with seeds
    layers: str = ""  # which layer serves which task
    limits: str = ""  # what it cannot do


class Shareable(nn.Module):
    """A model with a configuration and a licence, to be written and shared as a whole."""

    config: Config
    license: str
    taught_by: str = ""  # the encoder, or the stored teachers, that it has learned from; empty if none

    @property
    def sample_rate(self) -> int:
        """Of the waveform that the model expects, in Hz."""
        raise NotImplementedError

    def describe(self) -> dict[str, str]:
        """Rows of the card's table: what it is -> its value."""
        raise NotImplementedError

    def answer(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "row value"]:
        """Some values that depend on all weights, to compare with what the model gave when it was saved."""
        raise NotImplementedError

    def save_files(self, folder: Path) -> None:
        """Write what the model needs besides its weights, if anything."""

    def save_pretrained(
        self, folder: str | Path, card: ModelCard | None = None, *, is_half: bool = False
    ) -> Path:
        """Write the model into a folder that ``solfa.load`` reads; no other file is needed.

        Args:
            folder: new, empty, or with a saved model, which is replaced.
            card: what is said of the model.
            is_half: write weights in half precision, and the answer that the model gives with these.

        Raises:
            FileExistsError: there is something of that name that is no saved model.
            ValueError: a weight is too large for half precision.
            WriteError: the disk is full or does not take the files; the folder is as it was.
        """
        target = Path(folder)
        if not is_new(target) and not _is_ours(target):
            raise FileExistsError(f"{target} is not empty and holds no saved model. Give a new folder.")
        model = self._rounded() if is_half else self
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        if is_half:
            weights = {name: _halved(tensor) for name, tensor in weights.items()}
        values = {
            MODEL: to_dict(self.config),
            "license": self.license,
            "solfa": importlib.metadata.version("solfa"),
            ANSWER: known_answer(model, model.sample_rate),
        }
        values |= {"taught_by": self.taught_by} if self.taught_by else {}
        with whole_folder(target) as partial:
            checkpoint.save_tensors(partial / checkpoint.WEIGHTS, weights, {"format": "pt"})
            self.save_files(partial)
            write_text(partial / CARD, card_text(self, target.name, card or ModelCard()))
            values[SHA256] = sha256(partial / checkpoint.WEIGHTS)
            write_json(partial / checkpoint.CONFIG, values, indent=1)
        return target

    def _rounded(self) -> "Shareable":
        """A copy whose weights are as half precision keeps them."""
        model = copy.deepcopy(self)
        weights = {name: _halved(tensor).to(tensor.dtype) for name, tensor in self.state_dict().items()}
        model.load_state_dict(weights)
        if broken := broken_weights(model):
            raise ArgumentError(f"Too large for half precision: {', '.join(broken[:3])}. Save it without.")
        return model

    def push_to_hub(
        self, name: str, card: ModelCard | None = None, *, private: bool = False, token: str | None = None
    ) -> str:
        """Publish the model as ``owner/model``; returns its address. Needs a token of the hub."""
        from huggingface_hub import HfApi

        with tempfile.TemporaryDirectory() as folder:
            saved = self.save_pretrained(Path(folder, name.split("/")[-1]), card)
            api = HfApi(token=token)
            address = api.create_repo(name, private=private, exist_ok=True)
            api.upload_folder(repo_id=name, folder_path=saved, commit_message="Published with solfa")
        return str(address)


def copy_files(names: tuple[str, ...], source: Path, target: Path) -> None:
    """Copy those files that are there into a folder, which is made."""
    target.mkdir(exist_ok=True)
    for name in names:
        if (source / name).is_file() and source.resolve() != target.resolve():
            shutil.copyfile(source / name, target / name)


def _halved(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def is_new(folder: Path) -> bool:
    """Whether nothing is there, but for what a save that was killed has left."""
    return not folder.exists() or all(path.name.endswith(PARTIAL) for path in folder.iterdir())


def _is_ours(folder: Path) -> bool:
    try:
        return is_saved(runs.read_values(folder))
    except checkpoint.CheckpointError:
        return False


def card_text(model: Shareable, name: str, card: ModelCard) -> str:
    """The README.md of a model that lies in a folder called ``name``."""
    from huggingface_hub import ModelCardData  # takes a while to import, and only saving needs it

    head = ModelCardData(
        license=model.license.lower() or None,
        library_name="solfa",
        tags=["music", "audio-feature-extraction"],
    )
    rows = {
        **model.describe(),
        **({"taught by": model.taught_by} if model.taught_by else {}),
        "licence of the weights": model.license or "not stated",
        "recipe": card.recipe or "not stated",
        "hardware and time": card.made or "not stated",
        "data it learned from": card.data or "not stated",
        "held out": card.held_out or "not stated",
        "evaluations that would be unfair": card.unfair_on or "not stated",
        "scores": card.scores or "not stated",
        "which layer for which task": card.layers or "not stated",
        "limits": card.limits or "not stated",
    }
    table = "\n".join(f"| {what} | {value} |" for what, value in rows.items())
    return (
        f"---\n{head.to_yaml()}\n---"
        + f"\n\n# {card.title or name}\n\n| | |\n|---|---|\n{table}\n\n## Use\n\n"
        + f'```python\nimport solfa\n\nmodel = solfa.load("{name}")  # this folder, or owner/{name}\n```\n'
    )
