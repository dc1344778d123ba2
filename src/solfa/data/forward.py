"""Decodes that only go forward, read at any sample; and stretches of several rates made one."""

import sys
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import soxr
from jaxtyping import Float

HELD_SAMPLES = (
    2**20
)  # that a reader may go back without a new beginning; a resampler's phase asks for as many

Placed = tuple[int, Float[np.ndarray, "sample channel"]]  # the place of the first sample, and samples


class ForwardReader:
    """Samples of a decode from any place on. Reading on, or a little back, goes on with the decode as it is.

    Args:
        begin: a new decode, for samples from a place on: blocks in their order, without gaps; the first may
            lie before that place.
        leap_samples: how far ahead a new decode is sooner there than this one; None if it never is.
    """

    def __init__(self, begin: Callable[[int], Iterator[Placed]], leap_samples: int | None = None) -> None:
        self._begin, self._leap_samples = begin, leap_samples
        self._decode: Iterator[Placed] | None = None
        self._held: deque[Placed] = deque()
        self._next = 0  # place after the last sample that was decoded

    def blocks(self, start: int, stop: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        """Samples ``start`` to ``stop`` (to the end if None), fewer where the decode ends."""
        stop = sys.maxsize if stop is None else stop
        decode = self._decode
        if decode is None or not self._is_near(start):
            self._held.clear()
            self._decode = decode = self._begin(start)
        for position, samples in self._held_and_new(decode):
            if position >= stop:
                return
            wanted = samples[max(0, start - position) : min(stop - position, len(samples))]
            if len(wanted):
                yield wanted
            if position + len(samples) >= stop:
                return

    def _is_near(self, start: int) -> bool:
        first = self._held[0][0] if self._held else self._next
        return first <= start and (self._leap_samples is None or start < self._next + self._leap_samples)

    def _held_and_new(self, decode: Iterator[Placed]) -> Iterator[Placed]:
        yield from list(self._held)
        while True:
            self._decode = None  # an error ends a decode
            block = next(decode, None)
            self._decode = decode
            if block is None:
                return
            self._held.append(block)
            self._next = block[0] + len(block[1])
            while self._held and self._next - self._held[0][0] - len(self._held[0][1]) > HELD_SAMPLES:
                self._held.popleft()
            yield block


class Leveller:
    """Blocks of any rate and number of channels -> blocks of one rate and number.

    Where the channels differ in number, each gets the mean of all: so the mean, which is heard, is right.
    """

    def __init__(self, sample_rate: int, n_channels: int) -> None:
        self.sample_rate, self.n_channels = sample_rate, n_channels
        self._rate = sample_rate  # of what came last
        self._resampler: soxr.ResampleStream | None = None

    def is_change(self, sample_rate: int) -> bool:
        """Whether a block of that rate begins a new stretch."""
        return sample_rate != self._rate

    def level(
        self, block: Float[np.ndarray, "sample channel"], sample_rate: int
    ) -> Float[np.ndarray, "resampled {self.n_channels}"]:
        """A block as it goes on; what a resampler still holds back comes later."""
        if sample_rate != self._rate:
            is_own = sample_rate == self.sample_rate
            self._rate = sample_rate
            self._resampler = (
                None if is_own else soxr.ResampleStream(sample_rate, self.sample_rate, self.n_channels)
            )
        if block.shape[1] != self.n_channels:
            block = np.repeat(block.mean(axis=1, keepdims=True), self.n_channels, axis=1)
        if self._resampler is None:
            return block
        return self._resampler.resample_chunk(np.ascontiguousarray(block))

    def rest(self) -> Float[np.ndarray, "sample {self.n_channels}"]:
        """What was held back at the end of a stretch."""
        nothing = np.zeros((0, self.n_channels), np.float32)
        if self._resampler is None:
            return nothing
        resampler, self._resampler, self._rate = self._resampler, None, self.sample_rate
        return resampler.resample_chunk(nothing, last=True)
