"""musicnn's published weights, converted once by ``tools/convert_musicnn.py`` -> the model and its tags."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from solfa import checkpoint
from solfa.features.exact import InFloat32
from solfa.models.folders import ModelError
from solfa.models.musicnn import MusiCNN, MusiCNNConfig

CACHE = Path("~/.cache/solfa/musicnn")
COMMAND = "pip download --no-deps musicnn==0.1.0 --dest"
PUBLISHED = ("MSD_musicnn", "MTT_musicnn")
TAGS = "tags"  # in the metadata of a converted file: their names, as JSON


def load_musicnn(weights: str, place: Path | None = None) -> MusiCNN:
    """The published musicnn, in eval mode. Nothing is downloaded, installed or run.

    Args:
        weights: MSD_musicnn, or MTT_musicnn, which learned from MagnaTagATune's labels.
        place: the folder of ``tools/convert_musicnn.py``; ``CACHE`` if None.

    Raises:
        ModelError: it is not there, or not what was published; the message names the cure.
    """
    path = (place or CACHE.expanduser()) / f"{weights}.safetensors"
    if not path.is_file():
        raise ModelError(f"musicnn's weights are not at {path}. {_cure()}")
    try:
        found = checkpoint.read_weights(path)
        with safe_open(path, "pt") as file:
            tags = tuple(json.loads((file.metadata() or {})[TAGS]))
    except (ValueError, KeyError, SafetensorError) as error:
        raise ModelError(f"{path} is damaged ({error}). {_cure()}") from None
    with InFloat32():
        model = MusiCNN(MusiCNNConfig(weights=weights), tags)
    found |= {name: w for name, w in model.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        model.load_state_dict(found)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit: {error}. {_cure()}") from None
    return model.eval().requires_grad_(False)


def _cure() -> str:
    return (
        f"Fetch them (29 MB, ISC licence) with: {COMMAND} {CACHE} and convert them once with: python "
        "tools/convert_musicnn.py of solfa's source; or name a folder with them, as in musicnn:FOLDER."
    )
