"""Moments that were found beside those that are true."""

import numpy as np
from jaxtyping import Float


def count_hits(
    reference: Float[np.ndarray, " event"], estimated: Float[np.ndarray, " found"], tolerance: float
) -> int:
    """The most pairs of moments within ``tolerance`` seconds of each other, none of them used twice.

    Both must be sorted: then the earliest pair that is left always belongs to a best matching.
    """
    n_hits = first = second = 0
    true, said = reference.tolist(), estimated.tolist()
    while first < len(true) and second < len(said):
        if abs(true[first] - said[second]) <= tolerance:
            n_hits, first, second = n_hits + 1, first + 1, second + 1
        elif true[first] < said[second]:
            first += 1
        else:
            second += 1
    return n_hits
