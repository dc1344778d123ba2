"""MFCC: the shape of a mel spectrum as a few cosines, and how it changes."""

import math
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from solfa.config import Bins, Config, Count
from solfa.errors import ArgumentError
from solfa.features.exact import Fixed
from solfa.features.mel import LogMel, LogMelConfig
from solfa.features.neighbours import slopes
from solfa.frames import FrameGrid

T = TypeVar("T", int, Tensor)


@dataclass(frozen=True, kw_only=True)
class MFCCConfig(Config):
    """The cosines of a mel spectrum in decibels."""

    kind: Literal["mfcc"] = "mfcc"
    mel: LogMelConfig = field(default_factory=LogMelConfig)
    n_coefficients: Bins = 20
    slope_reach_frames: Count = 4  # on each side of a frame, of which the slope is taken

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.n_coefficients <= self.mel.n_mels:
            raise ArgumentError(
                f"{self.mel.n_mels} mel bands have at most as many cosines, and at least one is wanted, not "
                f"{self.n_coefficients}. Change n_coefficients or mel.n_mels."
            )

    @property
    def grid(self) -> FrameGrid:
        """Where the frames lie."""
        return self.mel.grid


class MFCC(Fixed):
    """Waveform -> mel-frequency cepstral coefficients, their slopes, and the slopes of these.

    Frames lie as those of ``LogMel``. Coefficients are of decibels, without liftering. Types as in
    ``FilteredPower``.

    Source:
        Davis, Mermelstein, Comparison of parametric representations for monosyllabic word recognition, IEEE
        ASSP 1980; the orthonormal cosine transform of type II, as in librosa.
    """

    basis: Tensor

    def __init__(self, config: MFCCConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(config.mel)
        self.register_buffer("basis", cosines(config.n_coefficients, config.mel.n_mels), persistent=False)

    @property
    def dim(self) -> int:
        """Numbers in a frame: coefficients, slopes, and slopes of slopes."""
        return 3 * self.config.n_coefficients

    def n_frames(self, n_samples: T) -> T:
        """Frames of a clip of ``n_samples``: a number, or one for each clip."""
        return self.log_mel.n_frames(n_samples)

    def coefficients(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame coefficient"]:
        """Coefficients alone; arguments and errors as in ``FilteredPower``."""
        return self.log_mel.decibels(waveform, lengths) @ self.basis.T

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame dim"]:
        """Coefficients, slopes per frame, and their slopes; arguments and errors as in ``FilteredPower``."""
        if lengths is None:
            lengths = torch.full(waveform.shape[:1], waveform.shape[1], device=waveform.device)
        coefficients, n_frames = self.coefficients(waveform, lengths), self.n_frames(lengths)
        first = slopes(coefficients, n_frames, self.config.slope_reach_frames)
        second = slopes(first, n_frames, self.config.slope_reach_frames)
        return torch.cat([coefficients, first, second], -1)


def cosines(n_coefficients: int, n_bands: int) -> Float[Tensor, "coefficient band"]:
    """Rows of unit length, each orthogonal to the others: half waves over the bands."""
    band = torch.arange(n_bands, dtype=torch.float64) + 0.5
    rows = (torch.arange(n_coefficients)[:, None] * band * math.pi / n_bands).cos() * math.sqrt(2 / n_bands)
    rows[0] /= math.sqrt(2)
    return rows.float()
