"""Queries that the bundled model cannot answer well, or not read, and what has to be said of each."""

from typing import NamedTuple

NOTHING_FITS = "Nothing here fits well"


class Unanswerable(NamedTuple):
    """A query, what is told beside the answer, and the only fit that may be claimed; None for none."""

    query: str
    told: tuple[str, ...]
    untold: tuple[str, ...]
    fit: str | None


SENTENCE = "a slow and gentle evening song for strings with a warm voice and soft drums in the quiet rain "
WORDS_300 = (SENTENCE * 20).split()[:300]
UNANSWERABLE = {
    "German": Unanswerable(
        "traurige Musik mit Geige", ("may not know: traurige, musik, mit, geige",), (NOTHING_FITS,), None
    ),
    "Chinese": Unanswerable("平静的钢琴", ("may not know: 平静的钢琴",), (NOTHING_FITS,), None),
    "christmas": Unanswerable("christmas", (NOTHING_FITS,), ("may not know",), "weak"),
    "too long": Unanswerable(
        "christmas cake " * 260, ("reads the first", NOTHING_FITS), ("may not know",), "weak"
    ),
}
