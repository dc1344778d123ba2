"""MuQConfig, its mel frontend and Conformer."""

from dataclasses import dataclass, field
from math import prod
from typing import Literal, TypeVar

from jaxtyping import Float, Int
from torch import Tensor

from solfa.config import Config, LayerNumber
from solfa.features import LogMel, LogMelConfig
from solfa.frames import FrameGrid
from solfa.models.encoder import AudioEncoder, Frontend
from solfa.models.layers.conformer import Conformer, ConformerConfig
from solfa.models.layers.convolution import ConvStem, ConvStemConfig

T = TypeVar("T", int, Tensor)


@dataclass(frozen=True, kw_only=True)
class MuQConfig(Config):
    """The encoder of MuQ; the defaults are those of the published large model."""

    kind: Literal["muq"] = "muq"
    mel: LogMelConfig = field(default_factory=LogMelConfig)
    stem: ConvStemConfig = field(default_factory=ConvStemConfig)
    conformer: ConformerConfig = field(default_factory=ConformerConfig)
    default_layer: LayerNumber = -1  # that vectors are made of when nobody names one

    @property
    def grid(self) -> FrameGrid:
        """Where hidden states lie: the mel grid, thinned by the stem."""
        return FrameGrid(self.mel.sample_rate, self.mel.hop_length * prod(self.stem.time_strides))


class MelFrontend(Frontend):
    """Waveform -> normalised mel frames -> convolution stem."""

    def __init__(self, config: MuQConfig) -> None:
        super().__init__()
        self.grid = config.grid
        self.log_mel = LogMel(config.mel)
        self.stem = ConvStem(config.stem, config.mel.n_mels, config.conformer.dim)

    def n_frames(self, n_samples: T) -> T:
        """Frames that lie wholly in a clip of ``n_samples``; one more is given for what is left over."""
        return n_samples // self.grid.hop_length

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"] | None]:
        """Frames, and how many of each clip hold audio; None: all of them."""
        mel = self.log_mel(waveform, lengths)
        return self.stem(mel, None if lengths is None else self.log_mel.n_frames(lengths.to(mel.device)))


class MuQ(AudioEncoder):
    """Self-supervised music encoder: log-mel, convolution stem, rotary Conformer.

    Source:
        MuQ, arXiv:2501.01108.
    """

    def __init__(self, config: MuQConfig, license: str = "") -> None:
        super().__init__(MelFrontend(config), Conformer(config.conformer), license)
        self.config: MuQConfig = config
