"""MelCQT: log-mel and log-constant-Q frames of one grid, which can be stored in place of audio."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.config import Config, Width
from solfa.errors import ArgumentError
from solfa.features.log_cqt import LogConstantQ, LogConstantQConfig
from solfa.features.mel import LogMel, LogMelConfig
from solfa.frames import FrameGrid

T = TypeVar("T", int, Tensor)


@dataclass(frozen=True, kw_only=True)
class MelCQTConfig(Config):
    """Four mel frames to each constant-Q frame, 25 of these a second."""

    mel: LogMelConfig = field(default_factory=LogMelConfig)  # only its decibels are used: not mean and std
    n_stacked: Width = 4  # mel frames to a constant-Q frame
    log_cqt: LogConstantQConfig = field(default_factory=LogConstantQConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        stacked = FrameGrid(self.mel.sample_rate, self.mel.hop_length * self.n_stacked)
        if stacked != self.log_cqt.grid:
            raise ArgumentError(
                f"{self.n_stacked} mel frames side by side lie on {stacked}, and constant-Q frames on "
                f"{self.log_cqt.grid}. Give both the same sample_rate, and make "
                "hop_length of constant_q that of mel times n_stacked."
            )

    @property
    def grid(self) -> FrameGrid:
        """Where the constant-Q frames lie, each beside ``n_stacked`` mel frames."""
        return self.log_cqt.grid


@dataclass(frozen=True)
class MelCQTFrames:
    """Decibels of clips, before any normalisation."""

    mel: Float[Tensor, "clip mel_frame mel"]  # several, as many for each frame of cqt
    cqt: Float[Tensor, "clip frame bin"]

    def __len__(self) -> int:
        return len(self.cqt)

    @property
    def n_frames(self) -> int:
        """Frames of each clip, counted on the grid of the constant-Q frames."""
        return self.cqt.shape[1]

    @property
    def n_stacked(self) -> int:
        """Mel frames to a frame."""
        return self.mel.shape[1] // max(1, self.n_frames)

    @property
    def stacked_mel(self) -> Float[Tensor, "clip frame stacked_mel"]:
        """The mel frames of each frame side by side, earliest first."""
        return self.mel.unflatten(1, (self.n_frames, -1)).flatten(2)

    def cut(self, n_frames: int, first: int = 0) -> "MelCQTFrames":
        """So many frames, from frame ``first`` on."""
        ratio = self.n_stacked
        return MelCQTFrames(
            self.mel[:, ratio * first : ratio * (first + n_frames)], self.cqt[:, first : first + n_frames]
        )

    def to(self, device: torch.device) -> "MelCQTFrames":
        """The same frames on another device."""
        return self.mapped(lambda values: values.to(device, non_blocking=True))

    def pin_memory(self) -> "MelCQTFrames":
        """The same frames in pages from which a CUDA device fetches by itself."""
        return self.mapped(lambda values: values.pin_memory())

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "MelCQTFrames":
        """Both halves, changed alike."""
        return MelCQTFrames(change(self.mel), change(self.cqt))


class MelCQT(nn.Module):
    """Waveform -> mel and constant-Q frames in decibels; nothing here is learned.

    Frame ``i`` is hop ``i`` of the common grid: its mel frames are centred at its start and at equal steps
    inside, its constant-Q frame in its middle. ``n`` samples give ``n // hop_length`` frames.
    """

    def __init__(self, config: MelCQTConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(config.mel)
        self.log_cqt = LogConstantQ(config.log_cqt)

    def n_frames(self, n_samples: T) -> T:
        """Frames of a clip of ``n_samples``: a number, or one for each clip."""
        return self.log_cqt.n_frames(n_samples)

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> MelCQTFrames:
        """Frames of clips; mel frames that fill no whole frame at the end are left out.

        Args:
            waveform: mono, in [-1, 1], at the sample rate of the configuration.
            lengths: samples of audio in each clip, the rest being padding; all of them if omitted. A clip's
                frames are those that it has alone; what follows them has no meaning.

        Raises:
            ValueError: a clip is too short (half a mel window, or a frame).
        """
        cqt = self.log_cqt(waveform, lengths)
        mel = self.log_mel.decibels(waveform, lengths)
        return MelCQTFrames(mel[:, : cqt.shape[1] * self.config.n_stacked], cqt)
