"""WeightAverage: a running mean of the weights, which is what a run is known by."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from solfa.config import LATER, Between, Config, Share
from solfa.distributed import held_as, local
from solfa.errors import ArgumentError

Decay = Annotated[float, Between(0, 1 - 1e-7)]


@dataclass(frozen=True, kw_only=True)
class WeightAverageConfig(Config):
    """Reach of the mean of weights: about 1 / (1 - decay) steps, in a young run fewer."""

    decay: Decay = 0.999
    # Of the steps so far, that the mean reaches back over at most. None: over all, the random start included.
    recent_share: Share | None = field(default=None, metadata=LATER)


class WeightAverage:
    """The running mean of all weights that learn; buffers are as they are.

    With w_t the weights after step t and g ``decay``, a_t = g a_{t-1} + (1 - g) w_t from a_0 = 0, divided by
    1 - g^t: the mean of the first steps is one of real weights, and not drawn towards zero. With a
    ``recent_share`` r, the newest weights enter by 1 / (1 + r (t - 1)) where that is more: before a run is
    1 / r / (1 - g) steps old, a mean of long reach is mostly of weights that had not learned yet. Every rank
    keeps its own, from weights that are equal on all.

    Source:
        Polyak averaging; the correction as of Adam's moments, arXiv:1412.6980; reach in proportion to the
        steps so far, arXiv:2312.02696.
    """

    def __init__(self, config: WeightAverageConfig, objective: nn.Module) -> None:
        self.config = config
        self.learned = {n: p for n, p in objective.named_parameters() if p.requires_grad}
        self.means = {name: parameter.detach().clone() for name, parameter in self.learned.items()}
        self.n_steps = 0  # that the means are of

    @torch.no_grad()
    def follow(self) -> None:
        """Take in the weights after a step."""
        self.n_steps += 1
        if not self.means:
            return
        decay, recent = self.config.decay, self.config.recent_share
        # Computed from the last mean in place: the new weights have this share in it.
        if recent is None:
            share = (1 - decay) / (1 - decay**self.n_steps)  # of a_t / (1 - g^t)
        else:
            share = max(1 - decay, 1 / (1 + recent * (self.n_steps - 1)))
        for name, mean in self.means.items():
            local(mean).lerp_(local(self.learned[name]), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the means stand in place of the weights; afterwards these are as before, to the bit."""
        if not self.n_steps:
            yield
            return
        weights = self._copies(self.learned)
        self._put(self.means)
        try:
            yield
        finally:
            self._put(weights)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint whose weights are the means: the weights themselves."""
        return {"n_steps": self.n_steps, "weights": self._copies(self.learned)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As it was when that checkpoint was written, whose weights, the means, the objective has by now."""
        self.n_steps = int(state["n_steps"])
        self.means = self._copies(self.learned)
        restore_weights(self.learned, state)

    def _copies(self, tensors: dict[str, Any]) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.learned.items():
            local(parameter).copy_(local(values[name]))


@torch.no_grad()
def restore_weights(learned: dict[str, nn.Parameter], state: dict[str, Any]) -> None:
    """Put the weights of a ``WeightAverage.state_dict`` in their place.

    Raises:
        ValueError: they are of other parameters, or no numbers.
    """
    weights = state["weights"]
    if weights.keys() != learned.keys():
        raise ArgumentError("the weights beside their running mean are of other parameters")
    for name, parameter in learned.items():
        if weights[name].shape != parameter.shape or not bool(torch.isfinite(local(weights[name])).all()):
            raise ArgumentError(f"{name}, beside its running mean, is of another shape or not finite")
        local(parameter).copy_(local(held_as(weights[name], parameter)))


def averaged(average: WeightAverage | None) -> AbstractContextManager[None]:
    """Inside, weights are their running means, where a run keeps such."""
    return nullcontext() if average is None else average.in_place()
