"""LossScale: keeps gradients within the range of half precision, and steps that left it from being taken."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from solfa.errors import SolfaError

log = logging.getLogger(__name__)

# A loss is a sum over thousands of frames, so its gradients are large before they are scaled.
FIRST_SCALE = 2.0**7
# Half precision holds gradients down to 6e-8 and up to 65504: where they are infinite even at this scale,
# no other would help, and it is not their size but the model that is wrong.
LOWEST_SCALE = 2.0**-14


class ScaleError(SolfaError, ValueError):
    """A loss scale that fell as far as it can; the message names the cure."""


class LossScale:
    """A factor of the loss that is halved when gradients overflow, and doubled after 2,000 steps without.

    A step with an infinite gradient is taken by no optimiser. Where gradients are not half precision, it is
    not ``used``, and changes nothing.

    Source:
        Mixed precision training, arXiv:1710.03740.
    """

    def __init__(self, device: torch.device, is_used: bool) -> None:
        self.is_used, self.n_skipped = is_used, 0
        self.scaler = torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=is_used)

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to go backward from."""
        return self.scaler.scale(loss)

    def unscale(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Make the accumulated gradients those of the loss itself; once, before they are clipped."""
        for optimizer in optimizers:
            self.scaler.unscale_(optimizer)

    def update(self, step: int, is_taken: bool) -> None:
        """Choose the scale of the next step.

        Raises:
            ScaleError: it keeps falling.
        """
        if not self.is_used:
            return
        self.scaler.update()
        if is_taken:
            return
        self.n_skipped += 1
        scale = self.scaler.get_scale()
        log.info("Step %d has infinite gradients and is skipped; the loss scale is now %g.", step, scale)
        if scale < LOWEST_SCALE:
            raise ScaleError(
                f"The loss scale has fallen to {scale:g} at step {step}: gradients stay infinite in half "
                "precision however small they are made. The weights are from before: continue with --resume "
                "and '--set precision=bfloat16' (or float32), or with a lower optim.lr, or, for a "
                "Transformer, with '--set objective.encoder.transformer.attention_relax=32'."
            )

    def figures(self) -> dict[str, float]:
        """What a line of the log says about it; nothing where it is not used."""
        if not self.is_used:
            return {}
        return {"loss_scale": self.scaler.get_scale(), "skipped_steps": self.n_skipped}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"scaler": self.scaler.state_dict(), "n_skipped": self.n_skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the scale of a checkpoint; one of a run in another precision holds none."""
        if self.is_used and state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        self.n_skipped = state.get("n_skipped", 0)
