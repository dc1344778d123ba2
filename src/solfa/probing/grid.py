"""The whole grid of heads in one pass over stored features; each stops by itself and keeps its best epoch."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.config import Config
from solfa.probing.examples import Examples
from solfa.probing.heads import (
    CONCATENATED,
    WEIGHTED,
    Head,
    Heads,
    StackedAdam,
    head_kind,
    head_losses,
    n_weights,
)
from solfa.probing.scoring import score_for_choice
from solfa.tasks.base import LabelKind

N_COPIES = 5  # of a head's weights while it trains: themselves, gradient, two moments, best epoch
DROPOUT_SEED = 7919  # so that dropout and weights do not come from the same draws


@dataclass(frozen=True, kw_only=True)
class ProbeConfig(Config):
    """Heads on frozen features, and how they are fitted. The defaults are the protocol of MARBLE."""

    hidden_dim: int = 512
    dropout: float = 0.2
    lrs: tuple[float, ...] = (5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2)
    seeds: tuple[int, ...] = (0, 1, 2)
    has_single_layers: bool = True
    has_weighted_sum: bool = True
    has_concatenation: bool = True
    batch: int = 64  # clips, or stretches of frames
    stretch_frames: int = 16  # that are drawn in one piece where labels are in time
    n_epochs: int = 100  # at most
    lr_factor: float = 0.5  # of the rate, after lr_patience epochs without a better score on validation
    lr_patience: int = 5
    stop_patience: int = 15  # epochs without a better score, after which a head stops
    is_standardised: bool = False  # each layer's dimensions by their mean and deviation in training
    n_resamples: int = 500  # of the test tracks, for the interval
    numbers_at_once: int = 2**28  # in memory, at four bytes each; it changes nothing but the speed


@dataclass(frozen=True)
class Fit:
    """What became of a head."""

    head: Head
    score: float  # on validation, at its best epoch
    epoch: int  # that one, from 1
    weights: dict[str, Tensor] | None  # of that epoch; None if another layer or rate was better


@dataclass(frozen=True)
class Shape:
    """What heads read and what they answer."""

    layers: tuple[int, ...]
    dim: int
    n_outputs: int
    kind: LabelKind
    metric: str  # by which epochs, layers and rates are chosen


def list_heads(layers: Sequence[int], config: ProbeConfig) -> list[Head]:
    """The grid; seeds of a layer and rate stand side by side."""
    choices: list[int | str] = list(layers) if config.has_single_layers else []
    if len(layers) > 1:
        choices += [WEIGHTED] * config.has_weighted_sum + [CONCATENATED] * config.has_concatenation
    if not choices:
        raise ValueError("There is no head to fit. Allow single layers, or give several layers to mix.")
    return [Head(layer, lr, seed) for layer, lr, seed in product(choices, config.lrs, config.seeds)]


def fit_grid(
    heads: Sequence[Head],
    train: Examples,
    valid: Examples,
    shape: Shape,
    config: ProbeConfig,
    progress: Callable[[int, str], None] = lambda done, note: None,
) -> list[Fit]:
    """Fit all heads, side by side as far as memory allows; the best layer and rate keep their weights.

    Args:
        heads: in the order of ``list_heads``.
        train: what they learn.
        valid: what chooses the epoch of each.
        shape: of the features and answers.
        config: how.
        progress: is told how many heads are done.
    """
    fits: list[Fit] = []
    for part in _parts(heads, train, valid, shape, config):
        fits += _fit_part(part, train, valid, shape, config)
        layer, lr = chosen(fits)
        fits = [
            fit if (fit.head.layer, fit.head.lr) == (layer, lr) else Fit(fit.head, fit.score, fit.epoch, None)
            for fit in fits
        ]
        progress(len(fits), f"best so far: layer {layer} at {lr:g}")
    return fits


def chosen(fits: Sequence[Fit]) -> tuple[int | str, float]:
    """The layer and rate with the best score on validation, in the mean over seeds."""
    scores: dict[tuple[int | str, float], list[float]] = {}
    for fit in fits:
        scores.setdefault((fit.head.layer, fit.head.lr), []).append(fit.score)
    return max(scores, key=lambda choice: float(np.mean(scores[choice])))


@torch.no_grad()
def all_logits(heads: Heads, examples: Examples) -> Float[np.ndarray, "head row output"]:
    """What heads say of all rows, dropout off; 0 where a head has diverged."""
    seeds = {head.seed for head in heads.heads}
    logits = [heads.logits(dict.fromkeys(seeds, block)) for block in examples.blocks()]
    return torch.cat(logits, 1).nan_to_num(0.0, 0.0, 0.0).numpy()


def stack(heads: Sequence[Head], shape: Shape, config: ProbeConfig) -> Heads:
    """Heads of one kind, as they begin."""
    return Heads(
        heads, shape.layers, shape.dim,
        hidden_dim=config.hidden_dim, n_outputs=shape.n_outputs, dropout=config.dropout,
    )  # fmt: skip


def restore(fits: Sequence[Fit], shape: Shape, config: ProbeConfig) -> Heads:
    """Heads as they were at their best epochs."""
    heads = stack([fit.head for fit in fits], shape, config)
    kept = [fit.weights for fit in fits if fit.weights is not None]
    heads.weights = {name: torch.stack([weights[name] for weights in kept]) for name in heads.weights}
    return heads


class _Course:
    """How a head gets on: its rate, its best epoch, and whether it is over."""

    def __init__(self, head: Head) -> None:
        self.head, self.lr = head, head.lr
        self.best, self.epoch, self.n_waited, self.n_at_rate = -math.inf, 0, 0, 0
        self.weights: dict[str, Tensor] | None = None

    def see(self, score: float, epoch: int, config: ProbeConfig) -> bool:
        """Take note of a score on validation; True if it is the best so far."""
        if score > self.best:
            self.best, self.epoch, self.n_waited, self.n_at_rate = score, epoch, 0, 0
            return True
        self.n_waited, self.n_at_rate = self.n_waited + 1, self.n_at_rate + 1
        if self.n_at_rate > config.lr_patience:
            self.lr, self.n_at_rate = self.lr * config.lr_factor, 0
        return False


def _fit_part(
    part: Sequence[Head], train: Examples, valid: Examples, shape: Shape, config: ProbeConfig
) -> list[Fit]:
    courses = [_Course(head) for head in part]
    heads = stack(part, shape, config)
    adam, running = StackedAdam(heads.weights), list(courses)
    dropout = {head.seed: torch.Generator().manual_seed(head.seed + DROPOUT_SEED) for head in part}
    for epoch in range(1, config.n_epochs + 1):
        rates = torch.tensor([course.lr for course in running])
        for features, targets in _batches(train, heads, epoch, config):
            _step(heads, adam, rates, features, targets, dropout, shape.kind)
        logits = all_logits(heads, valid)
        for n, course in enumerate(running):
            score = score_for_choice(shape.metric, valid.answers(logits[n]))
            if course.see(score, epoch, config):
                course.weights = {name: w[n].detach().clone() for name, w in heads.weights.items()}
        going = [n for n, course in enumerate(running) if course.n_waited < config.stop_patience]
        if not going:
            break
        if len(going) < len(running):
            heads.keep(torch.tensor(going))
            adam.keep(torch.tensor(going))
            running = [running[n] for n in going]
    return [Fit(course.head, course.best, course.epoch, course.weights) for course in courses]


def _step(
    heads: Heads,
    adam: StackedAdam,
    rates: Float[Tensor, " head"],
    features: dict[int, Tensor],
    targets: dict[int, Tensor],
    dropout: dict[int, torch.Generator],
    kind: LabelKind,
) -> None:
    """One update of all heads."""
    hidden_dim = heads.weights["hidden"].shape[2]
    kept = {
        seed: (torch.rand(rows.shape[1], hidden_dim, generator=dropout[seed]) >= heads.dropout)
        / (1 - heads.dropout)
        for seed, rows in features.items()
    }
    losses = head_losses(
        heads.logits(features, kept), torch.stack([targets[h.seed] for h in heads.heads]), kind
    )
    losses.sum().backward()
    adam.step(heads.weights, rates)


def _batches(
    train: Examples, heads: Heads, epoch: int, config: ProbeConfig
) -> Iterator[tuple[dict[int, Tensor], dict[int, Tensor]]]:
    """The rows of each seed, in an order that depends on seed and epoch alone."""
    seeds = sorted({head.seed for head in heads.heads})
    orders = {seed: np.random.default_rng((seed, epoch)).permutation(len(train)) for seed in seeds}
    for start in range(0, len(train), config.batch):
        taken = {seed: train.take(orders[seed][start : start + config.batch]) for seed in seeds}
        yield {s: rows for s, (rows, _) in taken.items()}, {s: wanted for s, (_, wanted) in taken.items()}


def _parts(
    heads: Sequence[Head], train: Examples, valid: Examples, shape: Shape, config: ProbeConfig
) -> Iterator[list[Head]]:
    """Heads of one kind that fit into memory together; the seeds of a choice are never parted."""
    sizes = (shape.dim, config.hidden_dim, shape.n_outputs)
    batch_rows = config.batch * train.stretch_rows
    for kind in dict.fromkeys(map(head_kind, heads)):
        of_kind = [head for head in heads if head_kind(head) == kind]
        n_seeds = len({head.seed for head in of_kind})
        needed = N_COPIES * n_weights(kind, len(shape.layers), sizes)
        needed += 3 * batch_rows * (shape.dim + config.hidden_dim) + sum(valid.n_rows) * shape.n_outputs
        n_choices = max(1, config.numbers_at_once // (needed * n_seeds))
        for start in range(0, len(of_kind), n_choices * n_seeds):
            yield of_kind[start : start + n_choices * n_seeds]
