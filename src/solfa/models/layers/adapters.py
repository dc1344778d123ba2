"""PooledAdapter, ResidualAdapter: small networks on what frozen models say, of clips and of sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn

from solfa.config import Between, Config, LayerNumber, Width
from solfa.errors import ArgumentError
from solfa.models.encoder import HiddenStates
from solfa.models.layers.pooling import mean_and_deviation

Dropout = Annotated[float, Between(0.0, 0.9)]  # share of numbers that are zero in training
START_NOISE = 1e-2  # of the last map of a residual adapter: at first a sentence stays nearly as it is


@dataclass(frozen=True, kw_only=True)
class PooledAdapterConfig(Config):
    """Mean and deviation over time of several layers, and a hidden layer on them."""

    layers: tuple[LayerNumber, ...] = (0, -1)  # of the encoder, side by side
    hidden_dim: Width = 384
    dropout: Dropout = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.layers:
            raise ArgumentError("A pooled adapter reads no layer. Name some: layers=[0,-1].")


@dataclass(frozen=True, kw_only=True)
class ResidualAdapterConfig(Config):
    """A hidden layer whose answer is added to what comes in."""

    hidden_dim: Width = 384
    dropout: Dropout = 0.2


class PooledAdapter(nn.Module):
    """Pooled hidden states -> what a hidden layer makes of them, each dimension standardised first.

    Args:
        config: which layers, and how wide.
        encoder_dim: of one layer.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: PooledAdapterConfig, encoder_dim: int) -> None:
        super().__init__()
        self.config = config
        self.pooled_dim = 2 * len(config.layers) * encoder_dim
        self.register_buffer("mean", torch.zeros(self.pooled_dim))
        self.register_buffer("deviation", torch.ones(self.pooled_dim))
        self.hidden = nn.Linear(self.pooled_dim, config.hidden_dim)
        self.dropout = nn.Dropout(config.dropout)

    @torch.no_grad()
    def fit(self, pooled: Float[Tensor, "clip pooled"]) -> None:
        """Take mean and deviation of each dimension from some clips, two at least."""
        deviation = pooled.std(0, unbiased=False)
        self.mean.copy_(pooled.mean(0))
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, pooled: Float[Tensor, "clip pooled"]) -> Float[Tensor, "clip hidden"]:
        """The hidden layer."""
        standard = (pooled.float() - self.mean) / self.deviation
        return nn.functional.gelu(self.dropout(self.hidden(self.dropout(standard))))


class ResidualAdapter(nn.Module):
    """Vectors -> the same, changed by a hidden layer; at first hardly."""

    def __init__(self, config: ResidualAdapterConfig, dim: int) -> None:
        super().__init__()
        self.hidden, self.change = nn.Linear(dim, config.hidden_dim), nn.Linear(config.hidden_dim, dim)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.change.weight, std=START_NOISE / config.hidden_dim**0.5)
        nn.init.zeros_(self.change.bias)

    def forward(self, vectors: Float[Tensor, "text dim"]) -> Float[Tensor, "text dim"]:
        """The changed vectors."""
        return vectors + self.change(nn.functional.gelu(self.hidden(self.dropout(vectors))))


def pool_layers(hidden: HiddenStates) -> Float[Tensor, "clip pooled"]:
    """Mean and deviation over the frames that are audio, of each layer, side by side."""
    return torch.cat([mean_and_deviation(states, ~hidden.padding) for states in hidden.states], dim=1)


def take_layers(
    pooled: Float[Tensor, "clip pooled"], there: Sequence[int], wanted: Sequence[int]
) -> Float[Tensor, "clip wanted"]:
    """Of pooled layers side by side, some.

    Args:
        pooled: as ``pool_layers`` gives it.
        there: numbers of its layers, in their order.
        wanted: those to take, in this order; all of them are there.
    """
    if tuple(there) == tuple(wanted):
        return pooled
    parts = pooled.chunk(len(there), dim=1)
    return torch.cat([parts[list(there).index(number)] for number in wanted], dim=1)
