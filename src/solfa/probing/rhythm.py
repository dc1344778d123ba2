"""The readout mean+std+acf: beside mean and deviation of a clip, how alike its changes are a beat later.

A mean over time has no period in it, and a tempo is one. The changes from frame to frame of a clip are
brought to the eight directions in which they vary most on the training side, and compared with themselves
0.25 to 2 s later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from solfa.probing.features import Features

N_DIRECTIONS, N_LAGS = 8, 40
LAG_SECONDS = (0.25, 2.0)  # 240 to 30 beats a minute
SMALL = 1e-9  # power of changes that counts as none


@dataclass(frozen=True)
class RhythmFeatures(Features):
    """Frames on the disk, read as one row for each clip: mean, deviation, and autocorrelation at 40 lags.

    Directions, and mean and deviation of each lag by which it is standardised, are those of the items to
    train on: the same for the same items, and nothing of validation or test is in them.
    """

    def array(self, key: str) -> Float[np.ndarray, "row layer dim"]:
        """A row for each clip of an item."""
        mean, std = self._scale
        rows = [
            np.concatenate([clip.mean(0), clip.std(0), (lags - mean) / std], 1)
            for clip, lags in ((clip, self._lags(clip)) for clip in self._clips(key))
        ]
        return np.stack(rows).astype(np.float32)

    def state_dim(self, dim: int) -> int:
        """Numbers of a single state, where a row has ``dim``."""
        return (dim - N_LAGS) // 2

    @cached_property
    def _directions(self) -> Float[np.ndarray, "layer dim direction"]:
        """Those in which changes vary most, of each layer."""
        total, count = np.zeros(()), 0
        for clip in self._training():
            changes = np.diff(clip, axis=0).transpose(1, 0, 2)  # layer, frame, dim
            # Second moments about zero: over a clip changes add up to nearly nothing. A product for each
            # layer, added up over all clips, stands for all frames of training side by side.
            total = total + (changes.transpose(0, 2, 1) @ changes).astype(np.float64)
            count += changes.shape[1]
        vectors = np.linalg.eigh(total / max(1, count))[1]
        return vectors[..., ::-1][..., :N_DIRECTIONS].astype(np.float32)

    @cached_property
    def _scale(self) -> tuple[Float[np.ndarray, "layer lag"], Float[np.ndarray, "layer lag"]]:
        lags = np.stack([self._lags(clip) for clip in self._training()])
        return lags.mean(0), lags.std(0).clip(1e-6)

    def _training(self) -> Iterator[Float[np.ndarray, "frame layer dim"]]:
        for item, key in self.kept:
            if item.split == "train":
                yield from self._clips(key)

    def _clips(self, key: str) -> Iterator[Float[np.ndarray, "frame layer dim"]]:
        frames = super().array(key)
        n_each = self.config.frames_per_clip or len(frames)
        for start in range(0, len(frames), n_each):
            yield np.asarray(frames[start : start + n_each], np.float32)

    def _lags(self, clip: Float[np.ndarray, "frame layer dim"]) -> Float[np.ndarray, "layer lag"]:
        changes = np.diff(clip, axis=0).transpose(1, 0, 2) @ self._directions
        return autocorrelation(changes, self.config.grid.frame_rate)


def autocorrelation(
    changes: Float[np.ndarray, "layer frame direction"], frame_rate: float
) -> Float[np.ndarray, "layer lag"]:
    """How alike changes are 0.25 to 2 s later, at 40 lags, in the mean over directions; 0 beyond the clip.

    Args:
        changes: from frame to frame.
        frame_rate: Hz; between whole frames a lag is interpolated.
    """
    centred = changes - changes.mean(1, keepdims=True) if changes.shape[1] else changes
    power = (centred**2).sum(1)
    wanted = np.linspace(*LAG_SECONDS, N_LAGS) * frame_rate
    n_frames = changes.shape[1]
    whole = np.zeros((int(np.ceil(wanted[-1])) + 1, len(changes)))
    for lag in range(min(len(whole), n_frames)):
        products = (centred[:, : n_frames - lag] * centred[:, lag:]).sum(1)
        whole[lag] = np.where(power > SMALL, products / power.clip(SMALL), 0.0).mean(1)
    below = np.floor(wanted).astype(int)
    above, share = np.minimum(below + 1, len(whole) - 1), (wanted - below)[:, None]
    return ((1 - share) * whole[below] + share * whole[above]).T.astype(np.float32)
