"""Objective, Step: the contract that the trainer knows."""

from dataclasses import dataclass, field

from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.data.clips import Clips


@dataclass(frozen=True)
class Step:
    """What an objective says about one batch.

    Everything is a sum, so that batches, accumulated batches and ranks with unequal counts can be joined:
    the trainer divides by the joint ``count``.
    """

    loss: Float[Tensor, ""]  # summed over what is counted; its gradient is followed
    count: Float[Tensor, ""]  # what the loss was summed over: hidden frames, or frames
    sums: dict[str, Tensor] = field(default_factory=dict)  # what is to be logged, summed likewise
    code_uses: Int[Tensor, "codebook code"] | None = None  # how often each code was the target


class Objective(nn.Module):
    """Clips -> loss. ``model`` is what outlives training."""

    sample_rate: int  # Hz, of the clips that it wants

    @property
    def model(self) -> nn.Module:
        """What outlives training."""
        raise NotImplementedError

    def start(self, clips: Clips) -> None:
        """Once, before the first step of a new run: fetch teachers, and refuse those that teach nothing.

        Args:
            clips: some clips of the run to try the targets on.
        """

    def forward(self, clips: Clips) -> Step:
        """Loss and figures of one batch."""
        raise NotImplementedError
