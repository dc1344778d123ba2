"""Companion: something that goes with each clip, and cuts and joins itself.

A companion is asked twice: about one clip, in the process that makes it, and about clips that are joined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solfa.data.manifest import Track
from solfa.frames import FrameGrid

ANYWHERE = 2**62  # a sample that no track reaches


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where a clip lies: decided by the seed of the run and the number of the clip."""

    track: Track
    number: int
    seed: int
    epoch: int
    start: int  # first sample, from the beginning of the track
    n_samples: int
    context_samples: int  # that are wanted on each side


class Companion:
    """Something that goes with each clip."""

    grid: FrameGrid | None = None  # on whose frames clips must start
    replaces_audio: bool = False  # so that no audio is read

    def check(self, tracks: Sequence[Track], sample_rate: int, context_samples: int) -> None:
        """Refuse tracks with which it cannot go, before the first clip."""

    def last_start(self, track: Track, n_samples: int) -> int:
        """The last sample of a track at which a clip may start, for what it needs."""
        return ANYWHERE

    def cut(self, cut: Cut) -> Any:
        """What goes with one clip."""
        raise NotImplementedError

    def join(self, parts: Sequence[Any]) -> dict[str, Any]:
        """What goes with several clips: fields of ``Clips``."""
        raise NotImplementedError
