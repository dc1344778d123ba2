"""Randomness of clips: a stream of its own for each purpose, decided by the seed of the run and a number."""

import numpy as np

CUT, MASK, NOISE, MIX, CAPTION, WITHHOLD, AUGMENT, TRANSPOSE = range(8)  # purposes: a stream for each


def derived_seed(*parts: int) -> int:
    """A seed that is a fixed function of its parts, and unrelated to that of any other parts."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]) >> 1
