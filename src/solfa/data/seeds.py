"""Randomness of clips: a stream of its own for each purpose, decided by the seed of the run and a number."""

import numpy as np

# Purposes: a stream for each.
CUT, MASK, NOISE, MIX, CAPTION, WITHHOLD, AUGMENT, TRANSPOSE, VIEWS, TURNS, ASK = range(11)


def derived_seed(*parts: int) -> int:
    """A seed that is a fixed function of its parts, and unrelated to that of any other parts."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]) >> 1
