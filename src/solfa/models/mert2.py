"""MERT2Config, its mel frontend of ConvNeXt stages and its Conformer."""

from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, ConfigError, LayerNumber, Layers, Positive, Width
from solfa.features import LogMel, LogMelConfig
from solfa.features.exact import exact
from solfa.frames import FrameGrid
from solfa.models.encoder import AudioEncoder, Context, Frontend, HiddenStates, padding_mask
from solfa.models.layers.normalization import LayerNorm
from solfa.models.layers.places import at_places, taken
from solfa.models.layers.rotary import rotary_angles, rotate

T = TypeVar("T", int, Tensor)
LEAST_STD = 1e-5  # of a mel band: smaller ones count as it
POSITION_FRAMES = 7  # kernel of the depthwise convolutions of a stage


@dataclass(frozen=True, kw_only=True)
class MERT2Config(Config):
    """The encoder of MERT-v2; the defaults are those of both published models."""

    kind: Literal["mert2"] = "mert2"
    mel: LogMelConfig = field(default_factory=LogMelConfig)  # decibels; each band has statistics of its own
    stage_dims: tuple[Width, ...] = (128, 512, 1024)  # each stage but the first halves the frame rate
    stage_layers: tuple[Layers, ...] = (3, 4, 5)
    n_layers: Layers = 24
    dim: Width = 1024
    feed_forward_dim: Width = 4096
    n_heads: Width = 16
    kernel_frames: Width = 31  # odd: of the depthwise convolution
    rotary_base: Positive = 10_000.0
    norm_eps: Positive = 1e-5
    stage_norm_eps: Positive = 1e-6
    default_layer: LayerNumber = -1  # that vectors are made of when nobody names one

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.stage_dims) != len(self.stage_layers) or not self.stage_dims:
            raise ConfigError("stage_dims and stage_layers name the same stages: give as many of both.")
        if self.stage_dims[0] != self.mel.n_mels or self.stage_dims[-1] != self.dim:
            raise ConfigError(
                f"stage_dims is {self.stage_dims}; it begins with {self.mel.n_mels}, n_mels, and ends with "
                f"{self.dim}, dim."
            )
        if self.dim % self.n_heads or (self.dim // self.n_heads) % 2:
            raise ConfigError(f"dim {self.dim} does not split into {self.n_heads} heads of even width.")

    @property
    def grid(self) -> FrameGrid:
        """Where hidden states lie: the mel grid, halved by each stage but the first."""
        return FrameGrid(self.mel.sample_rate, self.mel.hop_length * 2 ** (len(self.stage_dims) - 1))


class Standardized(nn.Module):
    """Decibels of mel bands -> each band by the mean and deviation that the weights bring along."""

    mel_mean: Tensor
    mel_std: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("mel_mean", torch.zeros(n_mels))
        self.register_buffer("mel_std", torch.ones(n_mels))

    def forward(self, decibels: Float[Tensor, "clip frame mel"]) -> Float[Tensor, "clip frame mel"]:
        """Standardised bands."""
        return (decibels - exact(self.mel_mean)) / exact(self.mel_std).clamp(min=LEAST_STD)


class StageFrontend(Frontend):
    """Waveform -> standardised mel bands -> stages of ConvNeXt blocks."""

    def __init__(self, config: MERT2Config) -> None:
        super().__init__()
        self.grid = config.grid
        self.log_mel = LogMel(config.mel)
        self.statistics = Standardized(config.mel.n_mels)
        narrower = (None, *config.stage_dims[:-1])
        sizes = zip(narrower, config.stage_dims, config.stage_layers, strict=True)
        self.stages = nn.ModuleList(Stage(*of_one, eps=config.stage_norm_eps) for of_one in sizes)

    def n_frames(self, n_samples: T) -> T:
        """Frames of a clip of ``n_samples``: a half frame at its end is dropped by each halving."""
        return self.log_mel.n_frames(n_samples) // 2 ** (len(self.stages) - 1)

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"] | None]:
        """Frames, and how many of each clip hold audio; None: all of them."""
        frames = self.statistics(self.log_mel.decibels(waveform, lengths))
        n_frames = None if lengths is None else self.log_mel.n_frames(lengths.to(frames.device))
        for stage in self.stages:
            frames, n_frames = stage(frames, n_frames)
        return frames, n_frames


class Stage(nn.Module):
    """Halves the frame rate unless it is the first, then mixes neighbouring frames.

    Source:
        ConvNeXt V2, arXiv:2301.00808, along time, as MERT-v2 uses it.
    """

    def __init__(self, narrow: int | None, wide: int, n_layers: int, *, eps: float) -> None:
        super().__init__()
        self.norm = None if narrow is None else LayerNorm(narrow, eps)
        self.halve = None if narrow is None else nn.Conv1d(narrow, wide, kernel_size=2, stride=2)
        self.blocks = nn.ModuleList(StageBlock(wide, eps) for _ in range(n_layers))

    def forward(
        self, frames: Float[Tensor, "clip frame dim"], n_frames: Int[Tensor, " clip"] | None
    ) -> tuple[Float[Tensor, "clip fewer wide"], Int[Tensor, " clip"] | None]:
        """Frames of the next stage, and how many of each clip hold audio."""
        if self.norm is not None and self.halve is not None:
            frames = self.halve(self.norm(frames).transpose(1, 2)).transpose(1, 2)
            n_frames = None if n_frames is None else n_frames // 2
        gap = None if n_frames is None else padding_mask(n_frames, frames.shape[1])
        for block in self.blocks:
            frames = block(_without(frames, gap), gap)
        return _without(frames, gap), n_frames


class StageBlock(nn.Module):
    """Depthwise convolution along time, then widen, GELU, normalise the responses, narrow."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, POSITION_FRAMES, padding=POSITION_FRAMES // 2, groups=dim)
        self.norm = LayerNorm(dim, eps)
        self.widen = nn.Linear(dim, 4 * dim)
        self.responses = ResponseNorm(4 * dim, eps)
        self.narrow = nn.Linear(4 * dim, dim)

    def forward(
        self, frames: Float[Tensor, "clip frame dim"], gap: Bool[Tensor, "clip frame"] | None
    ) -> Float[Tensor, "clip frame dim"]:
        """The next frames; the kernel finds zeros beyond a clip's end, as when the clip is alone."""
        along_time = self.depthwise(frames.transpose(1, 2)).transpose(1, 2)
        wide = F.gelu(self.widen(self.norm(along_time)))
        return frames + self.narrow(self.responses(_without(wide, gap)))


class ResponseNorm(nn.Module):
    """Each channel by its strength over the whole clip, relative to that of the others.

    The one place where a frame depends on all others before attention does: padding must be zero here, and a
    clip that is cut into windows has other frames than the whole.
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip frame dim"]:
        """Input with its responses contrasted; it is the identity before training."""
        # The length of a channel's whole course, over the mean of all channels' lengths, says how much it
        # stands out. The root of zero has no slope, so that silence is kept away from it.
        energy = exact(x).square().sum(1, keepdim=True)
        length = energy.clamp(min=torch.finfo(energy.dtype).tiny).sqrt().where(energy > 0, 0)
        relative = length / (length.mean(2, keepdim=True) + self.eps)
        return exact(self.weight) * (x * relative) + exact(self.bias) + x


class MERT2Conformer(Context):
    """Frames -> hidden states: state ``k`` is what leaves block ``k``; nothing is normalised beyond the last.

    The published program numbers from 0, so that its ``hidden_states[0]`` is state 1 here; state 0, what
    enters the first block, it does not give.

    Source:
        Conformer, arXiv:2005.08100, with rotary positions, arXiv:2104.09864, turned after the projections.
    """

    def __init__(self, config: MERT2Config) -> None:
        super().__init__()
        self.config, self.n_layers, self.dim = config, config.n_layers, config.dim
        self.layers = nn.ModuleList(MERT2Layer(config) for _ in range(config.n_layers))

    def forward(
        self,
        frames: Float[Tensor, "clip frame dim"],
        n_frames: Int[Tensor, " clip"] | None,
        highest: int | None = None,
        places: Int[Tensor, "clip frame"] | None = None,
    ) -> HiddenStates:
        """Hidden states; frames beyond a clip's end are neither seen nor given."""
        gap = None if n_frames is None else padding_mask(n_frames, frames.shape[1])
        states = [_without(exact(frames), gap)]
        head_dim = self.dim // self.config.n_heads
        rotation = rotary_angles(frames.shape[1], head_dim, self.config.rotary_base, states[0], places)
        for layer in self.layers[:highest]:
            states.append(_without(layer(states[-1], rotation, gap, places), gap))
        return HiddenStates.of(states, n_frames)


class MERT2Layer(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, normalisation."""

    def __init__(self, config: MERT2Config) -> None:
        super().__init__()
        self.feed_forward_in = FeedForward(config)
        self.attention = TurnedAttention(config)
        self.convolution = GatedConvolution(config)
        self.feed_forward_out = FeedForward(config)
        self.norm = LayerNorm(config.dim, config.norm_eps)

    def forward(
        self,
        x: Float[Tensor, "clip frame dim"],
        rotation: Float[Tensor, "2 *_ frame half"],
        gap: Bool[Tensor, "clip frame"] | None,
        places: Int[Tensor, "clip frame"] | None,
    ) -> Float[Tensor, "clip frame dim"]:
        """The next hidden state."""
        x = x + 0.5 * self.feed_forward_in(x)
        x = x + self.attention(x, rotation, gap)
        x = x + self.convolution(x, gap, places)
        x = x + 0.5 * self.feed_forward_out(x)
        return self.norm(x)


class FeedForward(nn.Module):
    """Normalise, widen, GELU, narrow."""

    def __init__(self, config: MERT2Config) -> None:
        super().__init__()
        self.norm = LayerNorm(config.dim, config.norm_eps)
        self.widen = nn.Linear(config.dim, config.feed_forward_dim)
        self.narrow = nn.Linear(config.feed_forward_dim, config.dim)

    def forward(self, x: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip frame dim"]:
        """The residual to be halved and added."""
        return self.narrow(F.gelu(self.widen(self.norm(x))))


class TurnedAttention(nn.Module):
    """Multi-head self-attention; queries and keys are turned by their positions."""

    def __init__(self, config: MERT2Config) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.norm = LayerNorm(config.dim, config.norm_eps)
        self.query = nn.Linear(config.dim, config.dim)
        self.key = nn.Linear(config.dim, config.dim)
        self.value = nn.Linear(config.dim, config.dim)
        self.out = nn.Linear(config.dim, config.dim)

    def forward(
        self,
        x: Float[Tensor, "clip frame dim"],
        rotation: Float[Tensor, "2 *_ frame half"],
        gap: Bool[Tensor, "clip frame"] | None,
    ) -> Float[Tensor, "clip frame dim"]:
        """The residual; no frame attends to padding."""
        x = self.norm(x)
        query, key = (rotate(y, rotation, self.n_heads) for y in (self.query(x), self.key(x)))
        query, key, value = (
            rearrange(y, "clip frame (head part) -> clip head frame part", head=self.n_heads)
            for y in (query, key, self.value(x))
        )
        audible = None if gap is None else ~gap[:, None, None, :]
        attended = F.scaled_dot_product_attention(query, key, value, audible)
        return self.out(rearrange(attended, "clip head frame part -> clip frame (head part)"))


class GatedConvolution(nn.Module):
    """Gated pointwise convolution, depthwise convolution in time, normalisation, GELU, pointwise."""

    def __init__(self, config: MERT2Config) -> None:
        super().__init__()
        dim, taps = config.dim, config.kernel_frames
        self.norm = LayerNorm(dim, config.norm_eps)
        self.gated = nn.Linear(dim, 2 * dim, bias=False)
        self.depthwise = nn.Conv1d(dim, dim, taps, padding=taps // 2, groups=dim, bias=False)
        self.depthwise_norm = LayerNorm(dim, config.norm_eps)
        self.mix = nn.Linear(dim, dim, bias=False)

    def forward(
        self,
        x: Float[Tensor, "clip frame dim"],
        gap: Bool[Tensor, "clip frame"] | None,
        places: Int[Tensor, "clip frame"] | None,
    ) -> Float[Tensor, "clip frame dim"]:
        """The residual; the kernel finds zeros beyond a clip's end, as when the clip is alone."""
        gated = _without(F.glu(self.gated(self.norm(x)), dim=-1), gap)
        heard = gated if places is None else at_places(gated, places)
        along_time = self.depthwise(heard.transpose(1, 2)).transpose(1, 2)
        along_time = along_time if places is None else taken(along_time, places)
        return self.mix(F.gelu(self.depthwise_norm(along_time)))


class MERT2(AudioEncoder):
    """Music encoder: ConvNeXt stages on mel bands, rotary Conformer at 25 Hz.

    Source:
        MERT-v2, whose report has not appeared; by the settings, names and shapes of its published weights.
    """

    def __init__(self, config: MERT2Config, license: str = "") -> None:
        super().__init__(StageFrontend(config), MERT2Conformer(config), license)
        self.config: MERT2Config = config


def _without(
    x: Float[Tensor, "clip frame dim"], gap: Bool[Tensor, "clip frame"] | None
) -> Float[Tensor, "clip frame dim"]:
    """Zero where there is no audio."""
    return x if gap is None else x.masked_fill(gap[..., None], 0)
