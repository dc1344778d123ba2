"""Solfa's models behind the call styles of other programs: a script changes one import line.

``solfa.compat.mteb``, which needs the package mteb, is imported by itself.
"""

from solfa.compat.mert2 import MERT2Model, MERT2Output
from solfa.compat.originals import (
    BaseModelOutput,
    BatchFeature,
    MERTModel,
    MERTModelConfig,
    MuQ,
    MuQMuLan,
    Wav2Vec2FeatureExtractor,
)

__all__ = [
    "BaseModelOutput",
    "BatchFeature",
    "MERT2Model",
    "MERT2Output",
    "MERTModel",
    "MERTModelConfig",
    "MuQ",
    "MuQMuLan",
    "Wav2Vec2FeatureExtractor",
]
