"""A path from one track to another: tracks between, so that each sounds a little more like the end."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from solfa.retrieval.index import units

MOST_CANDIDATES = 500  # tracks nearest to both ends that a path may lead over
ROWS_AT_ONCE = 4_096  # of a large library, so that float64 takes little memory
SAME_ANGLE = 1e-3  # radians, between a track and its copy


def find_path(vectors: Float[np.ndarray, "track dim"], start: int, end: int, n_between: int) -> list[int]:
    """Rows of the path, ends included: of all paths over so many tracks the one of the smallest steps.

    The sum of the squared angles between neighbours is smallest; squares make one long step dearer than two
    short ones, so that the steps are even where there is music for it. A track comes once.

    Args:
        vectors: of tracks, less the centre of the library.
        start: row of the first track.
        end: row of the last track.
        n_between: tracks between them at most; fewer if the library has no more.
    """
    if start == end or not n_between:
        return [start, end]
    ends = units(vectors[[start, end]])
    rows = _candidates(vectors, ends)
    directions = units(vectors[rows])
    steps = np.square(_angles(directions, directions))
    np.fill_diagonal(steps, np.inf)
    # The cheapest way of each length to each candidate, step by step.
    costs = np.square(_angles(directions, ends[:1]))[:, 0]
    came_from: list[Int[np.ndarray, " candidate"]] = []
    for _ in range(min(n_between, len(rows)) - 1):
        ways = costs[:, None] + steps
        came_from.append(ways.argmin(0))
        costs = ways.min(0)
    costs = costs + np.square(_angles(directions, ends[1:]))[:, 0]
    place = int(costs.argmin()) if len(rows) else -1
    between = [place] if len(rows) else []
    for before in reversed(came_from):
        place = int(before[place])
        between.append(place)
    once = list(dict.fromkeys(reversed(between)))  # a way that turns back is cut short
    return [start, *(int(rows[place]) for place in once), end]


def _candidates(
    vectors: Float[np.ndarray, "track dim"], ends: Float[np.ndarray, "2 dim"]
) -> Int[np.ndarray, " row"]:
    """The tracks nearest to both ends, without them and their copies."""
    parts = [vectors[n : n + ROWS_AT_ONCE] for n in range(0, len(vectors), ROWS_AT_ONCE)]
    angles = np.concatenate([_angles(units(part), ends) for part in parts])
    nearest = np.argsort(np.square(angles).sum(1), kind="stable")
    is_between = (angles[nearest] > SAME_ANGLE).all(1)
    return nearest[is_between][:MOST_CANDIDATES]


def _angles(
    some: Float[np.ndarray, "one dim"], others: Float[np.ndarray, "other dim"]
) -> Float[np.ndarray, "one other"]:
    return np.arccos(np.clip(some.astype(np.float64) @ others.T.astype(np.float64), -1, 1))


def longest_step(vectors: Float[np.ndarray, "track dim"], path: Sequence[int]) -> float:
    """The largest angle between neighbours of a path, in radians."""
    directions = units(vectors[list(path)])
    return float(max(_angles(a[None], b[None])[0, 0] for a, b in pairwise(directions)))
