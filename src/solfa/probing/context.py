"""FramesInContext: frames of a track between their neighbours, put side by side where they are read."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class FramesInContext:
    """An array of (frame, layer, dim) that is read as one of (row, layer, neighbour times dim).

    In a row a frame stands between ``reach`` frames before and as many after it, in order of time. Beyond
    both ends of the track stand its first frame and its last one. Only frames are kept in memory; what is
    read is made anew.
    """

    frames: Float[np.ndarray, "frame layer dim"]
    rows: Int[np.ndarray, " row"]  # numbers of the frames that are rows
    reach: int  # neighbours on each side

    @classmethod
    def of(cls, frames: Float[np.ndarray, "frame layer dim"], reach: int) -> "FramesInContext":
        """All frames of a track."""
        return cls(frames, np.arange(len(frames)), reach)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, layers, and numbers of a layer in a row."""
        return len(self.rows), self.frames.shape[1], (2 * self.reach + 1) * self.frames.shape[2]

    @property
    def size(self) -> int:
        """Numbers in all rows."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "row layer dim"]:
        """Some rows, with their neighbours."""
        around = self.rows[chosen][:, None] + np.arange(-self.reach, self.reach + 1)
        found = self.frames[around.clip(0, len(self.frames) - 1)]  # row, neighbour, layer, dim
        return found.swapaxes(1, 2).reshape(len(found), *self.shape[1:])

    def some(self, chosen: slice) -> "FramesInContext":
        """Some rows; their neighbours are those of the whole track."""
        return replace(self, rows=self.rows[chosen])

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> "FramesInContext":
        """The same rows of frames that were changed one by one."""
        return replace(self, frames=change(self.frames))
