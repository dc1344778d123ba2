"""RunConfig: everything that a training run is; Placement: where it runs."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from solfa.config import Config, Count, Positive, Seed
from solfa.data.clips import ClipsConfig
from solfa.objectives import ObjectiveConfig
from solfa.precision import Precision
from solfa.training.averaging import WeightAverageConfig
from solfa.training.optim import AdamWConfig, OptimConfig


@dataclass(frozen=True, kw_only=True)
class StartConfig(Config):
    """A model whose weights a run begins with. All but its name is filled in at the start of the run."""

    model: str  # a run, a checkpoint, a saved model or a published name
    fingerprint: str = ""  # SHA-256 of its encoder's configuration and weights
    license: str = ""  # of these weights, and so of what is made of them
    taught_by: str = ""  # who taught it


@dataclass(frozen=True, kw_only=True)
class RunConfig(Config):
    """Everything that a training run is; where it runs is said elsewhere."""

    objective: ObjectiveConfig
    start_from: StartConfig | None = None  # random weights if null
    data: ClipsConfig = field(default_factory=ClipsConfig)
    optim: OptimConfig = field(default_factory=AdamWConfig)
    n_steps: Count
    average: WeightAverageConfig | None = None  # of weights: what is saved, validated and used, if not null
    max_gradient_norm: Positive | None = 10.0  # longer gradients are shortened to it; none are if null
    precision: Precision = "float32"  # of products on CUDA; CPUs use float32
    log_every: Count = 50  # steps
    validate_every: Count = 1000  # steps
    checkpoint_every: Count = 1000  # steps
    n_checkpoints_kept: Count = 2
    keep_best: bool = False  # also the weights with the lowest loss on validation, by which the run is known
    seed: Seed = 1337


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a run runs. It changes how fast a run is, not what it is."""

    run: Path
    device: torch.device
    clips_per_device: int  # clips in one forward pass
    n_workers: int = 1  # processes that read audio, for each rank
    is_sharded: bool = False  # of several ranks, each holds a share of weights, gradients and moments
    recomputes: bool = False  # activations within layers, going backward: less memory, a third more products
    compiles: bool = False  # layers, when first called: a minute at the start, less time for each step
