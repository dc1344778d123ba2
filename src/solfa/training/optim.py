"""Parameter groups, optimisers, schedules."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from solfa import distributed
from solfa.config import Config, CountFromZero, NotNegative, Positive, Share
from solfa.errors import ArgumentError
from solfa.objectives import Objective

Decay = Literal["linear", "constant", "late"]


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(Config):
    """Adam with decoupled weight decay, and how its learning rate changes."""

    kind: Literal["adamw"] = "adamw"
    lr: NotNegative = 5e-4  # at the end of the warm-up
    warmup_steps: CountFromZero = 0  # from zero to lr, linearly
    decay: Decay = "linear"  # from there to zero at the last step, or none; late: in the last steps only
    decay_share: Share = 0.2  # of the steps, in which a late decay falls
    betas: tuple[Share, Share] = (0.9, 0.98)
    eps: Positive = 1e-6
    weight_decay: NotNegative = 0.01


@dataclass(frozen=True, kw_only=True)
class MuonConfig(Config):
    """Muon for the matrices of the model, Adam for all else; both rates change alike.

    An update of a matrix is made orthogonal: it moves all directions as far, the rare ones too, where Adam's
    first steps move all weights along a few. ``lr`` is on Adam's scale: the same rate moves weights as far.

    Source:
        Muon (Jordan et al., 2024); scale of the updates from Moonlight, arXiv:2502.16982.
    """

    kind: Literal["muon"] = "muon"
    lr: NotNegative = 2e-3  # of matrices, at the end of the warm-up
    momentum: Share = 0.95
    adam_lr: NotNegative = 5e-4  # of all else: convolutions, norms, biases, heads
    warmup_steps: CountFromZero = 0
    decay: Decay = "linear"
    decay_share: Share = 0.2  # of the steps, in which a late decay falls
    betas: tuple[Share, Share] = (0.9, 0.98)  # of Adam
    eps: Positive = 1e-6  # of Adam
    weight_decay: NotNegative = 0.01


OptimConfig = AdamWConfig | MuonConfig


def build_optimizers(config: OptimConfig, objective: Objective) -> list[torch.optim.Optimizer]:
    """Optimisers over all parameters that learn; each group keeps its highest rate as ``peak_lr``."""
    groups = objective.groups()
    if isinstance(config, AdamWConfig):
        return [_adamw(groups, config.lr, config)]
    if not hasattr(torch.optim, "Muon"):
        raise ArgumentError(
            f"PyTorch {torch.__version__} has no Muon. Install 2.9 or newer, or choose AdamW: "
            '--set optim=\'{"kind": "adamw"}\'.'
        )
    if any(share != 1 for _, share in groups):
        raise ArgumentError(
            "Muon knows no rate of its own for a part. Set objective.encoder_rate to 1, or choose AdamW: "
            '--set optim=\'{"kind": "adamw"}\'.'
        )
    learning = [parameter for parameters, _ in groups for parameter in parameters]
    matrices = [p for p in objective.model.parameters() if p.requires_grad and p.ndim == 2]
    taken = {id(parameter) for parameter in matrices}
    if any(distributed.is_shared_out(matrix) for matrix in matrices):
        from solfa.training.sharded_muon import ShardedMuon as Muon
    else:
        from solfa.training.muon import Muon  # type: ignore[assignment]
    muon = Muon(
        [{"params": matrices, "peak_lr": config.lr}],
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    others = [p for p in learning if id(p) not in taken]
    return [muon, _adamw([(others, 1.0)], config.adam_lr, config)]


def set_learning_rates(
    optimizers: list[torch.optim.Optimizer], config: OptimConfig, step: int, n_steps: int
) -> float:
    """Set the rates of a step, counted from 0, and return the first of them."""
    share = rate_share(config, step, n_steps)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share
    return float(optimizers[0].param_groups[0]["lr"])


def rate_share(config: OptimConfig, step: int, n_steps: int) -> float:
    """Share of the highest learning rate: a function of the step alone."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.decay == "constant":
        return 1.0
    if config.decay == "late":
        first = last_constant_step(config, n_steps)
        return min(1.0, max(0, n_steps - step) / max(1, n_steps - first))
    return max(0, n_steps - step) / max(1, n_steps - config.warmup_steps)


def last_constant_step(config: OptimConfig, n_steps: int) -> int:
    """Steps before a late decay: the weights after them do not depend on how long the run is to be.

    All steps, where there is no such decay.
    """
    n_falling = round(config.decay_share * n_steps) if config.decay == "late" else 0
    return max(n_steps - n_falling, min(n_steps, config.warmup_steps))


def _adamw(
    groups: list[tuple[list[nn.Parameter], float]], lr: float, config: OptimConfig
) -> torch.optim.AdamW:
    """Groups with shares of the rate; in pre-training there is one, as the published runs have it."""
    return torch.optim.AdamW(
        [{"params": parameters, "peak_lr": share * lr} for parameters, share in groups],
        lr=lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )
