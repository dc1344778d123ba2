"""Writes TensorFlow checkpoints for the tests: what the reader must be able to read."""

import struct

import numpy as np

RESTART_EVERY = 4  # entries whose keys share their beginnings


def write_checkpoint(
    variables: dict[str, np.ndarray], entries_per_block: int = 8, kind: int = 1
) -> tuple[bytes, bytes]:
    """Content of the index and of the data file, for float32 variables."""
    data, entries = b"", [(b"", _field(1, 1))]  # the first entry says that there is one data file
    for name, value in sorted(variables.items()):
        content = value.astype("<f4").tobytes()
        shape = b"".join(_field(2, _field(1, size)) for size in value.shape)
        numbers = _field(1, kind) + _field(2, shape) + _field(4, len(data)) + _field(5, len(content))
        entries.append((name.encode(), numbers + _varint(6 << 3 | 5) + bytes(4)))
        data += content
    table, places = b"", []
    for start in range(0, len(entries), entries_per_block):
        some = entries[start : start + entries_per_block]
        block = _block(some)
        places.append((some[-1][0] + b"~", _varint(len(table)) + _varint(len(block))))
        table += block + bytes(5)
    index = _block(places)
    footer = _varint(0) + _varint(0) + _varint(len(table)) + _varint(len(index))
    magic = struct.pack("<Q", 0xDB4775248B80FB57)
    return table + index + bytes(5) + footer.ljust(40, b"\0") + magic, data


def _block(entries: list[tuple[bytes, bytes]]) -> bytes:
    block, restarts, before = b"", [], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % RESTART_EVERY == 0:
            restarts.append(len(block))
        else:
            while shared < min(len(before), len(key)) and before[shared] == key[shared]:
                shared += 1
        own = key[shared:]
        block += _varint(shared) + _varint(len(own)) + _varint(len(value)) + own + value
        before = key
    return block + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = b""
    while value >= 0x80:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])
