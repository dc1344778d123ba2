"""How well scores tell tracks with a tag from those without; equal to scikit-learn, and much faster."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from solfa.errors import ArgumentError


@dataclass(frozen=True)
class TagAreas:
    """How well scores tell tracks with a tag from those without: means over tags."""

    roc_auc: float
    pr_auc: float
    n_tags: int  # that some tracks have and others have not; the rest cannot be scored


def tag_areas(
    reference: Bool[np.ndarray, "track tag"], estimated: Float[np.ndarray, "track tag"]
) -> TagAreas:
    """Areas under the ROC and under precision against recall, of each tag, averaged.

    Raises:
        ValueError: no tag that some of the tracks have and others have not.
    """
    scored = np.flatnonzero(reference.any(0) & ~reference.all(0))
    if not len(scored):
        raise ArgumentError("No tag tells the tracks apart: all of them have it, or none has.")
    pairs = [in_order(reference[:, tag], estimated[:, tag]) for tag in scored]
    return TagAreas(
        roc_auc=float(np.mean([area_under_roc(*pair) for pair in pairs])),
        pr_auc=float(np.mean([average_precision(*pair) for pair in pairs])),
        n_tags=len(scored),
    )


def in_order(
    carries: Bool[np.ndarray, " track"], scores: Float[np.ndarray, " track"]
) -> tuple[Float[np.ndarray, " carrying"], Float[np.ndarray, " other"]]:
    """The scores of the tracks that carry a tag, and those of the others; both sorted."""
    return np.sort(scores[carries]), np.sort(scores[~carries])


def area_under_roc(carrying: Float[np.ndarray, " track"], others: Float[np.ndarray, " other"]) -> float:
    """Share of pairs in which the track with a tag scores higher; scores are sorted, a tie is half."""
    below, not_above = (np.searchsorted(others, carrying, side=side) for side in ("left", "right"))
    return float((below + not_above).mean() / (2 * len(others)))


def average_precision(carrying: Float[np.ndarray, " track"], others: Float[np.ndarray, " other"]) -> float:
    """Precision at the score of each track that carries a tag, in the mean; scores are sorted."""
    n_right = len(carrying) - np.searchsorted(carrying, carrying)
    return float((n_right / (n_right + len(others) - np.searchsorted(others, carrying))).mean())
