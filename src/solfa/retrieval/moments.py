"""Vectors of a query: moments that it names, where their sum points, the segment that fits it best."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from solfa.embedding.outcomes import SHORTEST_SECONDS
from solfa.retrieval.contents import LibraryContents, LibrarySegment, LibraryTrack
from solfa.retrieval.expression import QueryError, TrackNumber
from solfa.retrieval.index import units

CANCELLED = 1e-6  # a sum shorter than this share of its terms is nothing but rounding


def named_vector(library: LibraryContents, meaning: TrackNumber) -> tuple[str, Float[np.ndarray, " dim"]]:
    """Content hash of a track, and the vector of it or of its segment at a time.

    Raises:
        QueryError: the track is shorter.
        UnknownTrackError: there is none of that number.
    """
    track = library.track(meaning.id)
    if meaning.seconds is None:
        return track.content_hash, library.vectors([track])[0]
    for segment in library.segments(track):
        if segment.start <= meaning.seconds < segment.end:
            return track.content_hash, segment.vector
    raise QueryError(
        f"Track {track.id} lasts {track.seconds:.1f} s; there is nothing at {meaning.seconds:g} s."
    )


def direction_of(parts: Sequence[tuple[float, Float[np.ndarray, " dim"]]]) -> Float[np.ndarray, " dim"]:
    """Where the weighted sum of some directions points. Raises QueryError if nothing is left of it."""
    total = sum(weight * units(vector[None])[0].astype(np.float64) for weight, vector in parts)
    length, longest = np.linalg.norm(total), sum(abs(weight) for weight, _ in parts)
    # A track of silence alone points nowhere, which is no fault of the query.
    if length <= CANCELLED * longest and (len(parts) > 1 or not longest):
        raise QueryError("The terms of this query cancel each other: nothing is left to look for.")
    return units(total[None])[0].astype(np.float32)


def best_segment(
    library: LibraryContents,
    track: LibraryTrack,
    direction: Float[np.ndarray, " dim"],
    centre: Float[np.ndarray, " dim"],
) -> LibrarySegment:
    """The segment of a track whose vector, less the centre, points most nearly in a direction.

    Segments of less than ``SHORTEST_SECONDS``, which earlier versions have stored, are passed over.
    """
    every = library.segments(track)
    segments = [part for part in every if part.end - part.start >= SHORTEST_SECONDS] or every
    vectors = np.stack([segment.vector for segment in segments]) - centre
    return segments[int(np.argmax(units(vectors) @ direction))]
