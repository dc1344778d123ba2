"""Ranking: which tracks fit a query best, how far they stand out for it, and where in them it fits.

By music, tracks are ordered by the cosine. By words they are ordered by how far they stand out, of vectors
less the library's mean: a track that is near to all words, a hub, then answers only where it fits. What was
measured of both stands in docs/answers.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from solfa.retrieval.answers import Match
from solfa.retrieval.contents import LibraryContents
from solfa.retrieval.expression import QueryError
from solfa.retrieval.filters import Filters
from solfa.retrieval.index import Index
from solfa.retrieval.moments import best_segment
from solfa.retrieval.worth import stand_out

FEWEST_COMPARED, COMPARED_FOR_EACH = 300, 5  # tracks nearest to a query, of which the best are taken


@dataclass(frozen=True, eq=False)
class Sought:
    """What a query looks for."""

    direction: Float[np.ndarray, " dim"]  # of length one
    others: Float[np.ndarray, "reference dim"] | None  # queries of the same form; None if nothing can be said
    centre: Float[np.ndarray, " centre"]  # taken from tracks before they are compared with the others
    is_of_words: bool = False  # and of nothing else
    has_known_words: bool = True  # false for words that are far from all that the model learned
    named: Sequence[str] = ()  # contents of tracks that it asks for, which are no answer


def rank(
    library: LibraryContents, index: Index, sought: Sought, n: int, filters: Filters | None
) -> list[Match]:
    """The ``n`` tracks that fit a query best, best first.

    Args:
        library: as it is now.
        index: that follows it.
        sought: what is looked for.
        n: at most so many.
        filters: only tracks that pass are considered.

    Raises:
        QueryError: none are asked for.
    """
    if n < 1:
        raise QueryError(f"{n} tracks are none. Ask for at least 1.")
    n_compared = max(FEWEST_COMPARED, COMPARED_FOR_EACH * n) if sought.is_of_words else n
    among = library.ids(filters) if filters else None
    found = index.nearest(sought.direction, n_compared, among=among, without=library.ids_of(sought.named))
    deviations = _deviations(library, sought, [id for id, _ in found])
    if deviations is not None and sought.is_of_words:
        order = np.argsort(-deviations, kind="stable")[:n]
        found = [found[place] for place in order]
        deviations = deviations[order]
    matches = []
    for place, track in enumerate(library.tracks_of([id for id, _ in found])):
        best = best_segment(library, track, sought.direction, index.centre)
        stands_out = None if deviations is None else float(deviations[place])
        matches.append(
            Match(track, found[place][1], best.start, best.end, stands_out, sought.has_known_words)
        )
    return matches


def _deviations(
    library: LibraryContents, sought: Sought, ids: Sequence[int]
) -> Float[np.ndarray, " track"] | None:
    if sought.others is None or not ids:
        return None
    vectors = library.vectors_of(library.hashes_of(ids)) - sought.centre
    return stand_out(vectors, sought.direction, sought.others)
