"""TensorFlow's checkpoint files -> tensors by name, without TensorFlow.

NAME.index                  a sorted table: name of a tensor -> where it lies, in blocks
NAME.data-00000-of-00001    the numbers, one tensor after the other

The table is LevelDB's: blocks of entries whose keys share beginnings, an index block that says where they
are, and a footer that says where the index block is. Values are protocol buffers.
"""

import math
import struct
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from solfa.errors import SolfaError

FOOTER_BYTES, MAGIC = 48, bytes.fromhex("57fb808b247547db")
BLOCK_TRAILER_BYTES = 5  # kind of compression, checksum
# Types by the numbers of TensorFlow's types.proto; others are not needed to read weights.
TYPES: dict[int, np.dtype] = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
ENTRY_TYPE, ENTRY_SHAPE, ENTRY_SHARD, ENTRY_OFFSET, ENTRY_SIZE, ENTRY_SLICES = 1, 2, 3, 4, 5, 7
SHAPE_DIM, DIM_SIZE = 2, 1
VARINT, FIXED_BYTES = 0, {1: 8, 5: 4}  # wire types of protocol buffers; the one left gives its length first

Message = dict[int, list[int | bytes]]


class TensorFlowCheckpointError(SolfaError, ValueError):
    """A checkpoint that cannot be read; the message names the cure."""


def read_tensorflow_checkpoint(index: bytes, data: bytes) -> dict[str, Tensor]:
    """All tensors of a checkpoint that has one data file.

    Args:
        index: content of the file that ends in ``.index``.
        data: content of the one that ends in ``.data-00000-of-00001``.

    Raises:
        TensorFlowCheckpointError: a file that is something else, damaged, or uses what is not read here.

    Source:
        Layouts as documented: LevelDB's doc/table_format.md, TensorFlow's tensor_bundle.proto.
    """
    try:
        return {name.decode(): _tensor(_message(entry), data) for name, entry in _entries(index) if name}
    except (IndexError, struct.error, UnicodeDecodeError, KeyError) as error:
        raise TensorFlowCheckpointError(
            f"The checkpoint is damaged ({type(error).__name__}). Fetch it again."
        ) from None


def _tensor(entry: Message, data: bytes) -> Tensor:
    number = _number(entry, ENTRY_TYPE)
    if number not in TYPES or _number(entry, ENTRY_SHARD) or ENTRY_SLICES in entry:
        raise TensorFlowCheckpointError(
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
        raise TensorFlowCheckpointError("The data file ends early or is of another index. Fetch both again.")
    return torch.from_numpy(np.frombuffer(values, TYPES[number]).reshape(shape).copy())


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a sorted table, in order."""
    if len(table) < FOOTER_BYTES or table[-len(MAGIC) :] != MAGIC:
        raise TensorFlowCheckpointError("This is no index of TensorFlow. Give the file that ends in .index.")
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
        raise TensorFlowCheckpointError("The index is damaged or compressed. Fetch it again.")
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
