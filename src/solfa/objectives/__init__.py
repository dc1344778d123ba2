"""Batch -> loss."""

from typing import assert_never

from solfa.objectives.agreement import TrackAgreementConfig
from solfa.objectives.base import Objective, StepOutput
from solfa.objectives.codec_fit import CodecFit, CodecFitConfig
from solfa.objectives.contrastive import (
    DecoupledLossConfig,
    PairLoss,
    PairLossConfig,
    SigmoidLossConfig,
    SoftmaxLossConfig,
)
from solfa.objectives.discriminator import Adversary, AdversaryConfig
from solfa.objectives.distillation import NO_TEACHER, Distillation, DistillationConfig, PooledTeachingConfig
from solfa.objectives.feature_penalty import FeaturePenaltyConfig
from solfa.objectives.finetuning import (
    FineTuning,
    FineTuningConfig,
    FrozenConfig,
    FullConfig,
    LastLayersConfig,
)
from solfa.objectives.gaussian_guard import GaussianGuardConfig
from solfa.objectives.heads import CosineCodeHeadConfig, HeadConfig, LinearHeadConfig
from solfa.objectives.kmeans_fit import KMeansFit, KMeansFitConfig
from solfa.objectives.lessons import (
    ClipClassConfig,
    ClipTagsConfig,
    ClipVectorConfig,
    FrameClassConfig,
    FrameTagsConfig,
)
from solfa.objectives.masked import MaskedPrediction, MaskedPredictionConfig, PredictionConfig
from solfa.objectives.masking import (
    BlockMasking,
    BlockMaskingConfig,
    MaskingConfig,
    SpanMasking,
    SpanMaskingConfig,
    SpreadSpanMasking,
    SpreadSpanMaskingConfig,
)
from solfa.objectives.mixing import BatchMixing, BatchMixingConfig
from solfa.objectives.music_text import MusicText, MusicTextConfig
from solfa.objectives.pooled_agreement import AgreementConfig, PooledAgreementConfig
from solfa.objectives.predictor import Predictor, PredictorConfig
from solfa.objectives.quantizer_fit import QuantizerFit, QuantizerFitConfig
from solfa.objectives.spectra_mixing import SpectraMixingConfig
from solfa.objectives.starting import StartingPoint, starting_point
from solfa.objectives.taught import TaughtPrediction, TaughtPredictionConfig
from solfa.objectives.teacher import Teacher, layers_to_teach, load_teacher
from solfa.objectives.transposition import TranspositionConfig

ObjectiveConfig = (
    MaskedPredictionConfig
    | DistillationConfig
    | TaughtPredictionConfig
    | QuantizerFitConfig
    | CodecFitConfig
    | KMeansFitConfig
    | FineTuningConfig
    | MusicTextConfig
)


def build_objective(config: ObjectiveConfig) -> Objective:
    """The objective that ``config`` describes."""
    match config:
        case DistillationConfig():  # which is a masked prediction, and so comes first
            return Distillation(config)
        case TaughtPredictionConfig():  # likewise
            return TaughtPrediction(config)
        case MaskedPredictionConfig():
            return MaskedPrediction(config)
        case QuantizerFitConfig():
            return QuantizerFit(config)
        case CodecFitConfig():
            return CodecFit(config)
        case KMeansFitConfig():
            return KMeansFit(config)
        case FineTuningConfig():
            return FineTuning(config)
        case MusicTextConfig():
            return MusicText(config)
        case _:
            assert_never(config)


__all__ = [
    "Adversary",
    "AdversaryConfig",
    "AgreementConfig",
    "BatchMixing",
    "BatchMixingConfig",
    "BlockMasking",
    "BlockMaskingConfig",
    "ClipClassConfig",
    "ClipTagsConfig",
    "ClipVectorConfig",
    "CodecFit",
    "CodecFitConfig",
    "CosineCodeHeadConfig",
    "DecoupledLossConfig",
    "Distillation",
    "DistillationConfig",
    "FeaturePenaltyConfig",
    "FineTuning",
    "FineTuningConfig",
    "FrameClassConfig",
    "FrameTagsConfig",
    "FrozenConfig",
    "FullConfig",
    "GaussianGuardConfig",
    "HeadConfig",
    "KMeansFit",
    "KMeansFitConfig",
    "LastLayersConfig",
    "LinearHeadConfig",
    "MaskedPrediction",
    "MaskedPredictionConfig",
    "MaskingConfig",
    "MusicText",
    "MusicTextConfig",
    "NO_TEACHER",
    "Objective",
    "ObjectiveConfig",
    "PairLoss",
    "PairLossConfig",
    "PooledAgreementConfig",
    "PredictionConfig",
    "PooledTeachingConfig",
    "Predictor",
    "PredictorConfig",
    "QuantizerFit",
    "QuantizerFitConfig",
    "SigmoidLossConfig",
    "SoftmaxLossConfig",
    "SpanMasking",
    "SpanMaskingConfig",
    "SpreadSpanMasking",
    "SpreadSpanMaskingConfig",
    "SpectraMixingConfig",
    "StartingPoint",
    "StepOutput",
    "TaughtPrediction",
    "TaughtPredictionConfig",
    "Teacher",
    "TrackAgreementConfig",
    "TranspositionConfig",
    "build_objective",
    "layers_to_teach",
    "load_teacher",
    "starting_point",
]
