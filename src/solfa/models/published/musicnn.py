"""musicnn's published package, read as data -> the model with its weights and tags."""

import ast
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from solfa.features.exact import InFloat32
from solfa.models.folders import ModelError
from solfa.models.musicnn import MusiCNN, MusiCNNConfig
from solfa.models.tensorflow_checkpoint import TensorFlowCheckpointError, read_tensorflow_checkpoint

CACHE = Path("~/.cache/solfa/musicnn")
COMMAND = "pip download --no-deps musicnn==0.1.0 --dest"
INDEX, DATA, TAGS = ".index", ".data-00000-of-00001", "configuration.py"
CONTENT_HASHES = {  # SHA-256 of the data files of musicnn 0.1.0
    "MSD_musicnn": "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
    "MTT_musicnn": "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
}
TRAINING_ONLY = ("/Adam", "/Adam_1", "beta1_power", "beta2_power")

# Layers in the order in which the published program makes them, which names them by kind and number.
CONVOLUTIONS = (
    "timbral.0", "timbral.1", "temporal.0", "temporal.1", "temporal.2", "middle.0", "middle.1", "middle.2",
)  # fmt: skip
NORMS = ("norm", *(f"{name}.norm" for name in CONVOLUTIONS), "pooled_norm", "penultimate_norm")
LINEARS = ("penultimate", "to_tags")
NORM_PARTS = {
    "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip

Read = Callable[[str], bytes]


def load_musicnn(weights: str, place: Path | None = None) -> MusiCNN:
    """The published musicnn, in eval mode. Nothing is downloaded, installed or run.

    Args:
        weights: MSD_musicnn, or MTT_musicnn, which learned from MagnaTagATune's labels.
        place: the wheel of PyPI's musicnn 0.1.0 (ISC licence), or a folder into which it, or a wheel, was
            put; ``CACHE`` if None.

    Raises:
        ModelError: it is not there, or not what was published; the message names the cure.
    """
    config = MusiCNNConfig(weights=weights)
    read = _reader(_find(place or CACHE.expanduser()))
    try:
        index, data = read(f"{weights}/{INDEX}"), read(f"{weights}/{DATA}")
        if hashlib.sha256(data).hexdigest() != CONTENT_HASHES[weights]:
            raise ModelError(f"{weights} is not the one of musicnn 0.1.0. Fetch it anew: {COMMAND} FOLDER")
        values = read_tensorflow_checkpoint(index, data)
    except (KeyError, OSError, zipfile.BadZipFile, TensorFlowCheckpointError) as error:
        raise ModelError(
            f"{place or CACHE} holds no whole {weights} ({error}). Fetch it anew: {COMMAND} FOLDER"
        ) from None
    with InFloat32():
        model = MusiCNN(config, _tags(read(TAGS), weights))
    renamed = musicnn_weights(values)
    renamed |= {name: w for name, w in model.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        model.load_state_dict(renamed)
    except RuntimeError as error:
        raise ModelError(f"{weights} does not fit: {error}. Fetch it anew: {COMMAND} FOLDER") from None
    return model.eval().requires_grad_(False)


def musicnn_weights(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """TensorFlow's variables under our names and in PyTorch's order of axes.

    Raises:
        ModelError: a variable that the model does not have.
    """
    weights = {}
    for name, value in values.items():
        if not name.endswith(TRAINING_ONLY):
            ours, part = _renamed(name)
            weights[f"{ours}.{part}"] = _turned(value, ours) if part == "weight" else value
    return weights


def _renamed(name: str) -> tuple[str, str]:
    """The layer and the part of it that a variable is."""
    layer, _, part = name.partition("/")
    kind, _, number = layer.rpartition("_")
    if not number.isdigit():  # the first of a kind has no number
        kind, number = layer, "0"
    linear_parts = {"kernel": "weight", "bias": "bias"}
    tables = {
        "batch_normalization": (NORMS, NORM_PARTS),
        "conv2d": (tuple(f"{one}.conv" for one in CONVOLUTIONS), linear_parts),
        "dense": (LINEARS, linear_parts),
    }
    names, parts = tables.get(kind, ((), {}))
    if int(number) >= len(names) or part not in parts:
        raise ModelError(f"musicnn has no variable {name}. Take the weights of musicnn 0.1.0.")
    return names[int(number)], parts[part]


def _turned(value: Tensor, ours: str) -> Tensor:
    if value.ndim == 4:  # (time, frequency, in, out); the middle layers take frequencies as channels
        turned = value.permute(3, 2, 0, 1)
        return (turned[:, 0].transpose(1, 2) if ours.startswith("middle") else turned).contiguous()
    return value.T.contiguous() if value.ndim == 2 else value


def _find(place: Path) -> Path:
    """A wheel, or the folder that holds the package's files."""
    if place.is_file():
        return place
    for folder in (place / "musicnn", place):
        if any((folder / name).is_dir() for name in CONTENT_HASHES):
            return folder
    wheels = sorted(place.glob("musicnn-*.whl"))
    if not wheels:
        raise ModelError(
            f"musicnn's weights are not in {place}. Fetch them (29 MB, ISC licence) with: {COMMAND} {CACHE} "
            "or name the wheel, as in musicnn:PATH."
        )
    return wheels[-1]


def _reader(place: Path) -> Read:
    """Content of the package's files by name."""
    if place.is_dir():
        return lambda name: (place / name).read_bytes()
    content = place.read_bytes()

    def read(name: str) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            return wheel.read(f"musicnn/{name}")

    return read


def _tags(source: bytes, weights: str) -> tuple[str, ...]:
    """The list of tags in the package's configuration, which is parsed and not run."""
    wanted = f"{weights.partition('_')[0]}_LABELS"
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == wanted for t in node.targets):
            return tuple(ast.literal_eval(node.value))
    raise ModelError(f"The package names no {wanted}. Fetch it anew: {COMMAND} FOLDER")
