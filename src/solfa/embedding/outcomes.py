"""What becomes of a file: a track with its vectors, or a copy of one; and by what it is known again."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float

from solfa.data.manifest import Track

if TYPE_CHECKING:  # who only looks for files that have changed does without PyTorch
    import torch

SHORTEST_SECONDS = 1.0  # of a segment of a longer track; less is a moment, and no music


@dataclass(frozen=True)
class Stamp:
    """What tells, without reading a file, that it has not changed."""

    n_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """The stamp of a file as it is now."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, eq=False)
class Segment:
    """A span of a track, and its vector. Those of a track follow each other; silent ones are left out."""

    start: float  # seconds
    end: float
    vector: "Float[torch.Tensor, ' dim']"


@dataclass(frozen=True, eq=False)
class Embedded:
    """A track, its vector and those of its segments."""

    track: Track
    stamp: Stamp
    vector: "Float[torch.Tensor, ' dim']"
    segments: tuple[Segment, ...]
    n_frames: int


@dataclass(frozen=True)
class Duplicate:
    """A file whose content has a vector already: it was moved, or is there twice."""

    path: Path
    stamp: Stamp
    content_hash: str
