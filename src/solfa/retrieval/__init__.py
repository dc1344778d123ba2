"""A library of tracks, and the search in it."""

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
