"""MERTConfig, its waveform frontend and Transformer."""

from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.config import Config, Hertz, LayerNumber, Share
from solfa.errors import ArgumentError
from solfa.features import ConstantQ, ConstantQConfig
from solfa.features.filtered_power import refuse_short
from solfa.frames import FrameGrid
from solfa.models.encoder import AudioEncoder, Frontend
from solfa.models.layers.normalization import LayerNorm
from solfa.models.layers.transformer import Transformer, TransformerConfig
from solfa.models.layers.waveform import WaveformConvolutions, WaveformConvolutionsConfig

T = TypeVar("T", int, Tensor)


@dataclass(frozen=True, kw_only=True)
class MERTConfig(Config):
    """The encoder of MERT; the defaults are those of MERT-v1-95M."""

    kind: Literal["mert"] = "mert"
    sample_rate: Hertz = 24_000  # Hz
    normalize: bool = False  # each clip to mean 0 and variance 1 before all else
    convolutions: WaveformConvolutionsConfig = field(default_factory=WaveformConvolutionsConfig)
    constant_q: ConstantQConfig | None = None  # joined to the frames of the convolutions
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    projection_dropout: Share = 0.1
    default_layer: LayerNumber = -1  # that vectors are made of when nobody names one

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.constant_q is not None and self.constant_q.grid != self.grid:
            raise ArgumentError(
                f"The constant-Q frames ({self.constant_q.grid}) must lie where those of the convolutions do "
                f"({self.grid}): give both the same sample_rate and hop_length."
            )

    @property
    def grid(self) -> FrameGrid:
        """Where hidden states lie."""
        return FrameGrid(self.sample_rate, self.convolutions.hop_length)


class WaveformFrontend(Frontend):
    """Waveform -> convolutions, beside them constant-Q magnitudes if so configured -> projection."""

    def __init__(self, config: MERTConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.grid
        self.convolutions = WaveformConvolutions(config.convolutions)
        self.constant_q = None if config.constant_q is None else ConstantQ(config.constant_q)
        n_values = config.convolutions.n_channels
        n_values += 0 if config.constant_q is None else config.constant_q.n_bins
        self.norm = LayerNorm(n_values, config.transformer.norm_eps)
        self.projection = nn.Linear(n_values, config.transformer.dim)
        self.dropout = nn.Dropout(config.projection_dropout)

    def n_frames(self, n_samples: T) -> T:
        """Frames that lie wholly in a clip of ``n_samples``; one fewer than hops, mostly."""
        return self.convolutions.n_frames(n_samples)

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"] | None]:
        """Frames, and how many of each clip hold audio; None: all of them.

        Raises:
            ValueError: a clip is shorter than one frame (400 samples).
        """
        waveform, lengths = self.prepared(waveform, lengths)
        return self.joined(self.convolutions(waveform, lengths), waveform, lengths)

    def prepared(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip sample"], Int[Tensor, " clip"] | None]:
        """Input of the convolutions; errors as of ``forward``."""
        lengths = None if lengths is None else lengths.to(waveform.device)
        refuse_short(waveform, lengths, self.config.convolutions.shortest, self.config.sample_rate)
        return (standardize(waveform, lengths) if self.config.normalize else waveform), lengths

    def joined(
        self,
        features: Float[Tensor, "clip frame channel"],
        waveform: Float[Tensor, "clip sample"],
        lengths: Int[Tensor, " clip"] | None = None,
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"] | None]:
        """Output of the convolutions, beside constant-Q magnitudes if there are any, as frames."""
        if self.constant_q is not None:
            magnitudes = self.constant_q(waveform, lengths)[:, : features.shape[1]]
            features = torch.cat([features, magnitudes], dim=2)
        n_frames = None if lengths is None else self.n_frames(lengths)
        return self.dropout(self.projection(self.norm(features))), n_frames


class MERT(AudioEncoder):
    """Self-supervised music encoder: convolutions on the waveform, Transformer.

    Source:
        MERT, arXiv:2306.00107.
    """

    def __init__(self, config: MERTConfig, license: str = "") -> None:
        super().__init__(WaveformFrontend(config), Transformer(config.transformer), license)
        self.config: MERTConfig = config


def standardize(
    waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
) -> Float[Tensor, "clip sample"]:
    """Each clip with mean 0 and variance 1 over its own samples; what lies beyond its end becomes zero."""
    position = torch.arange(waveform.shape[1], device=waveform.device)[None]
    n = waveform.shape[1] if lengths is None else lengths[:, None]
    inside = position < n
    waveform = waveform.where(inside, 0)
    centred = (waveform - waveform.sum(1, keepdim=True) / n).where(inside, 0)
    variance = centred.square().sum(1, keepdim=True) / n
    return centred / (variance + 1e-7).sqrt()
