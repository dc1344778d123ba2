"""Model + audio -> hidden states or vectors, in memory or in a store."""

from typing import TYPE_CHECKING

from solfa.on_demand import names_on_demand

if TYPE_CHECKING:
    from solfa.embedding.describing import describe_space, fingerprint
    from solfa.embedding.options import check_precision
    from solfa.embedding.outcomes import Duplicate, Embedded, Segment, Stamp
    from solfa.embedding.reading import Batching, embed_files, hash_content
    from solfa.embedding.space import Pool, Precision, Space, SpaceError, WindowConfig, space_from_values
    from solfa.embedding.store import (
        EmbeddingStore,
        Extraction,
        StoreError,
        made_with,
        read_frames,
        read_store,
    )
    from solfa.embedding.vectors import FrameStates, default_windows, embed, find_tracks, hidden_states

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

__getattr__, __dir__ = names_on_demand(
    __name__,
    {
        "describing": ("describe_space", "fingerprint"),
        "options": ("check_precision",),
        "outcomes": ("Duplicate", "Embedded", "Segment", "Stamp"),
        "reading": ("Batching", "embed_files", "hash_content"),
        "space": ("Pool", "Precision", "Space", "SpaceError", "WindowConfig", "space_from_values"),
        "store": ("EmbeddingStore", "Extraction", "StoreError", "made_with", "read_frames", "read_store"),
        "vectors": ("FrameStates", "default_windows", "embed", "find_tracks", "hidden_states"),
    },
)
