"""Moments of hidden states: sums from which the monitor reads whether they still tell frames apart."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from solfa.models.encoder import HiddenStates

MOST_DIMENSIONS = 64  # of hidden states that are watched: enough to see them collapse, and nearly free


@torch.no_grad()
def hidden_moments(states: Float[Tensor, "hidden dim"]) -> Float[Tensor, "one_and_dim one_and_dim"]:
    """Products of all pairs among one and up to 64 dimensions, evenly spaced, summed over hidden frames.

    Count, sums and products in one: what mean, deviation and directions of all frames follow from.
    """
    few = states[:, :: -(-states.shape[1] // MOST_DIMENSIONS)]
    with torch.autocast(states.device.type, enabled=False):
        few = nn.functional.pad(few.float(), (1, 0), value=1.0)
        return few.T @ few


@torch.no_grad()
def moments_of_layers(hidden: HiddenStates, layers: Sequence[int]) -> dict[str, Tensor]:
    """Moments of the frames of some layers, and of the means of clips, by the number of the layer.

    Narrow means tell that an encoder is about to call all clips alike, some time before its loss does.

    Args:
        hidden: of all layers; nothing was hidden.
        layers: to be watched, 0 being what enters the first.
    """
    found = {}
    for number in layers:
        states = hidden.states[number]
        found[f"layers.{number}.frame_moments"] = hidden_moments(states.flatten(0, 1))
        found[f"layers.{number}.pooled_moments"] = hidden_moments(states.mean(1))
    return found
