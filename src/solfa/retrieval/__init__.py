"""A library of tracks, and the search in it."""

from typing import TYPE_CHECKING

from solfa.on_demand import names_on_demand

if TYPE_CHECKING:
    from solfa.retrieval.answers import Answer, Match
    from solfa.retrieval.contents import LibrarySegment, LibraryTrack
    from solfa.retrieval.expression import QueryError, parse_query
    from solfa.retrieval.file import LibraryError, UnknownTrackError, known_space
    from solfa.retrieval.filters import FilterError, Filters
    from solfa.retrieval.index import ExactIndex, Index
    from solfa.retrieval.library import Changes, Library
    from solfa.retrieval.names import Name
    from solfa.retrieval.projection import project
    from solfa.retrieval.search import Searcher

__all__ = [
    "Answer",
    "Changes",
    "ExactIndex",
    "FilterError",
    "Filters",
    "Index",
    "Library",
    "LibraryError",
    "LibrarySegment",
    "LibraryTrack",
    "Match",
    "Name",
    "QueryError",
    "Searcher",
    "UnknownTrackError",
    "known_space",
    "parse_query",
    "project",
]

__getattr__, __dir__ = names_on_demand(
    __name__,
    {
        "answers": ("Answer", "Match"),
        "contents": ("LibrarySegment", "LibraryTrack"),
        "expression": ("QueryError", "parse_query"),
        "file": ("LibraryError", "UnknownTrackError", "known_space"),
        "filters": ("FilterError", "Filters"),
        "index": ("ExactIndex", "Index"),
        "library": ("Changes", "Library"),
        "names": ("Name",),
        "projection": ("project",),
        "search": ("Searcher",),
    },
)
