"""Pure functions f(reference, estimated). What heads say becomes their input in ``solfa.probing.scoring``."""

from solfa.metrics.events import count_hits
from solfa.metrics.retrieval import Retrieval, TextRetrieval, retrieval, text_retrieval
from solfa.metrics.separation import separation_ratios, signal_to_distortion
from solfa.metrics.tagging import TagAreas, area_under_roc, average_precision, tag_areas

__all__ = [
    "Retrieval",
    "TagAreas",
    "TextRetrieval",
    "area_under_roc",
    "average_precision",
    "count_hits",
    "retrieval",
    "separation_ratios",
    "signal_to_distortion",
    "tag_areas",
    "text_retrieval",
]
