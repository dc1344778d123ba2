"""GatedTransformer: self-attention between unit queries and keys, feed-forward with a gate."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, LayersFromZero, Share, Width
from solfa.features.exact import exact
from solfa.models.layers.normalization import LayerNorm

SCALE = 8.0  # of the cosine between query and key


@dataclass(frozen=True, kw_only=True)
class GatedTransformerConfig(Config):
    """Sizes of a GatedTransformer; the defaults are those of MuQ-MuLan's text tower."""

    n_layers: LayersFromZero = 8
    dim: Width = 768
    n_heads: Width = 8
    head_dim: Width = 64
    widening: Width = 4  # two thirds of it are kept, because of the gate
    attention_dropout: Share = 0.0
    feed_forward_dropout: Share = 0.0

    @property
    def feed_forward_dim(self) -> int:
        """Width between the two maps of a feed-forward."""
        return self.dim * self.widening * 2 // 3


class GatedTransformer(nn.Module):
    """Frames or words -> the same number of them, each having seen all others; without layers, as they are.

    Source:
        MuQ-MuLan, arXiv:2501.01108; gate by GELU, arXiv:2002.05202; unit queries and keys, arXiv:2010.04245.
    """

    def __init__(self, config: GatedTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(GatedTransformerLayer(config) for _ in range(config.n_layers))

    def forward(
        self, x: Float[Tensor, "clip frame dim"], padding: Bool[Tensor, "clip frame"] | None = None
    ) -> Float[Tensor, "clip frame dim"]:
        """Nothing attends to ``padding``; what stands there afterwards has no meaning."""
        for layer in self.layers:
            x = layer(x, padding)
        return x


class GatedTransformerLayer(nn.Module):
    """Attention, then feed-forward, each normalised before and with a way around it."""

    def __init__(self, config: GatedTransformerConfig) -> None:
        super().__init__()
        self.attention = CosineAttention(config)
        self.feed_forward = GatedFeedForward(config)

    def forward(
        self, x: Float[Tensor, "clip frame dim"], padding: Bool[Tensor, "clip frame"] | None
    ) -> Float[Tensor, "clip frame dim"]:
        """The next state."""
        x = x + self.attention(x, padding)
        return x + self.feed_forward(x)


class CosineAttention(nn.Module):
    """Multi-head self-attention by the cosine of query and key, each dimension scaled by a learned factor."""

    def __init__(self, config: GatedTransformerConfig) -> None:
        super().__init__()
        inner = config.n_heads * config.head_dim
        self.n_heads, self.dropout_share = config.n_heads, config.attention_dropout
        self.norm = LayerNorm(config.dim, bias=False)
        self.query = nn.Linear(config.dim, inner, bias=False)
        self.key_value = nn.Linear(config.dim, 2 * inner, bias=False)
        self.query_scale = nn.Parameter(torch.ones(config.head_dim))
        self.key_scale = nn.Parameter(torch.ones(config.head_dim))
        self.out = nn.Linear(inner, config.dim, bias=False)
        self.dropout = nn.Dropout(config.attention_dropout)

    def forward(
        self, x: Float[Tensor, "clip frame dim"], padding: Bool[Tensor, "clip frame"] | None
    ) -> Float[Tensor, "clip frame dim"]:
        """The residual."""
        x = self.norm(x)
        query, key, value = (
            rearrange(y, "clip frame (head part) -> clip head frame part", head=self.n_heads)
            for y in (self.query(x), *self.key_value(x).chunk(2, dim=-1))
        )
        query = F.normalize(exact(query), dim=-1) * self.query_scale
        key = F.normalize(exact(key), dim=-1) * self.key_scale
        audible = None if padding is None else ~padding[:, None, None, :]
        p = self.dropout_share if self.training else 0.0
        attended = F.scaled_dot_product_attention(
            query.to(value.dtype), key.to(value.dtype), value, audible, dropout_p=p, scale=SCALE
        )
        return self.dropout(self.out(rearrange(attended, "clip head frame part -> clip frame (head part)")))


class GatedFeedForward(nn.Module):
    """Widen twice, one of the two gated by the GELU of the other, narrow."""

    def __init__(self, config: GatedTransformerConfig) -> None:
        super().__init__()
        self.norm = LayerNorm(config.dim, bias=False)
        self.widen = nn.Linear(config.dim, 2 * config.feed_forward_dim, bias=False)
        self.narrow = nn.Linear(config.feed_forward_dim, config.dim, bias=False)
        self.dropout = nn.Dropout(config.feed_forward_dropout)

    def forward(self, x: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip frame dim"]:
        """The residual."""
        passed, gate = self.widen(self.norm(x)).chunk(2, dim=-1)
        return self.narrow(self.dropout(passed * F.gelu(gate)))
