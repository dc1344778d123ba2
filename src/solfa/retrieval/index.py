"""Indexes: which vectors of a library point most nearly in a direction. Exact, by one matrix product."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from solfa.retrieval.library import Library


@runtime_checkable
class Index(Protocol):
    """What finds the nearest tracks of a library."""

    centre: Float[np.ndarray, " dim"]  # taken from vectors before they are compared; zeros if nothing is

    def follow(self, library: Library) -> None:
        """Take in what has changed in a library since the last time."""

    def forget(self) -> None:
        """Forget all vectors: the library has become one of another space."""

    def nearest(
        self,
        direction: Float[np.ndarray, " dim"],
        n: int,
        *,
        among: Sequence[int] | None = None,
        without: Sequence[int] = (),
    ) -> list[tuple[int, float]]:
        """Numbers of the ``n`` nearest tracks and their cosine, best first.

        Args:
            direction: of length one.
            n: at most so many.
            among: only these tracks; all if None.
            without: not these.
        """


class ExactIndex:
    """All vectors in memory as float32, and one matrix product for each query.

    Args:
        centred: take the mean of all vectors from each before comparing. Mean hidden states of music all
            point to one side; what is left says in what tracks differ. The scores then depend on what else
            is in the library.
    """

    def __init__(self, centred: bool = False) -> None:
        self.centred = centred
        self.forget()

    def forget(self) -> None:
        """As of ``Index``."""
        self.ids = np.zeros(0, np.int64)
        self.centre = np.zeros(1, np.float32)
        self._row_of: dict[str, int] = {}  # of each content that is in memory
        self._vectors = self._units = np.zeros((0, 1), np.float32)

    def follow(self, library: Library) -> None:
        """Read the vectors of contents that are new, and forget those that have gone."""
        contents = library.contents()
        hashes = [content_hash for _, content_hash in contents]
        fresh = [hash_ for hash_ in dict.fromkeys(hashes) if hash_ not in self._row_of]
        vectors = library.vectors_of(fresh)
        if not self.centred:
            vectors /= _lengths(vectors)
        if self._row_of:
            vectors = np.concatenate([self._vectors, vectors]) if fresh else self._vectors  # no second copy
        row_of = self._row_of | {hash_: len(self._row_of) + n for n, hash_ in enumerate(fresh)}
        rows = np.array([row_of[hash_] for hash_ in dict.fromkeys(hashes)], np.int64)
        self._vectors = vectors if _is_range(rows, len(vectors)) else vectors[rows]
        self._row_of = {hash_: n for n, hash_ in enumerate(dict.fromkeys(hashes))}
        self.ids = np.array([id for id, _ in contents], np.int64)
        rows = np.array([self._row_of[hash_] for hash_ in hashes], np.int64)
        self._compare(self._vectors if _is_range(rows, len(self._vectors)) else self._vectors[rows])

    def _compare(self, vectors: Float[np.ndarray, "track dim"]) -> None:
        """Vectors of all tracks, one for each, as they are compared."""
        self.centre, self._units = np.zeros(vectors.shape[1], np.float32), vectors
        if self.centred and len(vectors):
            self.centre = vectors.mean(0, dtype=np.float64).astype(np.float32)
            self._units = units(vectors - self.centre)

    def nearest(
        self,
        direction: Float[np.ndarray, " dim"],
        n: int,
        *,
        among: Sequence[int] | None = None,
        without: Sequence[int] = (),
    ) -> list[tuple[int, float]]:
        """As of ``Index``; equal scores come in the order of the numbers."""
        scores = self._units @ direction
        scores[self._rows(without)] = -np.inf
        rows = None if among is None else self._rows(among)
        candidates = scores if rows is None else scores[rows]
        best = _highest(candidates, n)
        best = best[candidates[best] > -np.inf]
        found = best if rows is None else rows[best]
        return [(int(self.ids[row]), float(scores[row])) for row in found]

    def _rows(self, ids: Sequence[int]) -> np.ndarray:
        """Where tracks stand; numbers that are not there are passed over."""
        wanted = np.array(ids, np.int64)
        rows = np.minimum(np.searchsorted(self.ids, wanted), max(0, len(self.ids) - 1))
        return rows[self.ids[rows] == wanted] if len(self.ids) else rows[:0]


def _highest(scores: Float[np.ndarray, " row"], n: int) -> np.ndarray:
    """Rows of the ``n`` highest scores, equal ones in their order."""
    # All that equal the last of them are looked at, so that their order decides.
    lowest = np.partition(scores, -n)[-n] if n < len(scores) else -np.inf
    rows = np.flatnonzero(scores >= lowest)
    return rows[np.argsort(-scores[rows], kind="stable")][:n]


def units(vectors: Float[np.ndarray, "row dim"]) -> Float[np.ndarray, "row dim"]:
    """Vectors of length one; a vector of zeros stays what it is, and is similar to nothing."""
    return vectors / _lengths(vectors)


def _lengths(vectors: Float[np.ndarray, "row dim"]) -> Float[np.ndarray, "row 1"]:
    """Of each vector, and 1 for a vector of zeros."""
    squares = np.einsum("ij,ij->i", vectors, vectors)  # without a copy of what may fill the memory
    return np.where(squares > 0, np.sqrt(squares), 1)[:, None].astype(vectors.dtype)


def _is_range(rows: np.ndarray, n: int) -> bool:
    """Whether rows are all of n in their order, so that nothing need be copied."""
    return len(rows) == n and bool((rows == np.arange(n)).all())
