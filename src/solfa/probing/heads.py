"""Many heads as one: their weights are stacked along a leading axis, and trained by one batched product.

A head answers as if it were alone: no product mixes two heads, and each has its own learning rate. Heads are
stacked where they see the same rows, start from the same draws and drop the same units, so that they differ
in their rates only: then the rows stand in memory once, and the weights that are at work fit into the cache.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

BETAS, EPS = (0.9, 0.999), 1e-8  # Adam's, as in PyTorch
Weights = dict[str, Float[Tensor, "head ..."]]


@dataclass(frozen=True)
class Head:
    """A head of the grid: which layers it reads, how fast it learns, and its draws."""

    layer: int | str  # number of a layer, WEIGHTED or CONCATENATED
    lr: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of what a head reads, holds and answers."""

    dim: int  # numbers of a layer in a row: a state, or what a readout puts side by side
    state_dim: int  # of them, those of a single state; a mix of all layers side by side is so wide
    hidden_dim: int  # units of the one hidden layer
    n_outputs: int  # logits


WEIGHTED = "weighted"  # learned sum of all layers, weights from a softmax
CONCATENATED = "concatenated"  # all layers side by side, brought to the width of one state by a linear layer


def head_kind(head: Head) -> str:
    """Heads of a kind can be stacked."""
    return head.layer if isinstance(head.layer, str) else "single"


class Heads:
    """Heads that read the same rows: of one layer, or one kind of mix, and of one seed.

    Args:
        heads: they differ in their learning rates.
        layers: numbers of the layers in the features, in their order.
        sizes: of what they read, hold and answer.
        dropout: of hidden units while training.
        device: where they compute; they begin with the same weights on all.
    """

    def __init__(
        self,
        heads: Sequence[Head],
        layers: Sequence[int],
        sizes: Sizes,
        *,
        dropout: float,
        device: torch.device | None = None,
    ) -> None:
        first = heads[0]
        assert all((head.layer, head.seed) == (first.layer, first.seed) for head in heads)
        self.heads, self.kind, self.seed, self.dropout = list(heads), head_kind(first), first.seed, dropout
        self.place = layers.index(first.layer) if isinstance(first.layer, int) else 0
        start = initial_weights(self.kind, len(layers), sizes, self.seed)
        self.weights: Weights = {
            name: torch.stack([value] * len(heads)).to(device).requires_grad_()
            for name, value in start.items()
        }

    def __len__(self) -> int:
        return len(self.heads)

    def logits(
        self,
        features: Float[Tensor, "layer row dim"],
        kept: Float[Tensor, "row hidden"] | None = None,
    ) -> Float[Tensor, "head row output"]:
        """Logits of each head; ``kept`` multiplies the hidden units."""
        weights = self.weights
        hidden = torch.baddbmm(weights["hidden_bias"][:, None], self._mix(features), weights["hidden"]).relu()
        if kept is not None:
            hidden = hidden * kept
        return torch.baddbmm(weights["out_bias"][:, None], hidden, weights["out"])

    def keep(self, numbers: Int[Tensor, " kept"]) -> None:
        """Go on with these heads only."""
        self.heads = [self.heads[n] for n in numbers]
        self.weights = {name: w.detach()[numbers].requires_grad_() for name, w in self.weights.items()}

    def _mix(self, features: Float[Tensor, "layer row dim"]) -> Float[Tensor, "head row read"]:
        if self.kind == WEIGHTED:
            return torch.einsum("hl,lrd->hrd", self.weights["mix"].softmax(1), features)
        if self.kind == CONCATENATED:
            rows = features.transpose(0, 1).flatten(1).expand(len(self), -1, -1)
            return torch.baddbmm(self.weights["concat_bias"][:, None], rows, self.weights["concat"])
        return features[self.place].expand(len(self), -1, -1)


class StackedAdam:
    """Adam over stacked heads, each with a learning rate of its own; equal to one Adam for each.

    A head's part of each stack is a parameter of PyTorch's Adam, in a group of its own: fused, it passes once
    over the memory, where one written out here took six times as long.
    """

    def __init__(self, weights: Weights) -> None:
        self.optimizer = self._over(weights)

    def step(self, weights: Weights, rates: Sequence[float]) -> None:
        """Move all weights by their gradients, and forget those."""
        for n, (group, rate) in enumerate(zip(self.optimizer.param_groups, rates, strict=True)):
            group["lr"] = rate
            for part, weight in zip(group["params"], weights.values(), strict=True):
                part.grad = None if weight.grad is None else weight.grad[n]
        self.optimizer.step()
        for weight in weights.values():
            weight.grad = None

    def keep(self, numbers: Int[Tensor, " kept"], weights: Weights) -> None:
        """Go on with these heads only, whose weights are now ``weights``."""
        before = self.optimizer
        self.optimizer = self._over(weights)
        for number, group in zip(numbers.tolist(), self.optimizer.param_groups, strict=True):
            for old, new in zip(before.param_groups[number]["params"], group["params"], strict=True):
                if old in before.state:
                    self.optimizer.state[new] = before.state[old]

    @staticmethod
    def _over(weights: Weights) -> torch.optim.Adam:
        first = next(iter(weights.values()))
        # Slices of a detached stack are leaves that share its memory: what moves them moves the stack.
        parts = [[weight.detach()[n] for weight in weights.values()] for n in range(len(first))]
        is_fused = first.device.type in ("cpu", "cuda")
        return torch.optim.Adam([{"params": part} for part in parts], betas=BETAS, eps=EPS, fused=is_fused)


def initial_weights(kind: str, n_layers: int, sizes: Sizes, seed: int) -> dict[str, Tensor]:
    """Weights of a head as PyTorch's linear layers begin; they depend on nothing but the arguments.

    Args:
        kind: as ``head_kind`` says.
        n_layers: in the features.
        sizes: of what it reads, holds and answers.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    dim = sizes.state_dim if kind == CONCATENATED else sizes.dim
    hidden_dim, n_outputs = sizes.hidden_dim, sizes.n_outputs

    def draw(fan_in: int, *size: int) -> Tensor:
        return (2 * torch.rand(size, generator=generator) - 1) / math.sqrt(fan_in)

    weights = {
        "hidden": draw(dim, dim, hidden_dim),
        "hidden_bias": draw(dim, hidden_dim),
        "out": draw(hidden_dim, hidden_dim, n_outputs),
        "out_bias": draw(hidden_dim, n_outputs),
    }
    if kind == WEIGHTED:
        weights["mix"] = torch.randn(n_layers, generator=generator)
    if kind == CONCATENATED:
        weights["concat"] = draw(n_layers * sizes.dim, n_layers * sizes.dim, dim)
        weights["concat_bias"] = draw(n_layers * sizes.dim, dim)
    return weights


def n_weights(kind: str, n_layers: int, sizes: Sizes) -> int:
    """Numbers in a head."""
    dim = sizes.state_dim if kind == CONCATENATED else sizes.dim
    mix = {WEIGHTED: n_layers, CONCATENATED: (n_layers * sizes.dim + 1) * dim}.get(kind, 0)
    return mix + (dim + 1) * sizes.hidden_dim + (sizes.hidden_dim + 1) * sizes.n_outputs
