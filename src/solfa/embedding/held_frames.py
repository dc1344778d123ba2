"""Frames at any rate, each holding for a stretch of time -> means over the frames of another grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from solfa.frames import FrameGrid


@dataclass(frozen=True)
class HeldFrames:
    """Rows that hold one after the other, each as long; the first and the last hold beyond the ends."""

    values: Float[np.ndarray, "frame column"]
    seconds_each: float
    first_seconds: float = 0.0  # where the first row begins to hold

    def on_grid(self, grid: FrameGrid, n_frames: int) -> Float[np.ndarray, "frame column"]:
        """Means over the time that each of the first ``n_frames`` frames of a grid lasts.

        Finer rows are averaged by the time that they share with a frame, coarser ones are repeated.
        """
        edges = np.arange(n_frames + 1) / grid.frame_rate
        integral = self._integral((edges - self.first_seconds) / self.seconds_each)
        rows_each = 1 / (grid.frame_rate * self.seconds_each)
        return (np.diff(integral, axis=0) / rows_each).astype(np.float32)

    def _integral(self, places: Float[np.ndarray, " edge"]) -> Float[np.ndarray, "edge column"]:
        """Sum of the rows up to each place, parts of a row counted as parts."""
        values = self.values.astype(np.float64)
        sums = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(0)])
        row = np.floor(places).astype(int).clip(0, len(values) - 1)
        return sums[row] + (places - row)[:, None] * values[row]
