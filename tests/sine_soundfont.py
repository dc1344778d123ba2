"""A soundfont of one sine, so that rendering can be tested without a download."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

RATE, PERIOD = 44_000, 100  # samples: 440 Hz
N_PERIODS = 20
DRUM_BANK = 128


def write_sine_soundfont(path: Path, programs: Sequence[int] = (0,), *, has_drums: bool = False) -> Path:
    """All of ``programs`` are the same sine, which begins at once and ends at once; so is a kit of drums."""
    time = np.arange(N_PERIODS * PERIOD)
    sine = (20_000 * np.sin(2 * np.pi * time / PERIOD)).astype("<i2").tobytes() + bytes(2 * 46)
    content = _list(b"INFO", _chunk(b"ifil", struct.pack("<HH", 2, 1)) + _chunk(b"INAM", b"sine\0\0"))
    content += _list(b"sdta", _chunk(b"smpl", sine)) + _list(
        b"pdta", _articulation([*((p, 0) for p in programs), *([(0, DRUM_BANK)] if has_drums else [])])
    )
    path.write_bytes(_chunk(b"RIFF", b"sfbk" + content))
    return path


def _articulation(programs: Sequence[tuple[int, int]]) -> bytes:
    n = len(programs)
    presets = [
        struct.pack("<20sHHHIII", b"sine", program, bank, k, 0, 0, 0)
        for k, (program, bank) in enumerate(programs)
    ]
    presets.append(struct.pack("<20sHHHIII", b"EOP", 0, 0, n, 0, 0, 0))
    instruments = struct.pack("<20sH", b"sine", 0) + struct.pack("<20sH", b"EOI", 1)
    sample = struct.pack(
        "<20sIIIIIBbHH", b"sine", 0, N_PERIODS * PERIOD, PERIOD, (N_PERIODS - 1) * PERIOD, RATE, 69, 0, 0, 1
    )
    end = struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    instrument_of_preset, sample_modes, sample_number = 41, 54, 53  # generators
    return b"".join(
        (
            _chunk(b"phdr", b"".join(presets)),
            _chunk(b"pbag", b"".join(struct.pack("<HH", k, 0) for k in range(n + 1))),
            _chunk(b"pmod", bytes(10)),
            _chunk(b"pgen", struct.pack("<HH", instrument_of_preset, 0) * n + bytes(4)),
            _chunk(b"inst", instruments),
            _chunk(b"ibag", struct.pack("<HHHH", 0, 0, 2, 0)),
            _chunk(b"imod", bytes(10)),
            _chunk(b"igen", struct.pack("<HHHH", sample_modes, 1, sample_number, 0) + bytes(4)),
            _chunk(b"shdr", sample + end),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def _list(name: bytes, content: bytes) -> bytes:
    return _chunk(b"LIST", name + content)
