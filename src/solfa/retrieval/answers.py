"""What a search finds: tracks by their sound, and tracks by their names."""

from collections.abc import Sequence
from dataclasses import dataclass

from solfa.retrieval.contents import LibraryTrack

MOST_NAMED = 5  # tracks above the answers by sound


@dataclass(frozen=True)
class Match:
    """A track that was found, and where in it the query fits best."""

    track: LibraryTrack
    score: float  # cosine similarity of the whole track, in [-1, 1]
    start: float  # of the best segment, in seconds
    end: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a query found."""

    named: Sequence[LibraryTrack] = ()  # whose names have its words, best first
    matches: Sequence[Match] = ()  # whose sound fits, best first
    notices: Sequence[str] = ()  # what is to be known besides
