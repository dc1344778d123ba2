"""A library of tracks, and the search in it."""

from solfa.retrieval.expression import QueryError, parse_query
from solfa.retrieval.file import LibraryError, UnknownTrackError
from solfa.retrieval.filters import FilterError, Filters
from solfa.retrieval.index import ExactIndex, Index
from solfa.retrieval.library import Changes, Library, LibrarySegment, LibraryTrack
from solfa.retrieval.projection import project
from solfa.retrieval.search import Match, Searcher

__all__ = [
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
    "QueryError",
    "Searcher",
    "UnknownTrackError",
    "parse_query",
    "project",
]
