"""Windows of many files -> hidden states: read ahead by threads, encoded in batches."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.embedding.side_by_side import CORES, side_by_side, threads_for
from solfa.embedding.windows import Window
from solfa.models import AudioEncoder
from solfa.models.checks import NotFiniteError
from solfa.precision import Precision, computing_in

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True)
class Encoded:
    """The frames taken from one window; the parts of a track, one after the other, are its frames."""

    states: Float[Tensor, "layer frame dim"]  # float32, on the CPU
    is_last: bool
    peaks: Float[np.ndarray, " sounding"]  # as in ``Window``; an encoder may leave out a last part of a frame


def encode(
    items: Iterable[tuple[K, Any]],
    encoder: AudioEncoder,
    layers: Sequence[int],
    windows_at_once: int,
    precision: Precision = "float32",
) -> Iterator[tuple[K, Any]]:
    """Turn each Window among ``items`` into its Encoded; what is no window goes through unchanged.

    Args:
        items: windows of any number of files and whatever else there is to say about them, under a key
            for each file. The order is kept.
        encoder: in eval mode.
        layers: numbers of the layers wanted, as in ``HiddenStates``.
        windows_at_once: in one forward pass; a window's frames do not depend on the others.
        precision: of the forward pass.

    Returns:
        Pieces; in place of a window that the encoder refuses or fails at, its error.

    Raises:
        ValueError: no such layer.
        NotFiniteError: the encoder is at fault, and would refuse one window after the other.
    """
    layers = encoder.layer_numbers(layers)

    def work(job: list[tuple[K, Any]]) -> list[tuple[K, Any]]:
        if not isinstance(job[0][1], Window):
            return job
        with CORES if encoder.device.type == "cpu" else nullcontext():
            return list(_encode_batch(job, encoder, layers, precision))

    for done in side_by_side(work, _jobs(items, windows_at_once), threads_for(encoder)):
        yield from done


def _jobs(items: Iterable[tuple[K, Any]], windows_at_once: int) -> Iterator[list[tuple[K, Any]]]:
    """Batches of windows, and everything else by itself, in order."""
    waiting: list[tuple[K, Any]] = []
    for key, item in items:
        if isinstance(item, Window):
            waiting.append((key, item))
        if waiting and (len(waiting) == windows_at_once or not isinstance(item, Window)):
            yield waiting
            waiting = []
        if not isinstance(item, Window):
            yield [(key, item)]
    if waiting:
        yield waiting


@contextmanager
def read_ahead(
    read: Callable[[T], Iterable[Any]], things: Iterable[T], *, n_workers: int, n_ahead: int
) -> Iterator[Iterator[Any]]:
    """All that ``read`` gives for each of ``things``, made by threads up to ``n_ahead`` items ahead.

    The items of one thing keep their order; those of different things may mix if there are several workers.
    """
    made: Queue[Any] = Queue(n_ahead)
    row, lock, stop = iter(things), threading.Lock(), threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                with lock:
                    thing = next(row, _DONE)
                if thing is _DONE:
                    break
                for item in _holding_a_core(read(thing)):  # type: ignore[arg-type]
                    made.put(item)
                    if stop.is_set():
                        break
        except BaseException as error:  # a fault of the program, to be raised where the items are read
            made.put(_Fault(error))
        finally:
            made.put(_DONE)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(n_workers)]
    for thread in threads:
        thread.start()
    try:
        yield _taken(made, n_workers)
    finally:
        stop.set()
        while any(thread.is_alive() for thread in threads):
            _drain(made)


def _holding_a_core(items: Iterable[T]) -> Iterator[T]:
    """The items, each made while one of the cores is held, and none while one is waited for."""
    made = iter(items)
    while True:
        with CORES:
            item = next(made, _DONE)
        if item is _DONE:
            return
        yield item  # type: ignore[misc]


@dataclass(frozen=True)
class _Fault:
    error: BaseException


_DONE = object()


def _taken(made: "Queue[Any]", n_workers: int) -> Iterator[Any]:
    while n_workers:
        item = made.get()
        if isinstance(item, _Fault):
            raise item.error
        if item is _DONE:
            n_workers -= 1
        else:
            yield item


def _drain(made: "Queue[Any]") -> None:
    """Make room, so that a thread that waits for it can see that it should stop."""
    with suppress(Empty):
        made.get(timeout=0.05)


def _encode_batch(
    batch: Sequence[tuple[K, Window]], encoder: AudioEncoder, layers: Sequence[int], precision: Precision
) -> Iterator[tuple[K, Encoded | Exception]]:
    if not batch:
        return
    try:
        parts = _encoded_of([window for _, window in batch], encoder, layers, precision)
    except NotFiniteError:
        raise
    except Exception as error:  # memory that ended, among others: one window may still have its place
        if len(batch) == 1:
            yield batch[0][0], error
        else:  # one of them is at fault: find it, and give the others what is theirs
            for single in batch:
                yield from _encode_batch([single], encoder, layers, precision)
        return
    for (key, _), part in zip(batch, parts, strict=True):
        yield key, part


@torch.no_grad()
def _encoded_of(
    windows: Sequence[Window], encoder: AudioEncoder, layers: Sequence[int], precision: Precision
) -> list[Encoded]:
    device = encoder.device
    lengths = torch.tensor([len(window.waveform) for window in windows])
    waveform = torch.zeros(len(windows), int(lengths.max()), dtype=torch.float32)
    for row, window in zip(waveform, windows, strict=True):
        row[: len(window.waveform)] = torch.from_numpy(window.waveform)
    is_padded = bool((lengths < waveform.shape[1]).any())
    with computing_in(precision, device):
        hidden = encoder(waveform, lengths if is_padded else None, layers)
    states = torch.stack(hidden.states, dim=1).cpu()
    return [
        Encoded(clip[:, :n_frames][:, window.taken], window.is_last, window.peaks)
        for clip, n_frames, window in zip(states, hidden.n_frames.tolist(), windows, strict=True)
    ]
