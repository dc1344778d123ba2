"""Vectors -> a map: two numbers for each, so that what is alike lies together."""

import warnings

import numpy as np
from jaxtyping import Float

N_COMPONENTS = 50  # that t-SNE looks at
MOST_NEIGHBOURED = 5_000  # vectors: with more, t-SNE takes minutes
PERPLEXITY = 30.0  # neighbours that count
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
