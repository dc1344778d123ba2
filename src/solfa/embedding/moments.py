"""Moments: frames that come in parts -> one vector. SegmentMoments: one for each audible segment."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.embedding.outcomes import SHORTEST_SECONDS, Segment
from solfa.embedding.space import Pool, check_pool
from solfa.models import AudioEncoder, ClipEncoder

SEGMENT_SECONDS = 10.0
QUIET_PEAK = 2.0**-13  # four steps of 16 bits, as the noise has that is added to digital silence
QUIET_SHARE = 1e-3  # of the track's largest sample: 60 dB below it


class Moments:
    """Mean and standard deviation over time of frames that come in parts; every frame weighs the same.

    Args:
        pool: what is made of them; squares are added up only if they are wanted.
    """

    def __init__(self, pool: Pool) -> None:
        check_pool(pool)
        self.pool, self.n_frames = pool, 0
        self.total, self.squares = torch.zeros(()), torch.zeros(())

    def add(self, states: Float[Tensor, "... frame dim"]) -> None:
        """Take in some frames, of one layer or of each of several."""
        states = states.double()  # so that neither order nor length matters
        self.n_frames += states.shape[-2]
        self.total = self.total + states.sum(-2)
        if self.pool == "mean+std":
            self.squares = self.squares + states.square().sum(-2)

    def joined(self, other: "Moments") -> "Moments":
        """Those of the frames of both."""
        both = Moments(self.pool)
        both.n_frames = self.n_frames + other.n_frames
        both.total, both.squares = self.total + other.total, self.squares + other.squares
        return both

    def pooled(self) -> Float[Tensor, "... dim"]:
        """The vector of all frames so far, float32."""
        mean = self.total / self.n_frames
        if self.pool == "mean":
            return mean.float()
        # The variance as mean of squares less square of mean: in float64 its rounding is far below what a
        # float32 state can say, and no second pass over the frames is needed.
        variance = self.squares / self.n_frames - mean.square()
        return torch.cat([mean, variance.clamp(min=0).sqrt()], -1).float()


class SegmentMoments:
    """Cuts frames that come in parts into segments.

    Args:
        pool: how the frames of a segment become a vector.
        encoder: whose frames they are. Those of a music-text model are whole clips, and a segment each,
            unless they last less than two seconds, so that a tail could be a moment.
    """

    def __init__(self, pool: Pool, encoder: AudioEncoder) -> None:
        self.pool, self.grid = pool, encoder.grid
        self.is_of_clips = isinstance(encoder, ClipEncoder)
        n_clips = math.ceil(2 * SHORTEST_SECONDS * self.grid.frame_rate - 1e-6)
        self.segment_frames = n_clips if self.is_of_clips else self.grid.seconds_to_frames(SEGMENT_SECONDS)
        self.moments: list[Moments] = []
        self.peaks: list[float] = []  # the largest sample of each segment

    def add(self, states: Float[Tensor, "frame dim"], peaks: Float[np.ndarray, " sounding"]) -> None:
        """Take in some frames, and the largest sample of each."""
        while len(states):
            if not self.moments or self.moments[-1].n_frames == self.segment_frames:
                self.moments.append(Moments(self.pool))
                self.peaks.append(0.0)
            n_missing = self.segment_frames - self.moments[-1].n_frames
            self.moments[-1].add(states[:n_missing])
            is_end = len(states) <= n_missing  # what lies beyond the last whole frame is heard there, too
            heard = peaks if is_end else peaks[:n_missing]
            self.peaks[-1] = max(self.peaks[-1], float(heard.max(initial=0.0)))
            states, peaks = states[n_missing:], peaks[n_missing:]

    def pooled(self, seconds: float) -> tuple[Segment, ...]:
        """The segments of all frames so far that are no silence; all of them if each is.

        Silence is what lies below ``QUIET_PEAK``, or 60 dB below the loudest of the track.

        The last one ends with the track. What would be less than half a segment belongs to the one before.

        Args:
            seconds: length of the track.
        """
        seconds_each = self.segment_frames / self.grid.frame_rate
        vectors, peaks = [part.pooled() for part in self.moments], list(self.peaks)
        share = self._last_share(seconds / seconds_each)
        if len(vectors) > 1 and 2 * share < 1:
            rest, before = vectors.pop(), vectors.pop()
            if (
                self.is_of_clips and self.segment_frames == 1
            ):  # a short last one has been filled up, and counts as far as it is itself
                joined = (before + share * rest) / (1 + share)
            else:
                joined = self.moments[-2].joined(self.moments[-1]).pooled()
            vectors, peaks = [*vectors, joined], [*peaks[:-2], max(peaks[-2:])]
        starts = [n * seconds_each for n in range(len(vectors))]
        segments = tuple(map(Segment, starts, [*starts[1:], seconds], vectors))
        quiet = max(QUIET_PEAK, QUIET_SHARE * max(peaks))
        audible = (part for part, peak in zip(segments, peaks, strict=True) if peak >= quiet)
        return tuple(audible) or segments

    def _last_share(self, n_segments: float) -> float:
        """Share of a whole segment that the last one has, of a track that lasts so many."""
        if self.is_of_clips:
            return max(0.0, n_segments - (len(self.moments) - 1))
        return self.moments[-1].n_frames / self.segment_frames
