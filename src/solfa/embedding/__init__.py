"""Model + audio -> hidden states or vectors, in memory or in a store."""

from solfa.embedding.moments import Segment
from solfa.embedding.reading import Batching, Duplicate, Embedded, Stamp, embed_files, hash_content
from solfa.embedding.space import Pool, Space, SpaceError, describe_space, space_from_values
from solfa.embedding.store import EmbeddingStore, Extraction, StoreError, made_with, read_frames, read_store
from solfa.embedding.vectors import (
    FrameStates,
    default_windows,
    embed,
    find_tracks,
    hidden_states,
)
from solfa.embedding.windows import WindowConfig
from solfa.models.fingerprint import fingerprint
from solfa.precision import Precision, check_precision

__all__ = [
    "Duplicate",
    "Embedded",
    "EmbeddingStore",
    "Extraction",
    "FrameStates",
    "Pool",
    "Precision",
    "Segment",
    "Space",
    "SpaceError",
    "Stamp",
    "StoreError",
    "WindowConfig",
    "Batching",
    "check_precision",
    "default_windows",
    "describe_space",
    "embed",
    "embed_files",
    "find_tracks",
    "fingerprint",
    "hash_content",
    "hidden_states",
    "made_with",
    "read_frames",
    "read_store",
    "space_from_values",
]
