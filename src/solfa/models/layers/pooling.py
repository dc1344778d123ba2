"""The visible states of a clip -> what is said of it as a whole: their mean and deviation."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LEAST_VARIANCE = 1e-6  # added: a root has no slope at zero, where a clip has one visible frame


def mean_state(
    states: Float[Tensor, "clip frame dim"], visible: Bool[Tensor, "clip frame"] | None
) -> Float[Tensor, "clip dim"]:
    """The mean of each clip's states; of the visible ones, if some are not, and zero if none is."""
    if visible is None:
        return states.mean(1)
    return states.masked_fill(~visible[..., None], 0).sum(1) / visible.sum(1, keepdim=True).clamp(min=1)


def mean_and_deviation(
    states: Float[Tensor, "clip frame dim"], visible: Bool[Tensor, "clip frame"] | None
) -> Float[Tensor, "clip two_dim"]:
    """Mean and deviation over the visible states of each clip, side by side: twice as wide as a state."""
    mean = mean_state(states, visible)
    variance = mean_state((states - mean[:, None]).square(), visible)
    return torch.cat([mean, (variance + LEAST_VARIANCE).sqrt()], dim=1)
