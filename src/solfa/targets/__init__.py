"""What hidden frames must predict; frozen while an encoder trains."""

from typing import assert_never

from solfa.targets.base import Codes, Target, TargetError, Values
from solfa.targets.mel import (
    MelFrames,
    MelFramesConfig,
    MelRandomProjection,
    MelRandomProjectionConfig,
    MelRVQ,
    MelRVQConfig,
    StackedMelConfig,
)
from solfa.targets.quantizer import (
    RandomProjection,
    RandomProjectionConfig,
    ResidualVectorQuantizer,
    ResidualVectorQuantizerConfig,
    VectorQuantizer,
    VectorQuantizerConfig,
)
from solfa.targets.stored_quantizer import load_quantizer

TargetConfig = MelRVQConfig | MelRandomProjectionConfig | MelFramesConfig


def build_target(config: TargetConfig) -> Target:
    """The target that ``config`` describes."""
    match config:
        case MelRVQConfig():
            return MelRVQ(config)
        case MelRandomProjectionConfig():
            return MelRandomProjection(config)
        case MelFramesConfig():
            return MelFrames(config)
        case _:
            assert_never(config)


__all__ = [
    "Codes",
    "MelFrames",
    "MelFramesConfig",
    "MelRVQ",
    "MelRVQConfig",
    "MelRandomProjection",
    "MelRandomProjectionConfig",
    "RandomProjection",
    "RandomProjectionConfig",
    "ResidualVectorQuantizer",
    "ResidualVectorQuantizerConfig",
    "StackedMelConfig",
    "Target",
    "TargetConfig",
    "TargetError",
    "Values",
    "VectorQuantizer",
    "VectorQuantizerConfig",
    "build_target",
    "load_quantizer",
]
