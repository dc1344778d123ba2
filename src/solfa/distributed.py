"""Ranks, gathering, averaging; the only file that asks which process it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """Number of this process among all, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process writes logs and checkpoints."""
    return rank() == 0


def local_rank() -> int:
    """Number of this process on its machine, which is also the number of its device."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that ``torchrun`` started; nothing happens in a single process."""
    started = "RANK" in os.environ and not dist.is_initialized()
    if started:
        # Checkpointing imports this module, whose default arguments keep the group of that moment for good;
        # threads of a group that lives on can abort the process as it ends. So now, while there is none.
        import_module("torch.distributed.nn.functional")
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        if started:
            dist.destroy_process_group()


def barrier() -> None:
    """Wait for all processes."""
    if world_size() > 1:
        dist.barrier()


def total(value: Tensor) -> Tensor:
    """Sum of ``value`` over the ranks, outside of the gradient."""
    if world_size() > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
    return value


def from_first(value: Any) -> Any:
    """What the first rank holds, on every rank (any object that pickles)."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather_rows(rows: Tensor) -> Tensor:
    """Rows of all ranks, in the order of ranks, outside of the gradient; ranks may hold unequal counts."""
    if world_size() == 1:
        return rows
    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    longest = int(max(counts))
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: len(rows)] = rows
    gathered = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(gathered, padded)
    return torch.cat([part[: int(n)] for part, n in zip(gathered, counts, strict=True)])


def gather_with_gradient(rows: Tensor) -> tuple[Tensor, int]:
    """Rows of all ranks, in order, and the place of this rank's first one; gradients flow back to all."""
    if world_size() == 1:
        return rows, 0
    counts = gather_rows(torch.tensor([len(rows)], device=rows.device)).tolist()
    first = sum(counts[: rank()])
    mine = torch.nn.functional.pad(rows, (0, 0, first, sum(counts) - first - len(rows)))
    return sum_over_ranks(mine), first


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum over the ranks, through which gradients flow back to every rank's share."""
    return _SumOverRanks.apply(value) if world_size() > 1 else value


class _SumOverRanks(torch.autograd.Function):
    """The sum of all ranks; its gradient is the sum of the gradients of all ranks."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return total(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return total(gradient.contiguous())
