"""300 damaged files: each is decoded to samples that make sense or refused by its name, and nothing hangs."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import zoo
from solfa.data.audio import AudioError, AudioInfo, read_audio
from solfa.data.base import HIGHEST_RATE, LOWEST_RATE
from solfa.data.containers import _PartFile
from solfa.data.damage import check_audio
from solfa.data.tags import read_tags
from solfa.frames import LOUDEST

N_FILES, SEED = 304, 13
SECONDS, RATE = 2.0, 48_000
KINDS = ("wav", "flac", "vbr.mp3", "ogg", "opus", "m4a", "aiff", "webm")
LOSSY = (
    "vbr.mp3",
    "ogg",
    "opus",
    "webm",
)  # that say where their music should be, and must not lose it unsaid
LOST_SECONDS = 0.55  # that may be missing: what players make silence of, and a frame
MOST_READ = 200  # times the size of a file that may be read of it
EXTREMES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
HEADER_BYTES = 200

pytestmark = pytest.mark.slow


class HungError(BaseException):
    """More was read of a file than any decoder needs."""


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3, 30))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_in_header(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 5))):
        data[rng.randrange(min(HEADER_BYTES, len(data)))] ^= 1 << rng.randrange(8)


def overwrite_a_number(data: bytearray, rng: random.Random) -> None:
    """Write an extreme number into a header, or an index at the end."""
    place = rng.randrange(HEADER_BYTES) if rng.random() < 0.7 else len(data) - 8 - rng.randrange(1_500)
    number, n_bytes = rng.choice(EXTREMES), rng.choice((1, 2, 4, 8))
    data[place : place + n_bytes] = (number % 2 ** (8 * n_bytes)).to_bytes(
        n_bytes, rng.choice(("little", "big"))
    )


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(1, len(data)) :]


def remove(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    del data[place : place + rng.choice((1, 100, 5_000, len(data) // 3))]


def insert(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    data[place:place] = rng.randbytes(rng.choice((1, 100, 5_000)))


def repeat(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    data[place:place] = data[place : place + rng.choice((100, 5_000))]


def blank(data: bytearray, rng: random.Random) -> None:
    place, n_bytes = rng.randrange(len(data)), rng.choice((1, 100, 5_000, len(data) // 3))
    data[place : place + n_bytes] = bytes(len(data[place : place + n_bytes]))


WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(flip, flip_in_header, overwrite_a_number, overwrite_a_number, cut, remove, insert, repeat, blank),
)


def webm(path: Path, samples: np.ndarray) -> None:
    with av.open(path, "w", format="webm") as out:
        stream = out.add_stream("libopus", rate=RATE, layout="stereo")
        for start in range(0, len(samples), 960):
            block = np.ascontiguousarray(samples[None, start : start + 960].reshape(1, -1), np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, AudioInfo]]:
    """The bytes of a good file of each kind, and what it holds."""
    folder, samples = tmp_path_factory.mktemp("whole"), zoo.music(SECONDS, RATE)
    for kind in KINDS:
        path = folder / f"a.{kind}"
        webm(path, samples) if kind == "webm" else zoo.write(path, samples, RATE)
    return {kind: ((folder / f"a.{kind}").read_bytes(), check_audio(folder / f"a.{kind}")) for kind in KINDS}


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes may be read before the test fails."""
    left, read_into = [0], _PartFile.readinto

    def read(file: _PartFile, buffer: Any) -> int:
        n = read_into(file, buffer)
        left[0] -= n + 1
        if left[0] < 0:
            raise HungError
        return n

    monkeypatch.setattr(_PartFile, "readinto", read)
    return left


def outcome(path: Path, kind: str, good: AudioInfo) -> str:
    """What became of a damaged file: "refused", "taken", or what is wrong with it."""
    read_tags(path)
    with suppress(AudioError):
        left = check_audio(path, take_damaged=True)
        assert left.n_samples == len(read_audio(path, take_damaged=bool(left.damage)))
    try:
        info = check_audio(path)
        waveform = read_audio(path)
    except AudioError as error:
        return "refused" if path.name in str(error) else f"refused without its name: {error}"
    if not (np.isfinite(waveform).all() and np.abs(waveform).max(initial=0) <= LOUDEST):
        return "samples that are no numbers"
    if not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        return f"a rate of {info.sample_rate}"
    if not 0 < len(waveform) == info.n_samples < 8 * good.n_samples:
        return f"{len(waveform)} samples, and {info.n_samples} were heard"
    if kind in LOSSY and info.n_samples < good.n_samples - LOST_SECONDS * good.sample_rate:
        return f"{info.n_samples} of {good.n_samples} samples, and not a word"
    return "taken"


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_decoded_or_refused_by_its_name(
    tmp_path: Path, whole: dict[str, tuple[bytes, AudioInfo]], patience: list[int], kind: str
) -> None:
    content, good = whole[kind]
    outcomes: dict[str, list[str]] = {}
    for number in range(N_FILES // len(KINDS)):
        rng = random.Random(f"{SEED} {kind} {number}")
        data = bytearray(content)
        way = rng.choice(WAYS)
        way(data, rng)
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(data)
        patience[0] = MOST_READ * max(len(data), 2**16)
        try:
            found = outcome(path, kind, good)
        except (Exception, HungError) as error:
            found = f"{type(error).__name__}: {error}"
        outcomes.setdefault(found, []).append(f"{number} {way.__name__}")
    counts = Counter({found: len(cases) for found, cases in outcomes.items()})
    assert not {found: cases for found, cases in outcomes.items() if found not in ("taken", "refused")}
    assert counts["refused"] > 2
