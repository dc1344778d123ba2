"""Objective + clips -> checkpoints."""

from solfa.training.averaging import WeightAverageConfig
from solfa.training.config import Placement, RunConfig, StartConfig
from solfa.training.curves import CurvesError, draw_curves
from solfa.training.loss_scale import ScaleError
from solfa.training.optim import AdamWConfig, MuonConfig
from solfa.training.trainer import Interrupted, Trainer, TrainingError

__all__ = [
    "AdamWConfig",
    "MuonConfig",
    "CurvesError",
    "Interrupted",
    "Placement",
    "RunConfig",
    "ScaleError",
    "StartConfig",
    "Trainer",
    "TrainingError",
    "WeightAverageConfig",
    "draw_curves",
]
