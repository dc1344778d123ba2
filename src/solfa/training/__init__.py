"""Objective + clips -> checkpoints."""

from solfa.training.optim import AdamWConfig
from solfa.training.trainer import Interrupted, Place, RunConfig, Trainer, TrainingError

__all__ = ["AdamWConfig", "Interrupted", "Place", "RunConfig", "Trainer", "TrainingError"]
