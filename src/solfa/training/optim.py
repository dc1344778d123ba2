"""Parameter groups, optimisers, schedules."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from solfa.config import Config


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(Config):
    """Adam with decoupled weight decay, and how its learning rate changes."""

    lr: float = 5e-4  # at the end of the warm-up
    warmup_steps: int = 0  # from zero to lr, linearly
    decay: Literal["linear", "constant"] = "linear"  # from there to zero at the last step, or none
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.01


def build_optimizer(config: AdamWConfig, module: nn.Module) -> torch.optim.AdamW:
    """An optimiser over all parameters that learn, in one group, as the published runs have it."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        learning,
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )


def learning_rate(config: AdamWConfig, step: int, n_steps: int) -> float:
    """Learning rate of a step, counted from 0: a function of the step alone."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.decay == "constant":
        return config.lr
    return config.lr * max(0, n_steps - step) / max(1, n_steps - config.warmup_steps)
