"""Clusters of a library: groups of tracks that sound alike, with names from words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from solfa.retrieval.index import units

MOST_CLUSTERS, FEWEST_CLUSTERS = 24, 2  # without a wish
N_STARTS = 10
N_WORDS = 2  # of a name


@dataclass(frozen=True, eq=False)
class Cluster:
    """Tracks that sound alike."""

    rows: Int[np.ndarray, " track"]  # the most typical first
    centre: Float[np.ndarray, " dim"]  # of length one


def find_clusters(vectors: Float[np.ndarray, "track dim"], n: int | None = None) -> list[Cluster]:
    """Groups of rows, the largest first: k-means of directions, the same for the same vectors.

    Args:
        vectors: of tracks, less the centre of the library.
        n: clusters; ``usual_clusters`` if None.

    Source:
        k-means of directions: Dhillon and Modha, Machine Learning 42 (2001); k-means++ is scikit-learn's.
    """
    from sklearn.cluster import KMeans  # takes a second, and few need it

    directions = units(vectors).astype(np.float64)
    n = usual_clusters(len(vectors)) if n is None else n
    n = min(n, len(np.unique(directions, axis=0)))
    if n < 1:
        return []
    fitted = KMeans(n, n_init=N_STARTS, random_state=0).fit(directions)
    centres = units(fitted.cluster_centers_)
    clusters = []
    for number in range(n):
        rows = np.flatnonzero(fitted.labels_ == number)
        nearness = directions[rows] @ centres[number]
        clusters.append(
            Cluster(rows[np.argsort(-nearness, kind="stable")], centres[number].astype(np.float32))
        )
    return sorted(clusters, key=lambda cluster: (-len(cluster.rows), int(cluster.rows.min())))


def usual_clusters(n_tracks: int) -> int:
    """How many clusters tracks have without a wish: the square root of half of them, within bounds."""
    return int(np.clip(round(np.sqrt(n_tracks / 2)), FEWEST_CLUSTERS, MOST_CLUSTERS))


def name_clusters(
    clusters: Sequence[Cluster], words: Sequence[str], vectors: Float[np.ndarray, "word dim"]
) -> list[str]:
    """For each cluster the words that fit it more than the others, joined; no two names are alike.

    A word counts by its cosine with the centre of the cluster less its mean over all centres, since some
    words are near to all music.

    Args:
        clusters: with at least one track each.
        words: that a name may have.
        vectors: of the words.
    """
    centres = np.stack([cluster.centre for cluster in clusters])
    fits = units(centres) @ units(vectors).T
    fits = fits - fits.mean(0) if len(clusters) > 1 else fits
    names: list[str] = []
    for row in fits:
        order = [words[n] for n in np.argsort(-row, kind="stable")]
        possible = (", ".join(order[:n]) for n in range(N_WORDS, len(order) + 1))
        own = next((name for name in possible if name not in names), None)
        names.append(own or f"{', '.join(order[:N_WORDS])} {len(names) + 1}")
    return names
