"""Transformer: self-attention and feed-forward, with positions from a convolution over frames."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, Finite, Layers, Positive, Share, Width
from solfa.errors import ArgumentError
from solfa.features.exact import exact
from solfa.models.encoder import Context, HiddenStates, padding_mask
from solfa.models.layers.normalization import LayerNorm
from solfa.models.layers.places import at_places, taken


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(Config):
    """Sizes of a Transformer; the defaults are those of MERT-v1-95M."""

    n_layers: Layers = 12
    dim: Width = 768
    feed_forward_dim: Width = 3072
    n_heads: Width = 12
    position_kernel_frames: Width = 128
    position_groups: Width = 16
    norm: Literal["after", "before", "deep"] = "after"  # of each part; deep: after, with a stronger residual
    norm_eps: Positive = 1e-5
    attention_relax: Finite | None = None  # logits are that much smaller until they are float32; None: not
    dropout: Share = 0.1  # of inputs and outputs
    attention_dropout: Share = 0.1  # of attention weights
    activation_dropout: Share = 0.0  # inside the feed-forward

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % self.n_heads or self.dim % self.position_groups:
            raise ArgumentError(
                f"dim {self.dim} does not split into {self.n_heads} heads and {self.position_groups} "
                "position groups. Choose numbers that divide it."
            )
        if self.attention_relax is not None and self.attention_relax <= 0:
            raise ArgumentError("attention_relax must be above zero (MERT: 32), or null for none.")


class Transformer(Context):
    """Frames -> hidden states.

    State 0 is what enters the first layer, state ``k`` what leaves layer ``k``. With normalisation before
    each part they are the residual stream, and only the last state is normalised, as in the published MERT.

    Source:
        HuBERT, arXiv:2106.07447, and MERT, arXiv:2306.00107; DeepNorm, arXiv:2203.00555.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.n_layers, self.dim = config.n_layers, config.dim
        self.positions = PositionalConvolution(
            config.dim, config.position_kernel_frames, config.position_groups
        )
        self.norm = LayerNorm(config.dim, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.n_layers))

    def forward(
        self,
        frames: Float[Tensor, "clip frame dim"],
        n_frames: Int[Tensor, " clip"] | None,
        highest: int | None = None,
        places: Int[Tensor, "clip frame"] | None = None,
    ) -> HiddenStates:
        """Hidden states; frames beyond a clip's end are neither seen nor given."""
        gap = None if n_frames is None else padding_mask(n_frames, frames.shape[1])
        norm_is_last = self.config.norm == "before"
        # What layers add to stays float32 under any autocast: half precision would round it each time.
        x = _without(exact(frames), gap)
        around = self.positions(x) if places is None else taken(self.positions(at_places(x, places)), places)
        x = x + around
        x = self.dropout(x if norm_is_last else self.norm(x))
        states = [_without(x, gap)]
        for layer in self.layers[:highest]:
            states.append(_without(layer(states[-1], gap), gap))
        if norm_is_last and len(states) > self.n_layers:
            states[-1] = _without(self.norm(states[-1]), gap)
        return HiddenStates.of(states, n_frames)


class PositionalConvolution(nn.Module):
    """Frames -> what their neighbourhood says about where they are; its kernel is length times direction.

    Source:
        wav2vec 2.0, arXiv:2006.11477; weight normalisation, arXiv:1602.07868, one length for each tap.
    """

    def __init__(self, dim: int, kernel_frames: int, n_groups: int) -> None:
        super().__init__()
        self.n_groups = n_groups
        direction = torch.randn(dim, dim // n_groups, kernel_frames) * math.sqrt(4 / (kernel_frames * dim))
        self.direction = nn.Parameter(direction)
        self.length = nn.Parameter(direction.norm(dim=(0, 1), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, frames: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip frame dim"]:
        """To be added to the frames; beyond both ends the kernel finds zeros."""
        direction = exact(self.direction)
        kernel = direction * (exact(self.length) / direction.norm(dim=(0, 1), keepdim=True))
        along_time, bias = frames.transpose(1, 2).to(kernel.dtype), exact(self.bias)
        # On processors with matrix units (AMX), oneDNN's bfloat16 convolution of groups of 8 channels gives
        # wrong numbers (seen with PyTorch 2.13), so on the CPU it stays in float32.
        with torch.autocast("cpu", enabled=False):
            around = F.conv1d(along_time, kernel, bias, padding=kernel.shape[2] // 2, groups=self.n_groups)
        return F.gelu(around[..., : frames.shape[1]]).transpose(1, 2)  # an even kernel gives one too many


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward, each with a way around it and a normalisation."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm_is_before = config.norm == "before"
        self.residual_scale = (2 * config.n_layers) ** 0.25 if config.norm == "deep" else 1.0
        self.attention = Attention(config)
        self.attention_norm = LayerNorm(config.dim, config.norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = LayerNorm(config.dim, config.norm_eps)
        self._start_small(0.02, (8 * config.n_layers) ** -0.25 if config.norm == "deep" else 1.0)

    def _start_small(self, std: float, deep_gain: float) -> None:
        """Random weights as in BERT; DeepNorm scales those on the way from values to the output."""
        deep = {self.attention.value, self.attention.out, self.feed_forward.widen, self.feed_forward.narrow}
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=std * (deep_gain if module in deep else 1.0))
                nn.init.zeros_(module.bias)

    def forward(
        self, x: Float[Tensor, "clip frame dim"], padding: Bool[Tensor, "clip frame"] | None
    ) -> Float[Tensor, "clip frame dim"]:
        """The next hidden state."""
        if self.norm_is_before:
            x = x + self.attention(self.attention_norm(x), padding)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(self.residual_scale * x + self.attention(x, padding))
        return self.feed_forward_norm(self.residual_scale * x + self.feed_forward(x))


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.n_heads, self.relax = config.n_heads, config.attention_relax
        self.query = nn.Linear(config.dim, config.dim)
        self.key = nn.Linear(config.dim, config.dim)
        self.value = nn.Linear(config.dim, config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.weight_dropout = nn.Dropout(config.attention_dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "clip frame dim"], padding: Bool[Tensor, "clip frame"] | None
    ) -> Float[Tensor, "clip frame dim"]:
        """The residual; no frame attends to padding."""
        query, key, value = (
            rearrange(y, "clip frame (head part) -> clip head frame part", head=self.n_heads)
            for y in (self.query(x), self.key(x), self.value(x))
        )
        audible = None if padding is None else ~padding[:, None, None, :]
        # Half precision alone needs relaxing. Without it, and without dropout, the matrix of weights need not
        # exist: 16 heads of 30 s of MERT have 324 MB of it.
        if self.relax is None or (query.dtype == torch.float32 and not self.training):
            p = self.weight_dropout.p if self.training else 0.0
            attended = F.scaled_dot_product_attention(query, key, value, audible, dropout_p=p)
        else:
            weights = relaxed_attention(query, key, audible, self.relax)
            attended = self.weight_dropout(weights.to(value.dtype)) @ value
        return self.dropout(self.out(rearrange(attended, "clip head frame part -> clip frame (head part)")))


class FeedForward(nn.Module):
    """Widen, GELU, narrow."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(config.dim, config.feed_forward_dim)
        self.narrow = nn.Linear(config.feed_forward_dim, config.dim)
        self.activation_dropout = nn.Dropout(config.activation_dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip frame dim"]:
        """The residual."""
        return self.dropout(self.narrow(self.activation_dropout(F.gelu(self.widen(x)))))


def relaxed_attention(
    query: Float[Tensor, "clip head frame part"],
    key: Float[Tensor, "clip head frame part"],
    audible: Bool[Tensor, "clip 1 1 frame"] | None,
    relax: float,
) -> Float[Tensor, "clip head frame frame"]:
    """Attention weights in float32 whose logits cannot overflow half precision.

    They are computed ``relax`` times too small, moved so that each row's largest is zero, and only then
    enlarged, in float32. Mathematically the weights are those of plain attention.

    Source:
        Attention relaxation of MERT, arXiv:2306.00107.
    """
    logits = (query / (relax * math.sqrt(query.shape[-1]))) @ key.transpose(2, 3)
    if audible is not None:
        logits = logits.masked_fill(~audible, -torch.inf)
    logits = exact(logits)
    return ((logits - logits.amax(-1, keepdim=True)) * relax).softmax(-1)


def _without(
    x: Float[Tensor, "clip frame dim"], padding: Bool[Tensor, "clip frame"] | None
) -> Float[Tensor, "clip frame dim"]:
    """Zero where there is no audio."""
    return x if padding is None else x.masked_fill(padding[..., None], 0)
