"""Which hidden frames a prediction is asked about: all, or those well inside a hidden span."""

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from solfa import distributed
from solfa.objectives.base import StepOutput


def inner_frames(mask: Bool[Tensor, "clip frame"], margin_frames: int) -> Bool[Tensor, "clip frame"]:
    """Hidden frames with ``margin_frames`` hidden frames, or an end of the clip, on both sides.

    A feature whose window reaches across the edge of a span could be told from what is visible beside it.
    """
    visible = F.pad((~mask).float(), (margin_frames, margin_frames))
    return F.max_pool1d(visible[:, None], 2 * margin_frames + 1, stride=1)[:, 0] == 0


def as_of_all(
    step: StepOutput,
    scored: Bool[Tensor, "clip frame"],
    mask: Bool[Tensor, "clip frame"],
    *,
    is_training: bool,
) -> StepOutput:
    """What a prediction about some hidden frames says, as if it were about all of them.

    Loss and figures are sums over frames, and the trainer divides by the number of hidden frames: they are
    multiplied by the ratio of both numbers, so that a weight means the same with a margin and without. In
    training both are counted over all ranks, so that every frame counts alike; a call is then collective.
    """
    counts = torch.stack([scored.sum(), mask.sum()]).double()
    n_scored, n_hidden = distributed.all_reduce_sum(counts) if is_training else counts
    ratio = (n_hidden / n_scored.clamp(min=1)).to(step.loss.dtype)
    statistics = {
        name: value * ratio if name == "value_moments" else value for name, value in step.statistics.items()
    }
    sums = {name: value * ratio for name, value in step.sums.items()}
    return replace(step, loss=step.loss * ratio, count=mask.sum().float(), sums=sums, statistics=statistics)
