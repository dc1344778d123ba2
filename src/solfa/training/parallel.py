"""Parallel: one gradient out of several forward passes and ranks: wrap, accumulate, divide, clip."""

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from solfa import distributed
from solfa.data.clips import Clips
from solfa.errors import ArgumentError
from solfa.objectives import Objective, StepOutput
from solfa.precision import DTYPES, Precision, half_precision

# Buffers of all ranks are equal by themselves, and need not be shared in every pass. What says so has another
# name since PyTorch 2.13, which warns of the old one.
_KNOWN = inspect.signature(DistributedDataParallel).parameters
SHARES_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _KNOWN else "broadcast_buffers"


class Parallel:
    """An objective on this rank's device, whose gradients are those of all ranks together."""

    def __init__(
        self, objective: Objective, device: torch.device, precision: Precision, is_sharded: bool = False
    ) -> None:
        self.objective, self.device = objective, device
        self.dtype = half_precision(precision, device)  # of products in forward passes; None: float32
        self.module: nn.Module = objective
        self.is_sharded = is_sharded and distributed.world_size() > 1
        if self.is_sharded:
            self._shard()
        elif distributed.world_size() > 1 and any(p.requires_grad for p in objective.parameters()):
            settings: dict[str, Any] = {SHARES_BUFFERS: False}
            if device.type == "cuda":
                settings["device_ids"] = [device]
            self.module = DistributedDataParallel(objective, **settings)

    def _shard(self) -> None:
        from solfa.training.sharding import shard

        if self.is_scaled:
            raise ArgumentError(
                "Each process would find a loss scale of its own for its share of the gradients. With "
                "--shard set precision to bfloat16 or float32."
            )
        self.share_state()
        shard(self.objective, self.device)

    @property
    def is_scaled(self) -> bool:
        """Whether losses are to be scaled, so that small gradients do not vanish."""
        return self.dtype is DTYPES["float16"]

    def autocast(self) -> AbstractContextManager[Any]:
        """For forward passes only. A backward pass follows the precision of each product by itself.

        Inside, it would also round the gradients of what the forward pass had kept out of half precision.
        """
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)

    def forward(self, clips: Clips) -> StepOutput:
        """Loss and figures of this rank's clips, whose gradients are to be joined with other ranks'."""
        with self.autocast():
            return self.module(clips.to(self.device))

    def answer(self, clips: Clips) -> StepOutput:
        """Loss and figures without a gradient.

        Ranks may call it unequally often, unless they share out weights.
        """
        with self.autocast():
            step = self.objective(clips.to(self.device))
        if self.is_sharded:  # what was gathered may be of other weights than those of the next pass
            self.objective.reshard()  # type: ignore[operator]
        return step

    def accumulating(self, is_last: bool) -> AbstractContextManager[Any]:
        """Gradients of the passes inside are joined with those of other ranks in a step's last pass only."""
        if is_last or not isinstance(self.module, DistributedDataParallel):
            return nullcontext()
        return self.module.no_sync()

    def share_state(self) -> None:
        """Give all ranks the weights and buffers of the first, whatever each has measured or loaded.

        Weights that are shared out were made equal before.
        """
        state = [*self.objective.parameters(), *self.objective.buffers()]
        distributed.share_first(tensor for tensor in state if not distributed.is_shared_out(tensor))

    def divide_and_clip(self, count: Tensor, longest: float | None) -> Tensor:
        """Make gradients of a sum over ``count`` those of the mean, and clip; their norm before clipping.

        Args:
            count: of all ranks.
            longest: norm that gradients are shortened to; None leaves them as long as they are.
        """
        parameters = [p for p in self.objective.parameters() if p.grad is not None]
        if not parameters:
            return torch.zeros_like(count)
        share = distributed.world_size() / count.clamp(min=1)  # the joined ones are means over the ranks
        gradients = [distributed.local(p.grad) for p in parameters if p.grad is not None]
        for gradient in gradients:
            gradient.mul_(share)
        most = float("inf") if longest is None else longest
        if not self.is_sharded:
            return nn.utils.clip_grad_norm_(parameters, most)
        norm = distributed.all_reduce_sum(nn.utils.get_total_norm(gradients).square()).sqrt()
        for gradient in gradients:
            gradient.mul_((most / (norm + 1e-6)).clamp(max=1.0))
        return norm


def tracks_of(parts: Sequence[StepOutput], tracks: Sequence[Int[Tensor, " clip"]]) -> list[int]:
    """Tracks in whose passes the loss was not finite, on all ranks; those of all passes if it was in none.

    A call is collective: every rank makes it.

    Args:
        parts: what the passes of this rank said.
        tracks: of each pass.
    """
    rows = []
    for part, numbers in zip(parts, tracks, strict=True):
        is_bad = (~torch.isfinite(part.loss.detach())).long().expand(len(numbers))
        rows.append(torch.stack([numbers.to(is_bad.device), is_bad], 1))
    number, is_bad = distributed.all_gather(torch.cat(rows)).unbind(1)
    return sorted(set(number[is_bad.bool()].tolist() or number.tolist()))
