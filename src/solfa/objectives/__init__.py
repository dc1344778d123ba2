"""Batch -> loss."""

from typing import assert_never

from solfa.objectives.agreement import TrackAgreementConfig
from solfa.objectives.base import Objective, Step
from solfa.objectives.feature_penalty import FeaturePenaltyConfig
from solfa.objectives.heads import CosineCodeHeadConfig, HeadConfig, LinearHeadConfig
from solfa.objectives.masked import MaskedPrediction, MaskedPredictionConfig, PredictionConfig
from solfa.objectives.masking import (
    BlockMasking,
    BlockMaskingConfig,
    MaskingConfig,
    SpanMasking,
    SpanMaskingConfig,
)
from solfa.objectives.mixing import BatchMixing, BatchMixingConfig
from solfa.objectives.quantizer_fit import QuantizerFit, QuantizerFitConfig

ObjectiveConfig = MaskedPredictionConfig | QuantizerFitConfig


def build_objective(config: ObjectiveConfig) -> Objective:
    """The objective that ``config`` describes."""
    match config:
        case MaskedPredictionConfig():
            return MaskedPrediction(config)
        case QuantizerFitConfig():
            return QuantizerFit(config)
        case _:
            assert_never(config)


__all__ = [
    "BatchMixing",
    "BatchMixingConfig",
    "BlockMasking",
    "BlockMaskingConfig",
    "CosineCodeHeadConfig",
    "FeaturePenaltyConfig",
    "HeadConfig",
    "LinearHeadConfig",
    "MaskedPrediction",
    "MaskedPredictionConfig",
    "MaskingConfig",
    "Objective",
    "ObjectiveConfig",
    "PredictionConfig",
    "QuantizerFit",
    "QuantizerFitConfig",
    "SpanMasking",
    "SpanMaskingConfig",
    "Step",
    "TrackAgreementConfig",
    "build_objective",
]
