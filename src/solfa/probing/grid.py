"""The whole grid of heads in one pass over stored features; each stops by itself and keeps its best epoch."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.config import Config, Count, CountFromZero, NotNegative, Seed, Share, Width
from solfa.embedding.space import Pool
from solfa.errors import ArgumentError
from solfa.probing.heads import (
    CONCATENATED,
    WEIGHTED,
    Head,
    Heads,
    Sizes,
    StackedAdam,
    head_kind,
    n_weights,
)
from solfa.probing.scoring import score_for_choice
from solfa.probing.separation import SeparationConfig
from solfa.probing.splits import CPU, Examples
from solfa.tasks.base import Task
from solfa.tasks.kinds import LabelKind

RHYTHM = "mean+std+acf"
N_COPIES = 5  # of a head's weights while it trains: themselves, gradient, two moments, best epoch
DROPOUT_SEED = 7919  # so that dropout and weights do not come from the same draws
Choice = tuple[int | str, float]  # layer and rate
Scored = Callable[[np.ndarray], float]  # logits of all rows of validation -> score


@dataclass(frozen=True, kw_only=True)
class ProbeConfig(Config):
    """Heads on frozen features, and how they are fitted. The defaults are the protocol of MARBLE."""

    # Of the frames of a clip: what heads read of it. acf: autocorrelation of changes, as in rhythm.py.
    pool: Pool | Literal["mean+std+acf"] = "mean"
    reach_frames: CountFromZero = (
        0  # neighbours on each side that stand beside a frame, where labels are in time
    )
    hidden_dim: Width = 512
    dropout: Share = 0.2
    lrs: tuple[NotNegative, ...] = (5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2)
    seeds: tuple[Seed, ...] = (0, 1, 2)
    has_single_layers: bool = True
    has_weighted_sum: bool = True
    has_concatenation: bool = True
    batch: Count = 64  # clips, or stretches of frames
    stretch_frames: Count = 4  # that are drawn in one piece where labels are in time
    n_stretches: Count = 2048  # of all, in one epoch; each epoch draws others
    valid_frames: Count = 2**15  # that choose epoch, layer and rate where labels are in time, of all tracks
    n_epochs: Count = 100  # at most
    lr_factor: Share = 0.5  # of the rate, after lr_patience epochs without a better score on validation
    lr_patience: CountFromZero = 5
    stop_patience: CountFromZero = 15  # epochs without a better score, after which a head stops
    # Epochs after which only the better half of the rates of a layer goes on; none is the protocol.
    halvings: tuple[CountFromZero, ...] = ()
    first_seed_chooses: bool = False  # the rate of each layer, and the other seeds have that one only
    is_standardised: bool = False  # each layer's dimensions by their mean and deviation in training
    n_resamples: Count = 500  # of the test tracks, for the interval
    numbers_at_once: Count = 2**28  # in memory, at four bytes each; it changes nothing but the speed
    separation: SeparationConfig = field(default_factory=SeparationConfig)  # instead, for sources

    @property
    def has_rhythm(self) -> bool:
        """Whether heads read autocorrelations, too."""
        return self.pool == RHYTHM

    @property
    def stored_pool(self) -> Pool:
        """What is computed of the frames of a clip while they are encoded."""
        return "mean+std" if self.pool == "mean+std+acf" else self.pool

    @property
    def readout(self) -> str:
        """What heads read, in short: ``mean``; ``mean+std ±2`` with two neighbours on each side."""
        return f"{self.pool} ±{self.reach_frames}" if self.reach_frames else self.pool


FREE_PROTOCOL = ProbeConfig(
    pool="mean+std", reach_frames=2, halvings=(3, 5, 7), first_seed_chooses=True, valid_frames=2**13
)


def protocol(task: Task) -> ProbeConfig:
    """Settings of heads unless something else is said: MARBLE's way, or the free benchmark's own.

    The free benchmark (tasks whose data have a version) reads more out of every model and baseline: mean and
    deviation of a clip, and a frame beside two neighbours on each side. It is asked often and on small
    machines: the worse half of the rates of a layer ends after 3, 5 and 7 epochs, and the first seed chooses
    the rate of the others.
    """
    return ProbeConfig() if task.version is None else FREE_PROTOCOL


@dataclass(frozen=True)
class Fit:
    """Result of one head."""

    head: Head
    score: float  # on validation, at its best epoch
    epoch: int  # that one, from 1
    weights: dict[str, Tensor] | None  # of that epoch; None if another layer or rate was better


@dataclass(frozen=True)
class Shape:
    """What heads read and what they answer."""

    layers: tuple[int, ...]
    dim: int  # numbers of a layer in a row
    state_dim: int  # of them, those of a single state
    n_outputs: int
    kind: LabelKind[Any]
    metric: str  # by which epochs, layers and rates are chosen
    device: torch.device = CPU  # where heads are fitted

    def sizes(self, hidden_dim: int) -> Sizes:
        """Of heads with so many hidden units."""
        return Sizes(dim=self.dim, state_dim=self.state_dim, hidden_dim=hidden_dim, n_outputs=self.n_outputs)


def list_heads(layers: Sequence[int], config: ProbeConfig) -> list[Head]:
    """The grid; seeds of a layer and rate stand side by side."""
    choices: list[int | str] = list(layers) if config.has_single_layers else []
    if len(layers) > 1:
        choices += [WEIGHTED] * config.has_weighted_sum + [CONCATENATED] * config.has_concatenation
    if not choices:
        raise ArgumentError("There is no head to fit. Allow single layers, or give several layers to mix.")
    return [Head(layer, lr, seed) for layer, lr, seed in product(choices, config.lrs, config.seeds)]


def fit_grid(
    heads: Sequence[Head],
    train: Examples,
    valid: Examples,
    shape: Shape,
    config: ProbeConfig,
    progress: Callable[[int, str], None] = lambda done, note: None,
    wanted: Callable[[Sequence[Fit]], set[Choice]] | None = None,
) -> list[Fit]:
    """Fit all heads, side by side as far as memory allows; the best layer and rate keep their weights.

    Args:
        heads: in the order of ``list_heads``.
        train: what they learn.
        valid: what chooses the epoch of each.
        shape: of the features and answers.
        config: how.
        progress: is told how many heads are done.
        wanted: which layers and rates keep their weights, if not the best one alone.
    """
    wanted = wanted or (lambda fits: {chosen(fits)})
    if not config.first_seed_chooses:
        return _fit_parts(heads, train, valid, shape, config, progress, wanted)
    first = [head for head in heads if head.seed == heads[0].seed]
    fits = _fit_parts(first, train, valid, shape, config, progress, best_rates)
    kept = best_rates(fits)
    others = [head for head in heads if head.seed != heads[0].seed and (head.layer, head.lr) in kept]
    n_before = len(heads) - len(others)
    fits += _fit_parts(
        others, train, valid, shape, config, lambda n, note: progress(n_before + n, note), best_rates
    )
    place = {head: n for n, head in enumerate(heads)}
    fits = [fit for fit in fits if (fit.head.layer, fit.head.lr) in kept]
    return _with_weights_of(wanted(fits), sorted(fits, key=lambda fit: place[fit.head]))


def best_rates(fits: Sequence[Fit]) -> set[Choice]:
    """Of each layer the rate with the best score on validation, in the mean over seeds."""
    layers = dict.fromkeys(fit.head.layer for fit in fits)
    return {chosen([fit for fit in fits if fit.head.layer == layer]) for layer in layers}


def chosen(fits: Sequence[Fit]) -> Choice:
    """The layer and rate with the best score on validation, in the mean over seeds."""
    scores: dict[Choice, list[float]] = {}
    for fit in fits:
        scores.setdefault((fit.head.layer, fit.head.lr), []).append(fit.score)
    return max(scores, key=lambda choice: float(np.mean(scores[choice])))


@torch.no_grad()
def all_logits(stacks: Sequence[Heads], examples: Examples) -> Float[np.ndarray, "head row output"]:
    """What heads say of all rows, one stack after the other, dropout off; 0 where a head has diverged."""
    said = [torch.cat([heads.logits(block) for heads in stacks]) for block in examples.blocks()]
    return torch.cat(said, 1).nan_to_num(0.0, 0.0, 0.0).cpu().numpy()


def stack(heads: Sequence[Head], shape: Shape, config: ProbeConfig) -> list[Heads]:
    """Heads as they begin; those of a layer and a seed stand together, in the order of their first."""
    choices = dict.fromkeys((head.layer, head.seed) for head in heads)
    return [
        Heads(
            [head for head in heads if (head.layer, head.seed) == choice], shape.layers,
            shape.sizes(config.hidden_dim), dropout=config.dropout, device=shape.device,
        )
        for choice in choices
    ]  # fmt: skip


def restore(fits: Sequence[Fit], shape: Shape, config: ProbeConfig) -> list[Heads]:
    """Heads as they were at their best epochs, one after the other."""
    restored = []
    for fit in fits:
        [heads] = stack([fit.head], shape, config)
        if fit.weights is not None:
            heads.weights = {name: weight[None] for name, weight in fit.weights.items()}
        restored.append(heads)
    return restored


class Course:
    """Progress of one head: its rate, its best epoch, and whether it is over."""

    def __init__(self, head: Head) -> None:
        self.head, self.lr, self.is_over = head, head.lr, False
        self.best, self.epoch, self.n_waited, self.n_at_rate = -math.inf, 0, 0, 0
        self.weights: dict[str, Tensor] | None = None

    def see(self, score: float, epoch: int, config: ProbeConfig) -> bool:
        """Take note of a score on validation; True if it is the best so far."""
        if score > self.best:
            self.best, self.epoch, self.n_waited, self.n_at_rate = score, epoch, 0, 0
            return True
        self.n_waited, self.n_at_rate = self.n_waited + 1, self.n_at_rate + 1
        self.is_over = self.n_waited >= config.stop_patience
        if self.n_at_rate > config.lr_patience:
            self.lr, self.n_at_rate = self.lr * config.lr_factor, 0
        return False


class _Running:
    """Stacked heads that still train, and how each of them gets on."""

    def __init__(self, heads: Heads, config: ProbeConfig) -> None:
        self.heads, self.config = heads, config
        self.courses = [Course(head) for head in heads.heads]
        self.adam = StackedAdam(heads.weights)

    def step(self, features: Tensor, targets: Tensor, kept: Tensor, kind: LabelKind[Any]) -> None:
        """One update of all heads."""
        shared = targets.expand(len(self.heads), *targets.shape)
        kind.losses(self.heads.logits(features, kept), shared).sum().backward()
        self.adam.step(self.heads.weights, [course.lr for course in self.courses])

    def see(self, logits: Float[np.ndarray, "head row output"], score: Scored, epoch: int) -> None:
        """Take note of what the heads say of validation. One that has diverged is over."""
        for n, course in enumerate(self.courses):
            if course.see(score(logits[n]), epoch, self.config):
                course.weights = {name: w[n].detach().clone() for name, w in self.heads.weights.items()}
            if not torch.isfinite(self.heads.weights["out_bias"][n]).all():
                course.is_over = True

    def drop(self) -> None:
        """Go on without the heads whose course is over."""
        going = [n for n, course in enumerate(self.courses) if not course.is_over]
        if 0 < len(going) < len(self.courses):
            numbers = torch.tensor(going, dtype=torch.long)
            self.heads.keep(numbers)
            self.adam.keep(numbers, self.heads.weights)
        self.courses = [self.courses[n] for n in going]


def _fit_parts(
    heads: Sequence[Head],
    train: Examples,
    valid: Examples,
    shape: Shape,
    config: ProbeConfig,
    progress: Callable[[int, str], None],
    keep: Callable[[list[Fit]], set[Choice]],
) -> list[Fit]:
    """Fit heads as many at once as fit into memory; weights are those of the choices in ``keep``."""
    fits: list[Fit] = []
    for part in _parts(heads, train, valid, shape, config):
        fits += _fit_part(part, train, valid, shape, config)
        fits = _with_weights_of(keep(fits), fits)
        layer, lr = chosen(fits)
        progress(len(fits), f"best so far: layer {layer} at {lr:g}")
    return fits


def _with_weights_of(choices: set[Choice], fits: Sequence[Fit]) -> list[Fit]:
    return [
        fit if (fit.head.layer, fit.head.lr) in choices else Fit(fit.head, fit.score, fit.epoch, None)
        for fit in fits
    ]


def _fit_part(
    part: Sequence[Head], train: Examples, valid: Examples, shape: Shape, config: ProbeConfig
) -> list[Fit]:
    running = [_Running(heads, config) for heads in stack(part, shape, config)]
    courses = {course.head: course for one in running for course in one.courses}
    dropout = {head.seed: torch.Generator().manual_seed(head.seed + DROPOUT_SEED) for head in part}
    for epoch in range(1, config.n_epochs + 1):
        _train_epoch(running, train, shape, dropout, epoch)
        logits = iter(np.split(all_logits([one.heads for one in running], valid), _bounds(running)))
        for one in running:
            one.see(next(logits), lambda said: score_for_choice(shape.metric, valid.answers(said)), epoch)
        if epoch in config.halvings:
            _halve(list(courses.values()))
        for one in running:
            one.drop()
        running = [one for one in running if one.courses]
        if not running:
            break
    ends = [courses[head] for head in part]
    return [Fit(course.head, course.best, course.epoch, course.weights) for course in ends]


def _bounds(running: Sequence[_Running]) -> list[int]:
    """Where the heads of the second and all later stacks begin."""
    return np.cumsum([len(one.heads) for one in running])[:-1].tolist()


def _train_epoch(
    running: Sequence[_Running],
    train: Examples,
    shape: Shape,
    dropout: dict[int, torch.Generator],
    epoch: int,
) -> None:
    """Show all heads the rows of their seeds, in an order that depends on seed and epoch alone."""
    config = running[0].config
    for seed in dict.fromkeys(one.heads.seed for one in running):
        of_seed = [one for one in running if one.heads.seed == seed]
        order = np.random.default_rng((seed, epoch)).permutation(len(train))
        if train.is_timed:
            order = order[: config.n_stretches]
        for start in range(0, len(order), config.batch):
            features, targets = train.take(order[start : start + config.batch])
            drawn = torch.rand(features.shape[1], config.hidden_dim, generator=dropout[seed])
            kept = ((drawn >= config.dropout) / (1 - config.dropout)).to(shape.device)
            for one in of_seed:
                one.step(features, targets, kept, shape.kind)


def _halve(courses: Sequence[Course]) -> None:
    """End the worse half of the rates of each layer that still run, by the mean over seeds."""
    for layer in dict.fromkeys(course.head.layer for course in courses):
        rates: dict[float, list[Course]] = {}
        for course in courses:
            if course.head.layer == layer:
                rates.setdefault(course.head.lr, []).append(course)
        ranked = sorted(rates.values(), key=lambda same: -float(np.mean([one.best for one in same])))
        going = [same for same in ranked if not all(one.is_over for one in same)]
        for same in going[-(-len(going) // 2) :]:
            for course in same:
                course.is_over = True


def _parts(
    heads: Sequence[Head], train: Examples, valid: Examples, shape: Shape, config: ProbeConfig
) -> Iterator[list[Head]]:
    """Heads of one kind that fit into memory together: whole layers, or else some rates with all seeds."""
    # What is counted are numbers in memory: copies of the weights (themselves, gradients, two moments, the
    # best so far), the logits of all rows of validation, and the hidden units of one batch. As many choices
    # of layer and rate go together as have room with all their seeds; whole layers if there is room for one.
    sizes = shape.sizes(config.hidden_dim)
    batch_rows = config.batch * train.stretch_rows
    for kind in dict.fromkeys(map(head_kind, heads)):
        of_kind = [head for head in heads if head_kind(head) == kind]
        n_seeds, n_rates = (len({getattr(head, name) for head in of_kind}) for name in ("seed", "lr"))
        needed = N_COPIES * n_weights(kind, len(shape.layers), sizes) + sum(valid.n_rows) * shape.n_outputs
        needed += 3 * batch_rows * config.hidden_dim // n_rates  # one stack at a time is at work
        n_choices = max(1, config.numbers_at_once // (needed * n_seeds))
        n_choices = n_choices // n_rates * n_rates or n_choices
        for start in range(0, len(of_kind), n_choices * n_seeds):
            yield of_kind[start : start + n_choices * n_seeds]
