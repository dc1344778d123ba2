"""Soft codes: the entries near a frame share the answer, the nearest one having most of it."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEIGHBOURS = 16  # entries that share the answer; of the others none would have a part worth its price
ROUNDS = 24  # of halving the range of temperatures, 20 octaves wide


def soft_code_loss(
    logits: Float[Tensor, "hidden codebook code"],
    distances: Float[Tensor, "hidden codebook code"],
    nearest_share: float,
) -> Float[Tensor, "hidden codebook"]:
    """Cross-entropy of each code with the share that ``soften`` gives to the entries near the frame.

    Args:
        logits: what a head says.
        distances: squared, of the frame to every entry.
        nearest_share: of the nearest entry, in (1 / 16, 1).
    """
    entries, shares = soften(distances, nearest_share)
    chosen = logits.log_softmax(-1).gather(-1, entries)
    return -(shares * chosen).sum(-1)


@torch.no_grad()
def soften(
    distances: Float[Tensor, "hidden codebook code"], nearest_share: float
) -> tuple[Int[Tensor, "hidden codebook near"], Float[Tensor, "hidden codebook near"]]:
    """The nearest entries, and their shares in the answer, which add up to one.

    Shares are a softmax of -distance / T over the 16 nearest entries. T is found for each frame and codebook,
    by halving a range, such that the nearest entry has ``nearest_share``: a frame in the midst of several
    entries and one close to a single entry are equally sure of it, and differ in who has the rest. Where
    more entries than that allows lie equally near, they share alike.

    Source:
        Soft targets for BEST-RQ, arXiv:2501.16131; here with a temperature for each frame.
    """
    near, entries = distances.topk(min(NEIGHBOURS, distances.shape[-1]), dim=-1, largest=False)
    further = near - near[..., :1]
    # In units of the mean distance beyond the nearest: the temperature then lies within a few octaves.
    further = further / further.mean(-1, keepdim=True).clamp(min=1e-12)
    low, high = (torch.full_like(further[..., :1], bound) for bound in (-10.0, 10.0))
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        is_sharp = (-further * middle.exp2()).logsumexp(-1, keepdim=True) < -math.log(nearest_share)
        low, high = torch.where(is_sharp, low, middle), torch.where(is_sharp, middle, high)
    return entries, (-further * ((low + high) / 2).exp2()).softmax(-1)
