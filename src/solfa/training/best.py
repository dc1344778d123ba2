"""The step that does best on validation, kept beside the checkpoints."""

import math
from pathlib import Path
from typing import Any

from torch import nn

from solfa import checkpoint, distributed
from solfa.training.monitor import Figures

LOSS = "valid_loss"


class BestStep:
    """The step with the lowest loss on validation so far; its weights are in the run folder."""

    def __init__(self, run: Path) -> None:
        self.run, self.step, self.loss = run, 0, math.inf

    def see(self, step: int, figures: Figures, objective: nn.Module) -> None:
        """Keep the weights if the loss on validation is among ``figures``, and lower than ever before.

        Raises:
            CheckpointError: they cannot be written.
        """
        loss = figures.get(LOSS)
        if not isinstance(loss, float) or not loss < self.loss:
            return
        self.step, self.loss = step, loss
        if distributed.is_first():
            checkpoint.save_best(self.run, step, objective.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"step": self.step, "loss": self.loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As it was when that checkpoint was written; nothing was known to one without."""
        self.step, self.loss = state.get("step", 0), state.get("loss", math.inf)
