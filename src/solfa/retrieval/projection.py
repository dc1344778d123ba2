"""Vectors -> a map: two numbers for each, so that what is alike lies together."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

N_COMPONENTS = 50  # that t-SNE looks at
MOST_NEIGHBOURED = 5_000  # vectors: with more, t-SNE takes minutes
PERPLEXITY = 30.0  # neighbours that count
N_BESIDE, BESIDE = 5, 0.1  # known vectors that a new one is placed by; how far they lie from the nearest
APART, GOLDEN_ANGLE = 0.012, np.pi * (3 - 5**0.5)
FEWEST_NEIGHBOURED = 10  # vectors: with fewer there are no neighbourhoods


def project(vectors: Float[np.ndarray, "track dim"]) -> Float[np.ndarray, "track two"]:
    """Places in [-1, 1] for vectors, by their directions; the same for the same vectors in the same order.

    Up to ``MOST_NEIGHBOURED`` vectors are placed by t-SNE, which keeps neighbours together and lets distances
    between groups go; more, or very few, by their two principal components.

    Source:
        t-SNE: van der Maaten and Hinton, JMLR 9 (2008); the implementation is scikit-learn's.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    components = _principal(vectors / np.where(lengths > 0, lengths, 1))
    is_few = len(components) < FEWEST_NEIGHBOURED
    places = components[:, :2] if is_few or len(vectors) > MOST_NEIGHBOURED else _neighboured(components)
    return places / max(float(np.abs(places).max(initial=0)), 1e-12)


def place(
    vectors: Float[np.ndarray, "track dim"], known: Sequence[tuple[float, float] | None]
) -> Float[np.ndarray, "track two"]:
    """Places in [-1, 1] for vectors of which some have places, which they keep.

    A new one stands beside the known vector that it is most like, drawn to others that it is about as like.
    Where fewer than half have places, all are placed anew, as ``project`` does.

    Args:
        vectors: of all tracks.
        known: the place of each, or None.
    """
    has_place = np.array([one is not None for one in known], bool)
    if not has_place.any() or 2 * has_place.sum() < len(known):
        return project(vectors)
    places = np.array([one or (0.0, 0.0) for one in known], np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    standing = np.flatnonzero(has_place)
    for number, row in enumerate(np.flatnonzero(~has_place)):
        likeness = units[standing] @ units[row]
        nearest = standing[np.argsort(-likeness, kind="stable")[:N_BESIDE]]
        first = places[nearest[0]]
        near = np.linalg.norm(places[nearest] - first, axis=1) <= BESIDE
        angle = number * GOLDEN_ANGLE  # so that several beside one do not lie on each other
        places[row] = places[nearest[near]].mean(0) + APART * np.array([np.cos(angle), np.sin(angle)])
    return places.clip(-1, 1)


def _principal(vectors: Float[np.ndarray, "track dim"]) -> Float[np.ndarray, "track component"]:
    """The first components, at least two of them."""
    if len(vectors) < 2:  # of which there is no spread
        return np.zeros((len(vectors), 2))
    from sklearn.decomposition import PCA  # takes a second, and few need it

    pca = PCA(min(N_COMPONENTS, *vectors.shape), svd_solver="covariance_eigh")
    with np.errstate(invalid="ignore", divide="ignore"):  # shares of no variance, of vectors all alike
        components = pca.fit_transform(vectors.astype(np.float64))
    return np.pad(components, ((0, 0), (0, max(0, 2 - components.shape[1]))))


def _neighboured(components: Float[np.ndarray, "track component"]) -> Float[np.ndarray, "track two"]:
    from sklearn.manifold import TSNE  # takes a second, and few need it

    if not components.any():  # all alike
        return np.zeros((len(components), 2))
    spread = components[:, 0].std() or 1.0
    start = (components[:, :2] / spread * 1e-4).astype(np.float32)
    perplexity = min(PERPLEXITY, (len(components) - 1) / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of options that nobody sets here
        tsne = TSNE(init=start, perplexity=perplexity, random_state=0, n_jobs=1)
        return tsne.fit_transform(components.astype(np.float32)).astype(np.float64)
