"""Worth of answers: how far a track stands out for a query, beside other queries of the same kind.

A cosine says little alone. Some words are near to all music; some tracks, called hubs, are near to all words,
and answer everything; and a model of few examples has narrow cosines. So the score of a track is compared
with those that the same track has for queries of the same form about other things: other words in the place
of words, other tracks of the library in the place of tracks. What is left over, in standard deviations of
these, is the same for hubs and others.

A model answers what it never learned as surely as all else: a tax return has a cosine, too. So the words of a
query are compared with words for music by the language model alone. Those that are far from all of them fit
nothing, whatever the vectors say.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from solfa.retrieval.index import units

Fit = Literal["strong", "fair", "weak"]
STRONG, FAIR = 2.0, 1.2  # standard deviations; chosen as docs/answers.md describes
KNOWN_WORDS = 0.5  # cosine of sentences of all-MiniLM-L6: about what some reference text is about
N_REFERENCES = 64
FEWEST_REFERENCES = 12  # tracks of a library; beside fewer nothing can be said
SAME = 0.9999  # cosine of a track and itself, or a copy
NARROWEST = 0.5  # share of the median spread that every track has at least
REFERENCE_TEXTS = (  # what people look for, and words for any music
    *(
        "music",
        "a song",
        "a piece of music",
        "a recording",
        "something to listen to",
        "an instrumental track",
    ),
    *("piano", "guitar", "electric guitar", "violin", "strings", "orchestra", "synthesizer", "drums", "bass"),
    *("choir", "a singing voice", "flute", "trumpet", "brass", "harp", "organ", "accordion", "bells"),
    *("calm", "happy", "sad", "dark", "energetic", "dramatic", "dreamy", "tense", "funny", "romantic"),
    *("rock", "metal", "electronic", "classical", "jazz", "folk", "ambient", "hip hop", "country", "reggae"),
    *(
        "blues",
        "techno",
        "funk",
        "soul",
        "punk",
        "chiptune",
        "a waltz",
        "a march",
        "slow music",
        "fast music",
    ),
    *(
        "loud music",
        "quiet music",
        "music for dancing",
        "music for sleeping",
        "music from a film",
        "a lullaby",
    ),
    *("the music of a battle", "a love song", "space", "the sea"),
)


def references(
    parts: Sequence[tuple[float, bool]],
    texts: Float[np.ndarray, "text dim"],
    music: Float[np.ndarray, "track dim"],
) -> Float[np.ndarray, "reference dim"] | None:
    """Queries of the same form about other things.

    Args:
        parts: weight of each term, and whether it is of words.
        texts: vectors of ``REFERENCE_TEXTS``; may be empty if no term is of words.
        music: vectors of tracks, less the centre.

    Returns:
        Directions; None if there are too few tracks to compare with.
    """
    total: Float[np.ndarray, "reference dim"] | None = None
    for n, (weight, is_words) in enumerate(parts):
        pool = texts if is_words else music
        if len(pool) < FEWEST_REFERENCES:
            return None
        # Each term goes through the same things in another order, so that no reference is one thing alone.
        rows = (np.arange(N_REFERENCES) * (2 * n + 1) + 7 * n) % len(pool)
        part = weight * units(pool[rows])
        total = part if total is None else total + part
    return None if total is None else units(np.unique(total, axis=0))


def stand_out(
    vectors: Float[np.ndarray, "track dim"],
    direction: Float[np.ndarray, " dim"],
    others: Float[np.ndarray, "reference dim"],
) -> Float[np.ndarray, " track"]:
    """Standard deviations by which the cosine of each track exceeds its cosines with other queries.

    Args:
        vectors: of the tracks, less the centre.
        direction: of the query.
        others: as of ``references``.
    """
    directions = units(vectors)
    cosines = (directions @ others.T).astype(np.float64)
    counted: Bool[np.ndarray, "track reference"] = cosines < SAME  # not the track itself
    n = np.maximum(counted.sum(1), 1)
    mean = (cosines * counted).sum(1) / n
    spread = np.sqrt((np.square(cosines - mean[:, None]) * counted).sum(1) / n)
    spread = np.maximum(spread, NARROWEST * np.median(spread))
    return (directions @ direction - mean) / np.where(spread > 0, spread, 1)


def fit_of(deviations: float, has_known_words: bool = True) -> Fit:
    """A word for how far a track stands out; weak for words that are far from all music."""
    if not has_known_words:
        return "weak"
    return "strong" if deviations >= STRONG else "fair" if deviations >= FAIR else "weak"
