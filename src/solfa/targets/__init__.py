"""What hidden frames must predict; frozen while an encoder trains."""

from typing import assert_never

from solfa.targets.base import (
    Codes,
    CodesShape,
    FittableTarget,
    Origin,
    Target,
    TargetError,
    Values,
    ValuesShape,
    refuse_collapsed,
)
from solfa.targets.cqt import (
    AmplitudeConfig,
    CQTFrames,
    CQTFramesConfig,
    LinearMagnitudeConfig,
    LogMagnitudeConfig,
)
from solfa.targets.cqt_rvq import (
    CQTRVQ,
    CQTLevelFramesConfig,
    CQTRVQConfig,
    LogCQTFrames,
    LogCQTFramesConfig,
)
from solfa.targets.ema_quantizer import EMAResidualQuantizer, EMAResidualQuantizerConfig
from solfa.targets.encodec import EncodecCodes, EncodecCodesConfig
from solfa.targets.fitted import as_fitted
from solfa.targets.hidden import HiddenRVQ, HiddenRVQConfig
from solfa.targets.kmeans import ChromaFramesConfig, KMeansCodes, KMeansCodesConfig, LogMelFramesConfig
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
from solfa.targets.residual_kmeans import ResidualKMeans, ResidualKMeansConfig
from solfa.targets.rvq_vae import RVQVAE, RVQVAECodes, RVQVAECodesConfig, RVQVAEConfig, load_codec
from solfa.targets.stored import StoredCodes, StoredCodesConfig
from solfa.targets.stored_quantizer import load_quantizer
from solfa.targets.teacher import TaughtPartConfig, TeacherCodes, TeacherCodesConfig

TargetConfig = (
    MelRVQConfig
    | MelRandomProjectionConfig
    | MelFramesConfig
    | EncodecCodesConfig
    | RVQVAECodesConfig
    | KMeansCodesConfig
    | CQTFramesConfig
    | CQTRVQConfig
    | LogCQTFramesConfig
    | StoredCodesConfig
    | TeacherCodesConfig
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
        case RVQVAECodesConfig():
            return RVQVAECodes(config)
        case KMeansCodesConfig():
            return KMeansCodes(config)
        case CQTFramesConfig():
            return CQTFrames(config)
        case CQTRVQConfig():
            return CQTRVQ(config)
        case LogCQTFramesConfig():
            return LogCQTFrames(config)
        case StoredCodesConfig():
            return StoredCodes(config)
        case TeacherCodesConfig():
            return TeacherCodes(config)
        case _:
            assert_never(config)


__all__ = [
    "AmplitudeConfig",
    "CQTFrames",
    "CQTFramesConfig",
    "CQTLevelFramesConfig",
    "CQTRVQ",
    "CQTRVQConfig",
    "ChromaFramesConfig",
    "Codes",
    "CodesShape",
    "EMAResidualQuantizer",
    "EMAResidualQuantizerConfig",
    "EncodecCodes",
    "EncodecCodesConfig",
    "FittableTarget",
    "HiddenRVQ",
    "HiddenRVQConfig",
    "KMeansCodes",
    "KMeansCodesConfig",
    "LinearMagnitudeConfig",
    "LogCQTFrames",
    "LogCQTFramesConfig",
    "LogMagnitudeConfig",
    "LogMelFramesConfig",
    "MelFrames",
    "MelFramesConfig",
    "MelRVQ",
    "MelRVQConfig",
    "MelRandomProjection",
    "MelRandomProjectionConfig",
    "RVQVAE",
    "RVQVAECodes",
    "RVQVAECodesConfig",
    "RVQVAEConfig",
    "Origin",
    "RandomProjection",
    "RandomProjectionConfig",
    "ResidualKMeans",
    "ResidualKMeansConfig",
    "ResidualVectorQuantizer",
    "ResidualVectorQuantizerConfig",
    "StackedMelConfig",
    "StoredCodes",
    "StoredCodesConfig",
    "Target",
    "TargetConfig",
    "TargetError",
    "TaughtPartConfig",
    "TeacherCodes",
    "TeacherCodesConfig",
    "Values",
    "ValuesShape",
    "VectorQuantizer",
    "VectorQuantizerConfig",
    "as_fitted",
    "build_target",
    "load_codec",
    "load_quantizer",
    "refuse_collapsed",
]
