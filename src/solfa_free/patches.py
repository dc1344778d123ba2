"""Patches of the Gravis Ultrasound -> a soundfont: one file for each instrument becomes one file for all.

Source:
    Layout of .pat files: the Gravis Ultrasound's patch format 1.10, as the files of freepats state it. Layout
    of the result: SoundFont technical specification 2.01, chapter 7.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from solfa_free.score import ScoreError

MAGIC = b"GF1PATCH110\0"
SAMPLES_AT, N_SAMPLES_AT = 239, 198  # bytes: of the first sample's header, and of their number
HEADER = struct.Struct("<7sBIIIHIIIhB6B6B3B3BBhH36x")
SIXTEEN_BIT, UNSIGNED, LOOPS, PING_PONG, SUSTAINS = 1, 2, 4, 8, 32  # bits of a sample's modes
SILENCE_SAMPLES = 46  # between two samples of a soundfont
DRUM_BANK, DRUM_RELEASE_SECONDS = 128, 4.0  # a drum rings on, however early it is let go
KEYS, MODES, ROOT, SCALE, INSTRUMENT, SAMPLE, RELEASE = 43, 54, 58, 56, 41, 53, 38  # generators
RAMP_RATE = 44_100 / 8192  # of an envelope: steps of its offset per second, for a mantissa of one


@dataclass(frozen=True)
class PatchSample:
    """One recording of an instrument, and the keys that it is for."""

    waveform: Int[np.ndarray, " sample"]  # 16 bits
    loop: tuple[int, int] | None  # first sample, and the one behind the last
    sample_rate: int  # Hz
    root: float  # its own pitch, in MIDI's numbers
    keys: tuple[int, int]  # lowest and highest
    release_seconds: float


def read_patch(content: bytes, name: str) -> list[PatchSample]:
    """The samples of a .pat file. Raises ScoreError if it is none, or cut off."""
    if not content.startswith(MAGIC):
        raise ScoreError(f"{name} is no patch of the Gravis Ultrasound. Fetch its package again.")
    samples, place = [], SAMPLES_AT
    try:
        for _ in range(content[N_SAMPLES_AT]):
            values = HEADER.unpack_from(content, place)
            place += HEADER.size
            samples.append(_read_sample(values, content[place : place + values[2]]))
            place += values[2]
    except (struct.error, IndexError, ValueError) as error:
        raise ScoreError(f"{name} is damaged ({error}). Fetch its package again.") from None
    return samples


def build_soundfont(tones: Mapping[int, list[PatchSample]], drums: Mapping[int, list[PatchSample]]) -> bytes:
    """A soundfont (.sf2) of instruments by program, and of one kit of drums by key."""
    instruments = [
        (0, program, [(sample, *_tone_keys(samples, k)) for k, sample in enumerate(samples)])
        for program, samples in sorted(tones.items())
    ]
    if drums:
        kit = [(samples[0], key, key) for key, samples in sorted(drums.items())]
        instruments.append((DRUM_BANK, 0, kit))
    data, headers = _sample_data([zone[0] for _, _, zones in instruments for zone in zones])
    info = _chunk(b"ifil", struct.pack("<HH", 2, 1)) + _chunk(b"INAM", b"patches\0")
    content = _list(b"INFO", info) + _list(b"sdta", _chunk(b"smpl", data))
    return _chunk(b"RIFF", b"sfbk" + content + _list(b"pdta", _articulation(instruments, headers)))


_Zones = list[tuple[PatchSample, int, int]]


def _read_sample(values: tuple, content: bytes) -> PatchSample:
    """A sample; a loop that runs back and forth is written out once, since soundfonts know none."""
    _, _, n_bytes, loop_start, loop_end, rate, low, high, root = values[:9]
    rates, offsets, modes = values[11:17], values[17:23], values[29]
    if len(content) < n_bytes or not rate or not root:
        raise ValueError("a sample is cut off")
    wide = modes & SIXTEEN_BIT
    waveform = np.frombuffer(content[: n_bytes // 2 * 2 if wide else n_bytes], "<i2" if wide else "i1")
    waveform = waveform.astype(np.int32) * (1 if wide else 256)
    if modes & UNSIGNED:
        waveform = (waveform + 65536) % 65536 - 32768
    start, end = (place // (2 if wide else 1) for place in (loop_start, loop_end))
    loops = bool(modes & LOOPS) and 0 <= start < end <= len(waveform)
    if loops and modes & PING_PONG:
        waveform = np.concatenate((waveform[:end], waveform[start:end][::-1]))
        end += end - start
    return PatchSample(
        waveform=waveform.astype(np.int16),
        loop=(start, end) if loops else None,
        sample_rate=rate,
        root=_pitch(root),
        keys=(math.ceil(_pitch(max(low, 1))), math.floor(_pitch(max(high, 1)))),
        release_seconds=_release(rates[3], offsets[2]) if modes & SUSTAINS else DRUM_RELEASE_SECONDS,
    )


def _pitch(millihertz: int) -> float:
    return 69 + 12 * math.log2(millihertz / 440_000)


def _release(rate: int, offset: int) -> float:
    """Seconds from an envelope's offset to nothing: six bits of the rate count, two say how coarsely."""
    mantissa = (rate & 63) << 3 * (3 - (rate >> 6))
    return offset / (mantissa * RAMP_RATE) if mantissa else DRUM_RELEASE_SECONDS


def _tone_keys(samples: list[PatchSample], place: int) -> tuple[int, int]:
    """The keys of a sample; the lowest and the highest one of an instrument go on to the end."""
    low, high = samples[place].keys
    low = 0 if low <= min(sample.keys[0] for sample in samples) else low
    return low, 127 if high >= max(sample.keys[1] for sample in samples) else max(low, min(high, 127))


def _sample_data(samples: list[PatchSample]) -> tuple[bytes, bytes]:
    """All waveforms, one behind the other, and where each one is."""
    parts, headers, place = [], [], 0
    for k, sample in enumerate(samples):
        end = place + len(sample.waveform)
        loop = sample.loop or (0, len(sample.waveform))
        root = max(0, min(127, round(sample.root)))
        correction = max(-99, min(99, round(100 * (root - sample.root))))  # one that is sharp is lowered
        headers.append(
            struct.pack(
                "<20sIIIIIBbHH", f"s{k}".encode(), place, end, place + loop[0], place + loop[1],
                sample.sample_rate, root, correction, 0, 1,
            )
        )  # fmt: skip
        parts += [sample.waveform.astype("<i2").tobytes(), bytes(2 * SILENCE_SAMPLES)]
        place = end + SILENCE_SAMPLES
    headers.append(struct.pack("<20sIIIIIBbHH", b"EOS", *(0,) * 9))
    return b"".join(parts), b"".join(headers)


def _articulation(instruments: list[tuple[int, int, _Zones]], headers: bytes) -> bytes:
    n = len(instruments)
    presets = [
        struct.pack("<20sHHHIII", f"p{bank}-{program}".encode(), program, bank, k, 0, 0, 0)
        for k, (bank, program, _) in enumerate(instruments)
    ]
    presets.append(struct.pack("<20sHHHIII", b"EOP", 0, 0, n, 0, 0, 0))
    zones = [(bank, zone) for bank, _, own in instruments for zone in own]
    generators = [_generators(bank, *zone, number) for number, (bank, zone) in enumerate(zones)]
    bags = _running(len(one) // 4 for one in generators)
    first_bags = _running(len(own) for _, _, own in instruments)
    names = [struct.pack("<20sH", f"i{k}".encode(), first) for k, first in enumerate(first_bags)]
    return b"".join(
        (
            _chunk(b"phdr", b"".join(presets)),
            _chunk(b"pbag", b"".join(struct.pack("<HH", k, 0) for k in range(n + 1))),
            _chunk(b"pmod", bytes(10)),
            _chunk(b"pgen", b"".join(struct.pack("<HH", INSTRUMENT, k) for k in range(n)) + bytes(4)),
            _chunk(b"inst", b"".join(names)),
            _chunk(b"ibag", b"".join(struct.pack("<HH", first, 0) for first in bags)),
            _chunk(b"imod", bytes(10)),
            _chunk(b"igen", b"".join(generators) + bytes(4)),
            _chunk(b"shdr", headers),
        )
    )


def _generators(bank: int, sample: PatchSample, low: int, high: int, number: int) -> bytes:
    """What a zone does; the keys come first, and the sample last."""
    values = [struct.pack("<HBB", KEYS, low, high)]
    if bank == DRUM_BANK:  # as it was recorded, whatever the key
        values += [struct.pack("<HH", SCALE, 0), struct.pack("<HH", ROOT, low)]
    else:
        values.append(struct.pack("<HH", MODES, 1 if sample.loop else 0))
    seconds = DRUM_RELEASE_SECONDS if bank == DRUM_BANK else max(sample.release_seconds, 0.01)
    values.append(struct.pack("<Hh", RELEASE, round(1200 * math.log2(min(seconds, 8.0)))))
    return b"".join(values) + struct.pack("<HH", SAMPLE, number)


def _running(counts: Iterator[int]) -> list[int]:
    """Sums of what came before each, and of all."""
    sums = [0]
    for count in counts:
        sums.append(sums[-1] + count)
    return sums


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _list(name: bytes, content: bytes) -> bytes:
    return _chunk(b"LIST", name + content)
