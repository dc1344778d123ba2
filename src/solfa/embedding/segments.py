"""Frames of a track, as they come -> one vector for each segment of about ten seconds."""

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from solfa.embedding.space import Pool
from solfa.embedding.vectors import Moments
from solfa.models import AudioEncoder, ClipEncoder

SEGMENT_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of a track, and its vector; the segments of a track follow each other without a gap."""

    start: float  # seconds
    end: float
    vector: Float[Tensor, " dim"]


class SegmentMoments:
    """Cuts frames that come in pieces into segments.

    Args:
        encoder: whose frames they are. Those of a music-text model are whole clips, and a segment each.
    """

    def __init__(self, encoder: AudioEncoder) -> None:
        self.grid = encoder.grid
        is_of_clips = isinstance(encoder, ClipEncoder)
        self.segment_frames = 1 if is_of_clips else self.grid.seconds_to_frames(SEGMENT_SECONDS)
        self.moments: list[Moments] = []

    def add(self, states: Float[Tensor, "frame dim"]) -> None:
        """Take in some frames."""
        while len(states):
            if not self.moments or self.moments[-1].n_frames == self.segment_frames:
                self.moments.append(Moments())
            n_missing = self.segment_frames - self.moments[-1].n_frames
            self.moments[-1].add(states[:n_missing])
            states = states[n_missing:]

    def pooled(self, pool: Pool, seconds: float) -> tuple[Segment, ...]:
        """The segments of all frames so far.

        The last one ends with the track. What would be less than half a segment belongs to the one before.

        Args:
            pool: how the frames of a segment become a vector.
            seconds: length of the track.
        """
        moments = list(self.moments)
        if len(moments) > 1 and 2 * moments[-1].n_frames < self.segment_frames:
            rest, before = moments.pop(), moments.pop()
            moments.append(before.joined(rest))
        seconds_each = self.segment_frames / self.grid.frame_rate
        bounds = [*(n * seconds_each for n in range(len(moments))), seconds]
        return tuple(
            Segment(start, end, part.pooled(pool))
            for (start, end), part in zip(pairwise(bounds), moments, strict=True)
        )
