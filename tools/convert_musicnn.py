"""The weights of PyPI's musicnn 0.1.0 (ISC licence) -> safetensors, which the baselines read.

    pip download --no-deps musicnn==0.1.0 --dest FOLDER
    python tools/convert_musicnn.py FOLDER

Neither TensorFlow nor musicnn is needed; nothing of the wheel is run. Its checkpoints are of two files:

    NAME.index                  a sorted table: name of a tensor -> where it lies, in blocks
    NAME.data-00000-of-00001    the numbers, one tensor after the other

The table is LevelDB's: blocks of entries whose keys share beginnings, an index block that says where they
are, and a footer that says where the index block is. Values are protocol buffers.
"""

import argparse
import ast
import hashlib
import io
import json
import math
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from solfa.checkpoint import save_tensors
from solfa.files import whole_file
from solfa.models.published.musicnn import CACHE, COMMAND, PUBLISHED, TAGS

INDEX, DATA, CONFIGURATION = ".index", ".data-00000-of-00001", "configuration.py"
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
FOOTER_BYTES, MAGIC = 48, bytes.fromhex("57fb808b247547db")
BLOCK_TRAILER_BYTES = 5  # kind of compression, checksum
# Types by the numbers of TensorFlow's types.proto; others are not needed to read weights.
TYPES: dict[int, np.dtype] = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
ENTRY_TYPE, ENTRY_SHAPE, ENTRY_SHARD, ENTRY_OFFSET, ENTRY_SIZE, ENTRY_SLICES = 1, 2, 3, 4, 5, 7
SHAPE_DIM, DIM_SIZE = 2, 1
VARINT, FIXED_BYTES = 0, {1: 8, 5: 4}  # wire types of protocol buffers; the one left gives its length first

Message = dict[int, list[int | bytes]]

Read = Callable[[str], bytes]


class ConversionError(ValueError):
    """Weights that cannot be converted; the message names the cure."""


def convert(place: Path, folder: Path) -> list[Path]:
    """Write the weights and tags of both published models into ``folder``.

    Args:
        place: the wheel, a folder with it, or a folder with the package's files.
        folder: where NAME.safetensors go.

    Raises:
        ConversionError: the wheel is not there, or not what was published.
    """
    read, written = _reader(_find(place)), []
    for name in PUBLISHED:
        try:
            index, data = read(f"{name}/{INDEX}"), read(f"{name}/{DATA}")
        except (KeyError, OSError, zipfile.BadZipFile) as error:
            raise ConversionError(
                f"{place} holds no whole {name} ({error}). Fetch it anew: {COMMAND} FOLDER"
            ) from None
        if hashlib.sha256(data).hexdigest() != CONTENT_HASHES[name]:
            raise ConversionError(f"{name} is not the one of musicnn 0.1.0. Fetch it anew: {COMMAND} FOLDER")
        weights = musicnn_weights(read_tensorflow_checkpoint(index, data))
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / f"{name}.safetensors") as partial:
            save_tensors(partial, weights, {TAGS: json.dumps(_tags(read(CONFIGURATION), name))})
        written.append(folder / f"{name}.safetensors")
    return written


def read_tensorflow_checkpoint(index: bytes, data: bytes) -> dict[str, Tensor]:
    """All tensors of a checkpoint that has one data file.

    Args:
        index: content of the file that ends in ``.index``.
        data: content of the one that ends in ``.data-00000-of-00001``.

    Raises:
        ConversionError: a file that is something else, damaged, or uses what is not read here.

    Source:
        Layouts as documented: LevelDB's doc/table_format.md, TensorFlow's tensor_bundle.proto.
    """
    try:
        return {name.decode(): _tensor(_message(entry), data) for name, entry in _entries(index) if name}
    except (IndexError, struct.error, UnicodeDecodeError, KeyError) as error:
        raise ConversionError(
            f"The checkpoint is damaged ({type(error).__name__}). Fetch it again."
        ) from None


def _tensor(entry: Message, data: bytes) -> Tensor:
    number = _number(entry, ENTRY_TYPE)
    if number not in TYPES or _number(entry, ENTRY_SHARD) or ENTRY_SLICES in entry:
        raise ConversionError(
            f"A tensor of type {number} in shard {_number(entry, ENTRY_SHARD)} cannot be read here. "
            "Save the weights anew, as float32 in one data file."
        )
    shape = [
        _number(_message(dim), DIM_SIZE)
        for part in entry.get(ENTRY_SHAPE, [])
        for dim in _message(_bytes(part)).get(SHAPE_DIM, [])
    ]
    start, n_bytes = _number(entry, ENTRY_OFFSET), _number(entry, ENTRY_SIZE)
    values = data[start : start + n_bytes]
    if len(values) != n_bytes or n_bytes != math.prod(shape) * TYPES[number].itemsize:
        raise ConversionError("The data file ends early or is of another index. Fetch both again.")
    return torch.from_numpy(np.frombuffer(values, TYPES[number]).reshape(shape).copy())


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a sorted table, in order."""
    if len(table) < FOOTER_BYTES or table[-len(MAGIC) :] != MAGIC:
        raise ConversionError("This is no index of TensorFlow. Give the file that ends in .index.")
    footer = table[-FOOTER_BYTES:]
    position = 0
    for _ in range(2):  # the place of a block of no use here
        _, position = _varint(footer, position)
    for _, place in _block(table, footer[position:]):
        yield from _block(table, place)


def _block(table: bytes, place: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Entries of the block of which ``place`` says offset and size."""
    offset, position = _varint(place, 0)
    size, _ = _varint(place, position)
    block = table[offset : offset + size + BLOCK_TRAILER_BYTES]
    if len(block) != size + BLOCK_TRAILER_BYTES or block[size]:
        raise ConversionError("The index is damaged or compressed. Fetch it again.")
    (n_restarts,) = struct.unpack_from("<I", block, size - 4)
    end, position, key = size - 4 * (n_restarts + 1), 0, b""
    while position < end:
        n_shared, position = _varint(block, position)
        n_own, position = _varint(block, position)
        n_value, position = _varint(block, position)
        key = key[:n_shared] + block[position : position + n_own]
        position += n_own
        yield key, block[position : position + n_value]
        position += n_value


def _message(encoded: int | bytes) -> Message:
    """Fields of a protocol buffer by number; a field may come several times."""
    encoded = _bytes(encoded)
    fields: Message = {}
    position = 0
    while position < len(encoded):
        head, position = _varint(encoded, position)
        field, kind = head >> 3, head & 7
        if kind in FIXED_BYTES:
            n_bytes = FIXED_BYTES[kind]
        else:
            n_bytes, position = _varint(encoded, position)  # or the number itself
        if kind == VARINT:
            fields.setdefault(field, []).append(n_bytes)
        else:
            fields.setdefault(field, []).append(encoded[position : position + n_bytes])
            position += n_bytes
    return fields


def _varint(encoded: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = encoded[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _number(fields: Message, field: int) -> int:
    value = fields.get(field, [0])[-1]
    assert isinstance(value, int)
    return value


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def musicnn_weights(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """TensorFlow's variables under our names and in PyTorch's order of axes.

    Raises:
        ConversionError: a variable that the model does not have.
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
        raise ConversionError(f"musicnn has no variable {name}. Take the weights of musicnn 0.1.0.")
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
        raise ConversionError(
            f"musicnn's wheel is not in {place}. Fetch it (29 MB, ISC licence) with: {COMMAND} {place}"
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
    raise ConversionError(f"The package names no {wanted}. Fetch it anew: {COMMAND} FOLDER")


def main() -> None:
    """Convert, and name the files written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "place", type=Path, nargs="?", default=CACHE.expanduser(), help="the wheel, or its folder"
    )
    parser.add_argument("--out", type=Path, help=f"the folder to fill; {CACHE} if not given")
    given = parser.parse_args()
    try:
        for path in convert(given.place, given.out or CACHE.expanduser()):
            sys.stdout.write(f"{path}\n")
    except (ConversionError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
