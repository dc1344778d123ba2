"""Work that several threads do side by side, each on one core, with results in order.

A small model gains little when all cores share one product: they meet after each, and wait for the slowest.
So each core computes windows of its own, as long as the model is small enough to be at work several times.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, BoundedSemaphore
from typing import TypeVar

import torch

from solfa.models import AudioEncoder

T = TypeVar("T")
R = TypeVar("R")

MOST_THREADS = 8
MOST_PARAMETERS = (
    50_000_000  # of a model that works several times at once: a larger one fills the cores alone
)


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Threads that read files and threads that compute hold one of these while they work, so that together they
# never ask for more cores than there are.
CORES = BoundedSemaphore(available_cores())


def threads_for(encoder: AudioEncoder) -> int:
    """Windows of an encoder that are computed at once: one for each of PyTorch's threads if it is small."""
    if encoder.device.type != "cpu" or sum(p.numel() for p in encoder.parameters()) > MOST_PARAMETERS:
        return 1
    return min(torch.get_num_threads(), available_cores(), MOST_THREADS)


def side_by_side(work: Callable[[T], R], things: Iterable[T], n_threads: int) -> Iterator[R]:
    """``work`` of each thing, in order, ``n_threads`` at a time; with one thread, here and now.

    Each thread computes on its share of PyTorch's threads. Twice as many results as threads are kept at most.

    Raises:
        Exception: what ``work`` raises, where its result would have come; what was begun is finished first.
    """
    if n_threads == 1:
        yield from map(work, things)
        return
    with _pool(n_threads) as pool:
        waiting: deque[Future[R]] = deque()
        for thing in things:
            waiting.append(pool.submit(work, thing))
            if len(waiting) > 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _pool(n_threads: int) -> ThreadPoolExecutor:
    """Threads of which each computes on its share of PyTorch's threads; those of the caller are as before."""
    n_before = torch.get_num_threads()
    pool = ThreadPoolExecutor(n_threads, initializer=_share, initargs=(max(1, n_before // n_threads),))
    all_here = Barrier(n_threads)
    for task in [pool.submit(all_here.wait) for _ in range(n_threads)]:
        task.result()
    torch.set_num_threads(n_before)  # which every thread sets for those that are made after it
    return pool


def _share(n_threads: int) -> None:
    torch.get_num_threads()  # a thread that has not asked takes the number of the others at its first product
    torch.set_num_threads(n_threads)
