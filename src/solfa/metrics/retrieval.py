"""How well vectors with the same label find each other, and texts their tracks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from solfa.errors import ArgumentError
from solfa.metrics.tagging import average_precision, in_order


@dataclass(frozen=True)
class Retrieval:
    """Scores of vectors with equal labels that look for each other."""

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
        raise ArgumentError("No two vectors share a label: retrieval needs at least two of the same track.")
    others = ~np.eye(n, dtype=bool)
    nearest = np.where(others, estimated, -np.inf)[asking].argmax(1)
    precisions = [average_precision(*in_order(equal[q, others[q]], estimated[q, others[q]])) for q in asking]
    return Retrieval(
        recall_at_1=float(equal[asking, nearest].mean()),
        mean_average_precision=float(np.mean(precisions)),
        chance=float((equal[asking].sum(1) / (n - 1)).mean()),
        n_queries=len(asking),
    )


@dataclass(frozen=True)
class TextRetrieval:
    """Scores of texts that look for their tracks."""

    recall_at_1: float  # share of texts whose track comes first
    recall_at_5: float  # ... is among the first five
    recall_at_10: float
    median_rank: float  # 1 is the first; of chance about half of the tracks
    n_tracks: int


def text_retrieval(
    similarity: Float[np.ndarray, "text track"], own: Sequence[int] | None = None
) -> TextRetrieval:
    """Ranks of the tracks that belong to the texts.

    Args:
        similarity: of each text with each track.
        own: number of the track that each text belongs to; the texts are in the order of the tracks if None.

    Of equal similarities the right one comes last: a model that says the same of everything finds nothing.
    """
    numbers = np.arange(len(similarity)) if own is None else np.asarray(own)
    ranks = (similarity >= similarity[np.arange(len(similarity)), numbers][:, None]).sum(1)
    at_1, at_5, at_10 = (float((ranks <= n).mean()) for n in (1, 5, 10))
    return TextRetrieval(at_1, at_5, at_10, float(np.median(ranks)), similarity.shape[1])
