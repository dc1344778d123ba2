"""Batch -> loss."""

from typing import assert_never

from solfa.objectives.agreement import TrackAgreementConfig
from solfa.objectives.base import Objective, Step
from solfa.objectives.masked import MaskedPrediction, MaskedPredictionConfig, PredictionConfig
from solfa.objectives.masking import BlockMasking, BlockMaskingConfig
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
    "BlockMasking",
    "BlockMaskingConfig",
    "MaskedPrediction",
    "MaskedPredictionConfig",
    "Objective",
    "ObjectiveConfig",
    "PredictionConfig",
    "QuantizerFit",
    "QuantizerFitConfig",
    "Step",
    "TrackAgreementConfig",
    "build_objective",
]
