"""GuidedTask: tasks for which published probes of an encoder took a layer; see ``layer_guide``."""

from typing import Literal

GuidedTask = Literal[
    "key", "genre", "emotion", "instrument", "pitch", "singer", "technique", "tagging", "genre-tags",
    "instrument-tags", "mood-tags", "beat", "chords",
]  # fmt: skip
