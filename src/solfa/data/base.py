"""What every decoder of a file is held to, and the error of a file that cannot be used."""

import os
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from solfa.errors import SolfaError

BLOCK_SAMPLES = 2**20  # decoded at once, of a file with one or two channels
PREROLL_SAMPLES = 2**14  # after these, a codec has forgotten what came before; measured in docs/data.md
MISSING_SECONDS = 0.5  # what a file may lack of its promised length: encoders pad and round
LOWEST_RATE, HIGHEST_RATE = 4_000, 768_000  # Hz; beyond them a header is wrong, or it is no music
AGAIN = (
    "copy or download it again; what is whole of it is taken by solfa index, embed and data prepare with "
    "--take-damaged"
)


@runtime_checkable
class Source(Protocol):
    """Where the bytes of a recording are: a file of the disk, or one in a shard. A ``Path`` is one."""

    def open(self, mode: Literal["rb"], buffering: int = -1) -> Any:
        """Its bytes, to be read; without a buffer if ``buffering`` is 0."""
        ...

    def stat(self) -> os.stat_result:
        """Its size in bytes, and what tells it from another of that name."""
        ...

    def is_file(self) -> bool:
        """Whether it is there."""
        ...

    def __hash__(self) -> int: ...


class AudioError(SolfaError, ValueError):
    """Why a file cannot be used, and the cure where there is one."""

    def __init__(self, reason: str, path: Source | None = None):
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return self.reason if self.path is None else f"{str(self.path)!r}: {self.reason}"


class Damage(NamedTuple):
    """A stretch of a file that cannot be decoded."""

    start: float  # s, in the file as it was before
    seconds: float  # 0 where nobody knows

    def __str__(self) -> str:
        """Where, and how much is missing."""
        much = f"{self.seconds:.2g} s" if self.seconds else "an unknown length"
        return f"{much} at {self.start:.1f} s"


class DamagedError(AudioError):
    """A file of which a stretch cannot be decoded, or the end is missing; the rest of it may be of use."""

    def __init__(self, reason: str, path: Source | None = None, damage: Damage | None = None):
        super().__init__(reason, path)
        self.damage = damage or Damage(0.0, 0.0)


@runtime_checkable
class Decoder(Protocol):
    """An open file that can be read from any sample on. Reading on costs nothing but what is read."""

    name: str  # library and version, for manifests
    sample_rate: int
    n_channels: int

    @property
    def n_samples(self) -> int:
        """Length that the file promises."""
        ...

    def blocks(self, start: int, n_samples: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        """Samples ``start`` to ``start + n_samples`` (to the end if None), fewer where the file ends."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def damaged(path: Source, start: float | None, seconds: float = 0.0, detail: str = "") -> "DamagedError":
    """The error of a file that has a stretch that cannot be decoded."""
    where = "" if start is None else f" at {start:.1f} s"
    length = f": {seconds:.2g} s cannot be decoded" if seconds else ""
    why = f" ({detail.rstrip('.')})" if detail else ""
    return DamagedError(f"damaged{where}{length}{why}; {AGAIN}", path, Damage(start or 0.0, seconds))
