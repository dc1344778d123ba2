"""Vectors -> a map: two numbers for each, so that what is alike lies together."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

N_COMPONENTS = 50  # that t-SNE looks at
MOST_NEIGHBOURED = 1_000  # vectors that t-SNE places: seconds; the others stand beside them
N_STEPS = 500  # of t-SNE; twice as many keep hardly more neighbours
ROWS_AT_ONCE = 4_096
PERPLEXITY = 30.0  # neighbours that count
N_BESIDE, BESIDE = 5, 0.1  # known vectors that a new one is placed by; how far they lie from the nearest
SHARPNESS = 20.0  # how much more the most alike of them counts
APART, GOLDEN_ANGLE = 0.006, np.pi * (3 - 5**0.5)
FEWEST_NEIGHBOURED = 10  # vectors: with fewer there are no neighbourhoods


def project(vectors: Float[np.ndarray, "track dim"]) -> Float[np.ndarray, "track two"]:
    """Places in [-1, 1] for vectors, by their directions; the same for the same vectors in the same order.

    Up to ``MOST_NEIGHBOURED`` vectors are placed by t-SNE, which keeps neighbours together and lets distances
    between groups go. Of more, as many are drawn evenly and placed so, and each of the others stands beside
    those that it is most like. Very few are placed by their two principal components.

    Source:
        t-SNE: van der Maaten and Hinton, JMLR 9 (2008); the implementation is scikit-learn's.
    """
    units = _units(vectors)
    rows = np.linspace(0, len(units) - 1, min(len(units), MOST_NEIGHBOURED)).round().astype(int)
    components = _principal(units[rows])
    drawn = components[:, :2] if len(rows) < FEWEST_NEIGHBOURED else _neighboured(components)
    drawn = drawn / max(float(np.abs(drawn).max(initial=0)), 1e-12)
    if len(rows) == len(units):
        return drawn
    places = np.zeros((len(units), 2))
    places[rows] = drawn
    others = np.setdiff1d(np.arange(len(units)), rows)
    places[others] = _beside(units[others], units[rows], drawn)
    return places.clip(-1, 1)


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
    units = _units(vectors)
    places[~has_place] = _beside(units[~has_place], units[has_place], places[has_place])
    return places.clip(-1, 1)


def _beside(
    new: Float[np.ndarray, "new dim"],
    standing: Float[np.ndarray, "known dim"],
    places: Float[np.ndarray, "known two"],
) -> Float[np.ndarray, "new two"]:
    """A place for each new direction: by the standing one that it is most like, and others near to that."""
    found = []
    for start in range(0, len(new), ROWS_AT_ONCE):
        likeness = new[start : start + ROWS_AT_ONCE] @ standing.T
        nearest = _most_like(likeness)
        first = places[nearest[:, 0]]
        is_near = np.linalg.norm(places[nearest] - first[:, None], axis=2) <= BESIDE
        closeness = np.take_along_axis(likeness, nearest, 1)
        weights = is_near * np.exp(SHARPNESS * (closeness - closeness[:, :1]))
        middle = (places[nearest] * weights[:, :, None]).sum(1) / weights.sum(1, keepdims=True)
        # Over a small disc, so that several beside one do not lie on each other.
        angles = (start + np.arange(len(likeness))) * GOLDEN_ANGLE
        apart = APART * np.sqrt(angles * np.sqrt(2) % 1)
        found.append(middle + apart[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2))


def _most_like(likeness: Float[np.ndarray, "new known"]) -> Int[np.ndarray, "new nearest"]:
    """Columns of the highest values of each row, the highest first."""
    n = min(N_BESIDE, likeness.shape[1])
    columns = np.argpartition(-likeness, n - 1, axis=1)[:, :n]
    order = np.argsort(-np.take_along_axis(likeness, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)


def _units(vectors: Float[np.ndarray, "track dim"]) -> Float[np.ndarray, "track dim"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


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
        tsne = TSNE(init=start, perplexity=perplexity, max_iter=N_STEPS, random_state=0, n_jobs=1)
        return tsne.fit_transform(components.astype(np.float32)).astype(np.float64)
