"""Ranks, gathering, averaging; the only file that asks which process it is.

What ranks exchange are tensors, on the device where they lie: a pickled one would arrive on the device of its
sender. Where one process fails, the others would wait for it, so all end: see ``process_group``.
"""

import atexit
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from solfa.errors import SolfaError

SECONDS_BETWEEN_LOOKS = 0.5  # for a failure of another process
SECONDS_TO_END = 5.0  # that a process has to end by itself after another has failed
FAILED = 3  # exit code of what could not be done
GONE = (
    "Another process is gone without a word: the system may have ended it for want of memory. Lower "
    "--clips-per-device or --workers, and continue with --resume."
)
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")  # by a process that is gone


class EndedByAnother(SolfaError, RuntimeError):  # noqa: N818
    """Another process has failed, and says itself why: this one ends with it."""


def rank() -> int:
    """Number of this process among all, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process writes logs and checkpoints."""
    return rank() == 0


def local_rank() -> int:
    """Number of this process on its machine, which is also the number of its device."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that ``torchrun`` started; nothing happens in a single process.

    An error in one process ends all of them within seconds. It is raised in the process that it came up in;
    the others, which wait for that one or soon would, leave with ``EndedByAnother`` or, if they wait inside a
    library, at once. The exit code of all is 3, and no further group can be joined.

    Raises:
        EndedByAnother: an error came up in another process.
        ConnectionError: another process was ended from outside.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    # Checkpointing imports this module, whose default arguments keep the group of that moment for good;
    # threads of a group that lives on can abort the process as it ends. So now, while there is none.
    import_module("torch.distributed.nn.functional")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    watch = _Watch() if world_size() > 1 else None
    try:
        yield
        barrier()  # or the first process, which keeps the list of failures, might leave before others fail
    except BaseException as error:
        if watch is None:
            raise
        if not watch.tell():
            raise EndedByAnother("Another process has failed; what it says is the cause.") from error
        if isinstance(error, RuntimeError) and any(lost in str(error) for lost in LOST):
            raise ConnectionError(GONE) from error
        raise
    finally:
        _leave(watch)


def _leave(watch: "_Watch | None") -> None:
    """End the group; after a failure only once this process ends.

    A sum that is under way with a process that is gone may never end, and who ends the group waits for it.
    So the group is left alone, and goes with this process, which then tidies up no further.
    """
    if watch:
        watch.close()
    if watch and watch.has_failed:
        atexit.register(_end_at_once)
        if is_main():
            watch.wait_until_told(world_size())
    else:
        dist.destroy_process_group()


def _end_at_once() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(FAILED)


class _Watch:
    """Tells other processes of a failure here, and ends this one soon after a failure there.

    The failures are counted in the store by which the processes found each other. It is looked at in a thread
    with a connection of its own: the main one may be waiting, for half an hour, inside a library.
    """

    def __init__(self) -> None:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self.store = dist.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=SECONDS_TO_END))
        self.key = f"solfa/failures/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
        self.has_failed = False  # here, or elsewhere as far as this process knows
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def tell(self) -> bool:
        """Tell the others that this process fails; False if another one has failed before."""
        was_known, self.has_failed = self.has_failed, True
        try:
            return self.store.add(self.key, 1) == 1
        except RuntimeError:  # the process that keeps the store is gone
            return not was_known

    def wait_until_told(self, n_processes: int) -> None:
        """Wait, for some seconds, until all processes have told of a failure: no store, no list of them."""
        latest = time.monotonic() + SECONDS_TO_END
        with suppress(RuntimeError):  # who started the processes may have ended it all by now
            while self.store.add(self.key, 0) < n_processes and time.monotonic() < latest:
                time.sleep(0.05)

    def close(self) -> None:
        """Look no more."""
        self.is_over.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.is_over.wait(SECONDS_BETWEEN_LOOKS):
            try:
                is_failing = self.store.check([self.key])
            except RuntimeError:
                is_failing = True
            if is_failing:
                self.has_failed = True
                self._wait_for_the_end()
                return

    def _wait_for_the_end(self) -> None:
        """Let the process end by itself, for some seconds."""
        if self.is_over.wait(SECONDS_TO_END):
            return
        if sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h")  # a progress bar may have hidden the cursor
        os._exit(FAILED)


def barrier() -> None:
    """Wait for all processes."""
    if world_size() > 1:
        dist.barrier()


def all_reduce_sum(value: Tensor) -> Tensor:
    """Sum of ``value`` over the ranks, outside of the gradient."""
    if world_size() > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
    return value


def broadcast(value: Tensor) -> Tensor:
    """The first rank's tensor on every rank, each of which has one of the same shape, on its own device."""
    if world_size() > 1:
        value = value.detach().clone()
        dist.broadcast(value, src=0)
    return value


def share_first(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors by those of the first rank."""
    for tensor in tensors:
        tensor.detach().copy_(broadcast(tensor))


def gather_texts(text: str, device: torch.device) -> list[str]:
    """A text of each rank, in the order of ranks; they travel as bytes on ``device``."""
    written = bytearray(f"{text}\0".encode())
    together = all_gather(torch.frombuffer(written, dtype=torch.uint8).to(device))
    return bytes(together.tolist()).decode().split("\0")[:-1]


def all_gather(rows: Tensor) -> Tensor:
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
    counts = all_gather(torch.tensor([len(rows)], device=rows.device)).tolist()
    first = sum(counts[: rank()])
    mine = torch.nn.functional.pad(rows, (0, 0, first, sum(counts) - first - len(rows)))
    return sum_over_ranks(mine), first


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum over the ranks, through which gradients flow back to every rank's share."""
    return _SumOverRanks.apply(value) if world_size() > 1 else value


# --- tensors of which each rank holds some rows -------------------------------------------------------------


def is_shared_out(tensor: Tensor) -> bool:
    """Whether it is a DTensor, of which each rank holds some rows; its class takes a second to import."""
    return hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor, in its own memory: some rows, or all of it."""
    return tensor.to_local() if is_shared_out(tensor) else tensor  # type: ignore[attr-defined]


def whole(tensor: Tensor) -> Tensor:
    """All rows of a tensor; where ranks hold some of them each, a call is collective."""
    return tensor.full_tensor() if is_shared_out(tensor) else tensor  # type: ignore[attr-defined]


def held_as(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor that is the same on all ranks, shared out among them if ``like`` is, on its device."""
    if not is_shared_out(like) or is_shared_out(tensor):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    rows = like.device_mesh, like.placements  # type: ignore[attr-defined]
    return distribute_tensor(tensor.to(like.device), *rows, src_data_rank=None)


def load_whole(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Fill a module, whose weights may be shared out, with whole ones that are the same on all ranks.

    Raises:
        RuntimeError: they are of another module.
    """
    held = module.state_dict()
    module.load_state_dict({n: held_as(w, held[n]) if n in held else w for n, w in weights.items()})


def n_rows_of(n_rows: int, number: int) -> int:
    """Rows of ``n_rows`` that the rank of a number holds: the first have as many each, the last fewer."""
    most = -(-n_rows // world_size())
    return min(most, max(0, n_rows - number * most))


def exchange(parts: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Give a tensor to each rank, and get one from each; a call is collective.

    Args:
        parts: for each rank, in order; any of them may be empty.
        shapes: of what each rank gives this one.
    """
    sizes = [math.prod(shape) for shape in shapes]
    got = parts[0].new_empty(sum(sizes))
    given = torch.cat([part.reshape(-1) for part in parts])
    dist.all_to_all_single(got, given, sizes, [part.numel() for part in parts])
    return [part.view(shape) for part, shape in zip(got.split(sizes), shapes, strict=True)]


class _SumOverRanks(torch.autograd.Function):
    """The sum of all ranks; its gradient is the sum of the gradients of all ranks."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return all_reduce_sum(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return all_reduce_sum(gradient.contiguous())
