"""MelRVQ, MelRandomProjection, MelFrames: targets made of mel frames."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from solfa.config import LATER, Config, Width
from solfa.data.clips import Clips
from solfa.features import LogMel, LogMelConfig
from solfa.frames import FrameGrid
from solfa.targets.base import Codes, CodesShape, Target, ValuesShape
from solfa.targets.frame_values import FrameValues
from solfa.targets.level import Level, without_level
from solfa.targets.quantized_frames import QuantizedFrames
from solfa.targets.quantizer import (
    RandomProjection,
    RandomProjectionConfig,
    ResidualVectorQuantizerConfig,
    VectorQuantizerConfig,
)
from solfa.targets.residual_kmeans import ResidualKMeansConfig


@dataclass(frozen=True, kw_only=True)
class StackedMelConfig(Config):
    """Neighbouring mel frames side by side, so that they come at the encoder's frame rate."""

    mel: LogMelConfig = field(default_factory=LogMelConfig)
    n_stacked: Width = 4  # mel frames in a target frame
    # Of a clip: where it is removed, frames say nothing of how loud all of it is.
    level: Level = field(default="kept", metadata=LATER)

    @property
    def dim(self) -> int:
        """Width of a target frame."""
        return self.mel.n_mels * self.n_stacked

    @property
    def grid(self) -> FrameGrid:
        """Where target frames lie."""
        return FrameGrid(self.mel.sample_rate, self.mel.hop_length * self.n_stacked)

    @property
    def context_samples(self) -> int:
        """Audio on each side that the window of a mel frame covers."""
        return self.mel.n_fft // 2


@dataclass(frozen=True, kw_only=True)
class MelRVQConfig(Config):
    """Codes of mel frames by a quantizer that was fitted to music beforehand."""

    kind: Literal["mel_rvq"] = "mel_rvq"
    frames: StackedMelConfig = field(default_factory=StackedMelConfig)
    quantizer: ResidualVectorQuantizerConfig | VectorQuantizerConfig | ResidualKMeansConfig = field(
        default_factory=ResidualVectorQuantizerConfig
    )
    fitted: str = ""  # run folder of mel_rvq, or a folder in MuQ's official layout; given on the command line

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(self.quantizer.n_codebooks, self.quantizer.codebook_size)


@dataclass(frozen=True, kw_only=True)
class MelRandomProjectionConfig(Config):
    """Codes of mel frames by a random projection: nothing to fit."""

    kind: Literal["mel_random_projection"] = "mel_random_projection"
    frames: StackedMelConfig = field(default_factory=StackedMelConfig)
    quantizer: RandomProjectionConfig = field(default_factory=RandomProjectionConfig)

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(self.quantizer.n_codebooks, self.quantizer.codebook_size)


@dataclass(frozen=True, kw_only=True)
class MelFramesConfig(Config):
    """The normalised mel frames themselves, to be regressed."""

    kind: Literal["mel_frames"] = "mel_frames"
    frames: StackedMelConfig = field(default_factory=StackedMelConfig)

    @property
    def shape(self) -> ValuesShape:
        """Codes or values of a frame."""
        return ValuesShape(self.frames.dim)


class StackedMel(nn.Module):
    """Waveform -> mel frames, ``n_stacked`` of them side by side, earliest first."""

    def __init__(self, config: StackedMelConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(config.mel)

    def forward(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip frame dim"]:
        """Frames at the rate of the encoder; mel frames that fill none at the end are left out."""
        return self._stacked(self.log_mel(waveform))

    def of(self, clips: Clips) -> Float[Tensor, "clip frame dim"]:
        """Frames of clips: of the spectra that go with them, or else of their audio; the same of either."""
        return self(clips.waveform) if clips.spectra is None else self.of_decibels(clips.spectra.mel)

    def of_decibels(self, decibels: Float[Tensor, "clip mel_frame mel"]) -> Float[Tensor, "clip frame dim"]:
        """Frames of mel decibels, as ``LogMel.decibels`` gives them: the same as of the audio itself."""
        mel = self.config.mel
        return self._stacked((decibels - mel.mean_db) / mel.std_db)

    def _stacked(self, mel: Float[Tensor, "clip mel_frame mel"]) -> Float[Tensor, "clip frame dim"]:
        whole = mel.shape[1] // self.config.n_stacked * self.config.n_stacked
        frames = rearrange(
            mel[:, :whole],
            "clip (frame stacked) mel -> clip frame (stacked mel)",
            stacked=self.config.n_stacked,
        )
        return without_level(frames, self.config.level)


class MelRVQ(QuantizedFrames):
    """Codes of mel frames by residual vector quantization.

    Source:
        Mel-RVQ of MuQ, arXiv:2501.01108.
    """

    title, recipe = "Mel-RVQ", "mel_rvq"
    frames: StackedMel

    def __init__(self, config: MelRVQConfig) -> None:
        super().__init__(config, StackedMel(config.frames))

    def frames_to_quantize(self, clips: Clips) -> Float[Tensor, "clip frame dim"]:
        """Mel frames."""
        return self.frames.of(clips)


class MelRandomProjection(Target):
    """Codes of mel frames by a fixed random projection.

    Source:
        BEST-RQ, arXiv:2202.01855; for music MusicFM, arXiv:2311.03318.
    """

    def __init__(self, config: MelRandomProjectionConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.frames.grid
        self.frames = StackedMel(config.frames)
        self.quantizer = RandomProjection(config.quantizer)

    @property
    def context_samples(self) -> int:
        """Half a window."""
        return self.config.frames.context_samples

    @torch.no_grad()
    def forward(self, clips: Clips) -> Codes:
        """Codes of the clean clips."""
        return Codes(self.quantizer.encode(self.frames.of(clips)), self.config.quantizer.codebook_size)


class MelFrames(FrameValues):
    """The mel frames themselves: MuQ's optional reconstruction."""

    def __init__(self, config: MelFramesConfig) -> None:
        super().__init__(config, StackedMel(config.frames))
