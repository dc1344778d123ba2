"""CQTRVQ, LogCQTFrames: constant-Q frames whose level is taken away, as codes and as they are."""

from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from solfa.config import Config, Positive
from solfa.data.clips import Clips
from solfa.features import LogConstantQ, LogConstantQConfig
from solfa.frames import FrameGrid
from solfa.targets.base import CodesShape, ValuesShape
from solfa.targets.frame_values import FrameValues
from solfa.targets.level import Level, without_level
from solfa.targets.quantized_frames import QuantizedFrames
from solfa.targets.quantizer import ResidualVectorQuantizerConfig
from solfa.targets.residual_kmeans import ResidualKMeansConfig


@dataclass(frozen=True, kw_only=True)
class CQTLevelFramesConfig(Config):
    """Log-CQT frames, in units of ``scale_db``, as a quantizer is given them."""

    log_cqt: LogConstantQConfig = field(default_factory=LogConstantQConfig)
    scale_db: Positive = 20.0  # decibels that count as one
    level: Level = "removed"

    @property
    def dim(self) -> int:
        """Width of a frame."""
        return self.log_cqt.constant_q.n_bins

    @property
    def grid(self) -> FrameGrid:
        """Where the frames lie."""
        return self.log_cqt.grid

    @property
    def context_samples(self) -> int:
        """Half of the longest kernel."""
        return self.log_cqt.constant_q.kernel_samples(0) // 2 + 1


@dataclass(frozen=True, kw_only=True)
class CQTRVQConfig(Config):
    """Codes of log-CQT frames by a quantizer that was fitted to music beforehand."""

    kind: Literal["cqt_rvq"] = "cqt_rvq"
    frames: CQTLevelFramesConfig = field(default_factory=CQTLevelFramesConfig)
    quantizer: ResidualKMeansConfig | ResidualVectorQuantizerConfig = field(
        default_factory=lambda: ResidualKMeansConfig(dim=252, codebook_size=256)
    )
    fitted: str = ""  # run folder of cqt_rvq_small; given on the command line

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(self.quantizer.n_codebooks, self.quantizer.codebook_size)


@dataclass(frozen=True, kw_only=True)
class LogCQTFramesConfig(Config):
    """Those frames themselves, to be regressed: a teacher of notes that stored spectra can give, too."""

    kind: Literal["log_cqt_frames"] = "log_cqt_frames"
    frames: CQTLevelFramesConfig = field(default_factory=CQTLevelFramesConfig)

    @property
    def shape(self) -> ValuesShape:
        """Codes or values of a frame."""
        return ValuesShape(self.frames.dim)


class CQTLevelFrames(nn.Module):
    """Waveform, or decibels that were stored -> log-CQT frames for a quantizer."""

    def __init__(self, config: CQTLevelFramesConfig) -> None:
        super().__init__()
        self.config = config
        self.log_cqt = LogConstantQ(config.log_cqt)

    def forward(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip frame bin"]:
        """Frames of audio."""
        return self.of_decibels(self.log_cqt(waveform))

    def of(self, clips: Clips) -> Float[Tensor, "clip frame bin"]:
        """Frames of clips: of the spectra that go with them, or else of their audio; the same of either."""
        return self(clips.waveform) if clips.spectra is None else self.of_decibels(clips.spectra.cqt)

    def of_decibels(self, decibels: Float[Tensor, "clip frame bin"]) -> Float[Tensor, "clip frame bin"]:
        """Frames of constant-Q decibels."""
        return without_level(decibels / self.config.scale_db, self.config.level)


class CQTRVQ(QuantizedFrames):
    """Codes of log-CQT frames by residual quantization, a bin being a third of a semitone.

    Kernels of low notes reach far to each side, into what an encoder may see: predict such codes only well
    inside hidden spans (``PredictionConfig.margin_seconds``).

    Source:
        Ours; constant-Q as a musical teacher after MERT, arXiv:2306.00107, codes after MuQ, arXiv:2501.01108.
    """

    title, recipe = "CQT-RVQ", "cqt_rvq_small"
    frames: CQTLevelFrames

    def __init__(self, config: CQTRVQConfig) -> None:
        super().__init__(config, CQTLevelFrames(config.frames))

    def frames_to_quantize(self, clips: Clips) -> Float[Tensor, "clip frame dim"]:
        """Log-CQT frames."""
        return self.frames.of(clips)


class LogCQTFrames(FrameValues):
    """Log-CQT frames to regress: decibels, in units of ``scale_db``, about the level of the clip.

    Source:
        Constant-Q as a musical teacher: MERT, arXiv:2306.00107. Departs from it: decibels in place of
        magnitudes, 36 bins an octave, centred frames, and no level.
    """

    def __init__(self, config: LogCQTFramesConfig) -> None:
        super().__init__(config, CQTLevelFrames(config.frames))
