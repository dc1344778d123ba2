"""Many heads as one: their weights are stacked along a leading axis, and trained by one batched product.

A head answers as if it were alone: no product mixes two heads, each has its own learning rate, and those of
one seed see the same rows, start from the same draws and drop the same units.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from solfa.tasks.base import Classes, FrameClasses, LabelKind, Numbers

BETAS, EPS = (0.9, 0.999), 1e-8  # Adam's, as in PyTorch
Weights = dict[str, Float[Tensor, "head ..."]]


@dataclass(frozen=True)
class Head:
    """A head of the grid: which layers it reads, how fast it learns, and its draws."""

    layer: int | str  # number of a layer, WEIGHTED or CONCATENATED
    lr: float
    seed: int


WEIGHTED = "weighted"  # learned sum of all layers, weights from a softmax
CONCATENATED = "concatenated"  # all layers side by side, brought to the width of one by a linear layer


def head_kind(head: Head) -> str:
    """Heads of a kind can be stacked."""
    return head.layer if isinstance(head.layer, str) else "single"


class Heads:
    """Heads of one kind.

    Args:
        heads: all single layers, all weighted or all concatenated.
        layers: numbers of the layers in the features, in their order.
        dim: width of a layer.
        hidden_dim: of the one hidden layer.
        n_outputs: logits.
        dropout: of hidden units while training.
    """

    def __init__(
        self,
        heads: Sequence[Head],
        layers: Sequence[int],
        dim: int,
        *,
        hidden_dim: int,
        n_outputs: int,
        dropout: float,
    ) -> None:
        self.heads, self.kind, self.dropout = list(heads), head_kind(heads[0]), dropout
        self.place = [layers.index(h.layer) if isinstance(h.layer, int) else 0 for h in heads]
        shape = (dim, hidden_dim, n_outputs)
        starts = {h.seed: initial_weights(self.kind, len(layers), shape, h.seed) for h in heads}
        self.weights: Weights = {
            name: torch.stack([starts[h.seed][name] for h in heads]).requires_grad_()
            for name in starts[heads[0].seed]
        }

    def __len__(self) -> int:
        return len(self.heads)

    def logits(
        self,
        features: dict[int, Float[Tensor, "layer row dim"]],
        kept: dict[int, Float[Tensor, "row hidden"]] | None = None,
    ) -> Float[Tensor, "head row output"]:
        """Logits of each head on the rows of its seed; ``kept`` multiplies the hidden units."""
        weights = self.weights
        mixed = torch.stack([self._mix(n, features[head.seed]) for n, head in enumerate(self.heads)])
        hidden = torch.baddbmm(weights["hidden_bias"][:, None], mixed, weights["hidden"]).relu()
        if kept is not None:
            hidden = hidden * torch.stack([kept[head.seed] for head in self.heads])
        return torch.baddbmm(weights["out_bias"][:, None], hidden, weights["out"])

    def keep(self, numbers: Int[Tensor, " kept"]) -> None:
        """Go on with these heads only."""
        self.heads = [self.heads[n] for n in numbers]
        self.place = [self.place[n] for n in numbers]
        self.weights = {name: w.detach()[numbers].requires_grad_() for name, w in self.weights.items()}

    def _mix(self, number: int, features: Float[Tensor, "layer row dim"]) -> Float[Tensor, "row dim"]:
        if self.kind == WEIGHTED:
            return torch.einsum("l,lrd->rd", self.weights["mix"][number].softmax(0), features)
        if self.kind == CONCATENATED:
            rows = features.transpose(0, 1).flatten(1)
            return rows @ self.weights["concat"][number] + self.weights["concat_bias"][number]
        return features[self.place[number]]


class StackedAdam:
    """Adam over stacked heads, each with a learning rate of its own; equal to one Adam for each."""

    def __init__(self, weights: Weights) -> None:
        self.mean = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.square = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.n_steps = 0

    @torch.no_grad()
    def step(self, weights: Weights, rates: Float[Tensor, " head"]) -> None:
        """Move all weights by their gradients, and forget those."""
        self.n_steps += 1
        first, second = (1 - beta**self.n_steps for beta in BETAS)
        for name, weight in weights.items():
            gradient = weight.grad
            if gradient is None:
                continue
            mean, square = self.mean[name], self.square[name]
            mean.lerp_(gradient, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            # The rate multiplies the finished update, so that it may differ from head to head.
            scale = (rates / first).reshape(-1, *[1] * (weight.ndim - 1))
            weight.sub_(mean / (square.sqrt().div_(math.sqrt(second)).add_(EPS)) * scale)
            weight.grad = None

    def keep(self, numbers: Int[Tensor, " kept"]) -> None:
        """Go on with these heads only."""
        self.mean = {name: value[numbers] for name, value in self.mean.items()}
        self.square = {name: value[numbers] for name, value in self.square.items()}


def initial_weights(kind: str, n_layers: int, shape: tuple[int, int, int], seed: int) -> dict[str, Tensor]:
    """Weights of a head as PyTorch's linear layers begin; they depend on nothing but the arguments.

    Args:
        kind: as ``head_kind`` says.
        n_layers: in the features.
        shape: width of a layer, hidden units, logits.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    dim, hidden_dim, n_outputs = shape

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
        weights["concat"] = draw(n_layers * dim, n_layers * dim, dim)
        weights["concat_bias"] = draw(n_layers * dim, dim)
    return weights


def n_weights(kind: str, n_layers: int, shape: tuple[int, int, int]) -> int:
    """Numbers in a head."""
    dim, hidden_dim, n_outputs = shape
    mix = {WEIGHTED: n_layers, CONCATENATED: (n_layers * dim + 1) * dim}.get(kind, 0)
    return mix + (dim + 1) * hidden_dim + (hidden_dim + 1) * n_outputs


def head_losses(
    logits: Float[Tensor, "head row output"], targets: Shaped[Tensor, "head row ..."], kind: LabelKind
) -> Float[Tensor, " head"]:
    """The loss of each head: mean over its rows that have a target.

    Cross-entropy of classes, binary cross-entropy of tags and events (mean over them), squared error of
    numbers.
    """
    if isinstance(kind, Classes | FrameClasses):
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=-1)
        is_counted = targets >= 0
        return losses.reshape(targets.shape).sum(1) / is_counted.sum(1).clamp(min=1)
    is_counted = torch.isfinite(targets)
    filled = torch.where(is_counted, targets, torch.zeros_like(targets))
    if isinstance(kind, Numbers):
        losses = (logits - filled).square()
    else:
        losses = F.binary_cross_entropy_with_logits(logits, filled, reduction="none")
    return (losses * is_counted).sum((1, 2)) / is_counted.sum((1, 2)).clamp(min=1)
