"""Several files that lie one behind the other in one, as one decoder."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np
from jaxtyping import Float

from solfa.data.base import MISSING_SECONDS, Damage, Decoder, damaged
from solfa.data.containers import Part
from solfa.data.forward import ForwardReader, Leveller, Placed
from solfa.frames import samples_to_seconds, seconds_to_samples


class JoinedDecoder:
    """Files joined in one, at the rate and with the channels of the first.

    Args:
        parts: the files.
        open_part: a decoder of one of them.
        take_damaged: a part is as long as what can be decoded of it.
    """

    def __init__(
        self, parts: Sequence[Part], open_part: Callable[[Part], Decoder], *, take_damaged: bool = False
    ) -> None:
        self.parts, self._open_part, self.take_damaged = parts, open_part, take_damaged
        self.damage: list[Damage] = []
        self._number, self._decoder = 0, open_part(parts[0])
        first = self._decoder
        self.name, self.sample_rate, self.n_channels = first.name, first.sample_rate, first.n_channels
        self.holds_floats = getattr(first, "holds_floats", False)
        self._lengths: dict[int, int] = {}  # of parts, in samples at the rate of the first
        self._reader: ForwardReader | None = None  # of a part that has another rate

    @property
    def n_samples(self) -> int:
        """Length of all files together."""
        return sum(self._length(number) for number in range(len(self.parts)))

    def blocks(self, start: int, n_samples: int | None) -> Iterator[Float[np.ndarray, "sample channel"]]:
        """Samples from ``start`` on, in blocks."""
        stop = sys.maxsize if n_samples is None else start + n_samples
        begins = 0
        for number in range(len(self.parts)):
            if begins >= stop:
                return
            ends = begins + self._length(number)
            if start < ends:
                yield from self._of_part(number, max(0, start - begins), min(stop, ends) - begins, begins)
            begins = ends

    def close(self) -> None:
        """Let go of the file."""
        self._decoder.close()

    def _length(self, number: int) -> int:
        if number not in self._lengths:
            if number == self._number:
                part = self._decoder
                self._lengths[number] = self._scaled(part)
            else:
                with closing(self._open_part(self.parts[number])) as part:
                    self._lengths[number] = self._scaled(part)
        return self._lengths[number]

    def _scaled(self, part: Decoder) -> int:
        n_samples = sum(len(block) for block in part.blocks(0, None)) if self.take_damaged else part.n_samples
        return seconds_to_samples(samples_to_seconds(n_samples, part.sample_rate), self.sample_rate)

    def _of_part(
        self, number: int, start: int, stop: int, begins: int
    ) -> Iterator[Float[np.ndarray, "sample channel"]]:
        """Samples of a part, as many as it promises; of the last as many as there are."""
        if number != self._number:
            self._decoder.close()
            self._decoder, self._number, self._reader = self._open_part(self.parts[number]), number, None
        n_given = 0
        for block in self._levelled(start, stop):
            yield block
            n_given += len(block)
        n_missing = stop - start - n_given
        if not n_missing or number == len(self.parts) - 1:
            return
        missing_seconds = samples_to_seconds(n_missing, self.sample_rate)
        if missing_seconds > MISSING_SECONDS and not self.take_damaged:
            at = samples_to_seconds(begins + start + n_given, self.sample_rate)
            raise damaged(self.parts[0].path, at, missing_seconds)
        yield np.zeros((n_missing, self.n_channels), np.float32)  # or else the next part comes early

    def _levelled(self, start: int, stop: int) -> Iterator[Float[np.ndarray, "sample channel"]]:
        if self._decoder.sample_rate != self.sample_rate:
            # The phase of a resampler is that of the whole part, which is therefore read from its beginning.
            if self._reader is None:
                self._reader = ForwardReader(lambda _: self._resampled())
            yield from self._reader.blocks(start, stop)
            return
        leveller = Leveller(self.sample_rate, self.n_channels)
        for block in self._decoder.blocks(start, stop - start):
            yield leveller.level(block, self.sample_rate)

    def _resampled(self) -> Iterator[Placed]:
        leveller, position = Leveller(self.sample_rate, self.n_channels), 0
        for block in self._decoder.blocks(0, None):
            new = leveller.level(block, self._decoder.sample_rate)
            yield position, new
            position += len(new)
        yield position, leveller.rest()
