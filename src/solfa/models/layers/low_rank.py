"""LoRA: what is learned beside frozen matrices, as products of two thin ones."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, Finite, Width
from solfa.errors import ArgumentError
from solfa.models.encoder import Context

DOWN, UP = ".down", ".up"


@dataclass(frozen=True, kw_only=True)
class LoRAConfig(Config):
    """Which matrices get thin ones beside them, and how thin."""

    kind: Literal["lora"] = "lora"
    rank: Width = 8  # numbers that lie between the two thin matrices
    alpha: Finite = 16.0  # their product is multiplied by alpha / rank
    matrices: tuple[str, ...] = ("query", "value")  # names of linear layers, in every layer of the context

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ArgumentError(f"learns.rank must be at least 1, not {self.rank}.")
        super().__post_init__()

    @property
    def scale(self) -> float:
        """Of the product."""
        return self.alpha / self.rank


class LoRALinear(nn.Linear):
    """A linear layer whose weight W is frozen, and A and B beside it: W x + (alpha / rank) B A x.

    B begins as zero, so that the layer begins as what it was.

    Source:
        LoRA, arXiv:2106.09685.
    """

    def __init__(self, linear: nn.Linear, config: LoRAConfig) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.weight, self.bias = linear.weight, linear.bias
        self.scale = config.scale
        self.down = nn.Parameter(torch.empty(config.rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, config.rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)  # as every linear layer begins

    def forward(self, input: Float[Tensor, "*axis dim_in"]) -> Float[Tensor, "*axis dim_out"]:
        """The frozen answer, and what was learned."""
        return super().forward(input) + self.scale * F.linear(F.linear(input, self.down), self.up)


def add_lora(context: Context, config: LoRAConfig) -> list[nn.Parameter]:
    """Put thin matrices beside those that ``config`` names, and give them back.

    Raises:
        ValueError: a name that no linear layer has.
    """
    linears = [
        (parent, name, part)
        for parent in context.modules()
        for name, part in parent.named_children()
        if isinstance(part, nn.Linear)
    ]
    known = {name for _, name, _ in linears}
    if not config.matrices or (unknown := sorted(set(config.matrices) - known)):
        raise ArgumentError(
            f"learns.matrices names {', '.join(unknown) if config.matrices else 'nothing'}. The linear "
            f"layers of this encoder are {', '.join(sorted(known))}; name some of them."
        )
    thin = []
    for parent, name, linear in linears:
        if name in config.matrices:
            wider = LoRALinear(linear, config)
            setattr(parent, name, wider)
            thin += [wider.down, wider.up]
    return thin


def merge_lora(weights: dict[str, Tensor], config: LoRAConfig) -> dict[str, Tensor]:
    """Weights of layers without thin matrices, that answer as those with them."""
    merged = {name: weight for name, weight in weights.items() if not name.endswith((DOWN, UP))}
    for name, down in weights.items():
        if name.endswith(DOWN):
            layer = name.removesuffix(DOWN)
            merged[f"{layer}.weight"] = (
                weights[f"{layer}.weight"] + config.scale * weights[f"{layer}{UP}"] @ down
            )
    return merged
