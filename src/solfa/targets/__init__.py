"""What hidden frames must predict; frozen while an encoder trains."""

from typing import assert_never

from solfa.targets.base import Codes, CodesShape, Target, TargetError, Values, ValuesShape
from solfa.targets.cqt import (
    AmplitudeConfig,
    CQTFrames,
    CQTFramesConfig,
    LinearMagnitudeConfig,
    LogMagnitudeConfig,
)
from solfa.targets.encodec import EncodecCodes, EncodecCodesConfig
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

TargetConfig = (
    MelRVQConfig | MelRandomProjectionConfig | MelFramesConfig | EncodecCodesConfig | CQTFramesConfig
)


def build_target(config: TargetConfig) -> Target:
    """The target that ``config`` describes."""
    match config:
        case MelRVQConfig():
            return MelRVQ(config)
        case MelRandomProjectionConfig():
            return MelRandomProjection(config)
        case MelFramesConfig():
            return MelFrames(config)
        case EncodecCodesConfig():
            return EncodecCodes(config)
        case CQTFramesConfig():
            return CQTFrames(config)
        case _:
            assert_never(config)


def target_shape(config: TargetConfig) -> CodesShape | ValuesShape:
    """What the target that ``config`` describes gives for a frame; a head must predict as much."""
    match config:
        case MelRVQConfig() | MelRandomProjectionConfig():
            return CodesShape(config.quantizer.n_codebooks, config.quantizer.codebook_size)
        case MelFramesConfig():
            return ValuesShape(config.frames.dim)
        case EncodecCodesConfig():
            return CodesShape(config.n_codebooks, config.codebook_size)
        case CQTFramesConfig():
            return ValuesShape(config.constant_q.n_bins)
        case _:
            assert_never(config)


__all__ = [
    "AmplitudeConfig",
    "CQTFrames",
    "CQTFramesConfig",
    "Codes",
    "CodesShape",
    "EncodecCodes",
    "EncodecCodesConfig",
    "LinearMagnitudeConfig",
    "LogMagnitudeConfig",
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
    "ValuesShape",
    "VectorQuantizer",
    "VectorQuantizerConfig",
    "build_target",
    "load_quantizer",
    "target_shape",
]
