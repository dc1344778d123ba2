"""Pure functions f(reference, estimated): retrieval among labelled vectors."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import average_precision_score


@dataclass(frozen=True)
class Retrieval:
    """How well equals find each other."""

    recall_at_1: float  # share of queries whose nearest neighbour is an equal
    mean_average_precision: float  # mean over queries of the area under precision against recall
    chance: float  # recall at 1 of a random order
    n_queries: int


def retrieval(reference: Int[np.ndarray, " query"], estimated: Float[np.ndarray, "query query"]) -> Retrieval:
    """Rank all others for every query, and ask where its equals are.

    Args:
        reference: a label for each vector: equals have the same one.
        estimated: similarity of every pair, larger meaning nearer; the diagonal is not looked at.

    Raises:
        ValueError: no two vectors are equals, so that there is nothing to find.
    """
    n = len(reference)
    equal = reference[:, None] == reference[None]
    np.fill_diagonal(equal, False)
    asking = np.flatnonzero(equal.any(1))
    if not len(asking):
        raise ValueError("No two vectors share a label: retrieval needs at least two of the same track.")
    others = ~np.eye(n, dtype=bool)
    nearest = np.where(others, estimated, -np.inf)[asking].argmax(1)
    precisions = [average_precision_score(equal[q, others[q]], estimated[q, others[q]]) for q in asking]
    return Retrieval(
        recall_at_1=float(equal[asking, nearest].mean()),
        mean_average_precision=float(np.mean(precisions)),
        chance=float((equal[asking].sum(1) / (n - 1)).mean()),
        n_queries=len(asking),
    )
