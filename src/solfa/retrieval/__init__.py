"""A library of tracks, and the search in it."""

from solfa.retrieval.library import Changes, Library, LibraryError
from solfa.retrieval.search import Match, VectorIndex, similar

__all__ = ["Changes", "Library", "LibraryError", "Match", "VectorIndex", "similar"]
