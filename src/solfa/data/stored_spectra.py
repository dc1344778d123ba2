"""Spectra made once: decibels of mel and constant-Q frames in steps of 8 bits, an array for each track.

A row of DIR/frames/HASH.npy is a frame: the steps of its mel frames, earliest first, and those of its
constant-Q bins. Step 0 is the floor. DIR/features.json says which spectra, and what a step is.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from solfa.config import Config, Finite, Positive, load_config, to_dict
from solfa.data.stored_frames import StoredFramesError, SummedFrames
from solfa.features import MelCQTConfig, MelCQTFrames
from solfa.frames import FrameGrid
from solfa.json_files import write_json

FEATURES = "features.json"
COMMAND = "solfa data features {manifest} --out {folder}"
LARGEST_STEP = 255  # of 8 bits


@dataclass(frozen=True, kw_only=True)
class SpectraDescription(Config):
    """What the spectra of a folder are; stands in its ``features.json``."""

    spectra: MelCQTConfig = field(default_factory=MelCQTConfig)
    mel_floor_db: Finite = -100.0  # of step 0
    mel_step_db: Positive = 0.64
    cqt_floor_db: Finite = -80.0
    cqt_step_db: Positive = 0.5

    @property
    def grid(self) -> FrameGrid:
        """Where the frames lie."""
        return self.spectra.grid

    @property
    def n_mel_steps(self) -> int:
        """Numbers of a row that are of mel frames."""
        return self.spectra.n_stacked * self.spectra.mel.n_mels

    @property
    def n_steps(self) -> int:
        """Numbers of a row."""
        return self.n_mel_steps + self.spectra.log_cqt.constant_q.n_bins

    def steps(self, frames: MelCQTFrames) -> UInt8[np.ndarray, "frame step"]:
        """The frames of one clip, rounded to the nearest step; what is beyond the range counts as its end."""
        [mel], [cqt] = frames.stacked_mel, frames.cqt
        halves = ((mel - self.mel_floor_db) / self.mel_step_db, (cqt - self.cqt_floor_db) / self.cqt_step_db)
        rounded = torch.cat(halves, 1).round().clamp(0, LARGEST_STEP)
        return rounded.to(torch.uint8).numpy()

    def frames(self, steps: UInt8[np.ndarray, "frame step"]) -> MelCQTFrames:
        """Decibels of one clip: at most half a step from those that were rounded."""
        numbers = torch.from_numpy(steps.astype(np.float32))
        mel = numbers[:, : self.n_mel_steps] * self.mel_step_db + self.mel_floor_db
        cqt = numbers[:, self.n_mel_steps :] * self.cqt_step_db + self.cqt_floor_db
        return MelCQTFrames(_unstacked(mel, self.spectra.mel.n_mels), cqt[None])


class StoredSpectra(SummedFrames):
    """Spectra of tracks, in a folder that ``solfa data features`` fills.

    Raises:
        StoredFramesError: there are none in ``folder``.
    """

    command = COMMAND
    kind = "spectra"

    def __init__(self, folder: Path) -> None:
        if not (folder / FEATURES).is_file():
            raise StoredFramesError(
                f"There are no features in {folder}. Make them with: "
                f"{COMMAND.format(manifest='MANIFEST', folder=folder)}"
            )
        self.description = load_config(SpectraDescription, folder / FEATURES)
        super().__init__(folder, self.description.grid, (self.description.n_steps,), "uint8")

    @classmethod
    def begin(cls, folder: Path, description: SpectraDescription) -> "StoredSpectra":
        """A new folder, or one to be gone on with.

        Raises:
            StoredFramesError: the folder holds other spectra.
        """
        if not (folder / FEATURES).exists():
            write_json(folder / FEATURES, to_dict(description))
        stored = cls(folder)
        if stored.description != description:
            raise StoredFramesError(
                f"{folder} holds other spectra, {stored.description}; now they would be {description}. Give "
                "another folder."
            )
        stored.clear_up()
        return stored

    def spectra(self, content_hash: str, start: int, stop: int) -> MelCQTFrames:
        """Frames ``start`` to ``stop`` of a track, as one clip; the floor stands beyond its ends."""
        return self.description.frames(self.rows(content_hash, start, stop))


def _unstacked(mel: Float[Tensor, "frame stacked_mel"], n_mels: int) -> Float[Tensor, "1 mel_frame mel"]:
    return mel.reshape(1, -1, n_mels)
