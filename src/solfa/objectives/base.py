"""Objective, Step: the contract that the trainer knows."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.data.clips import Clips


@dataclass(frozen=True)
class StepOutput:
    """Loss and figures of one batch.

    Everything is a sum, so that batches, accumulated batches and ranks with unequal counts can be joined:
    the trainer divides by the joint ``count``.

    Known ``statistics``, which may stand after the place of a prediction, as in ``predictions.1.code_uses``:

    - ``code_uses``, ``predicted_uses`` (codebook code): how often each code was the target, or the likeliest;
    - ``hidden_moments`` (1 + dim, 1 + dim): products of all pairs among one and dimensions of hidden states;
    - ``frame_moments``, ``pooled_moments`` (1 + dim, 1 + dim): likewise, of a layer's states of all frames,
      or of their means over each clip, after its number, as in ``layers.3.pooled_moments``;
    - ``value_moments`` (2, value): values that were the target, and their squares.
    """

    loss: Float[Tensor, ""]  # summed over what is counted; its gradient, if it has one, is followed
    count: Float[Tensor, ""]  # what the loss was summed over: hidden frames, or frames
    sums: dict[str, Tensor] = field(default_factory=dict)  # what is to be logged, summed likewise
    code_uses: Int[Tensor, "codebook code"] | None = None  # how often each code was the target
    statistics: dict[str, Tensor] = field(default_factory=dict)  # sums that the monitor makes figures of


# So that whoever gathers weights for a forward pass finds the loss, from which gradients come back.
torch.export.register_dataclass(StepOutput, serialized_type_name="solfa.StepOutput")


class Objective(nn.Module):
    """Clips -> loss. ``model`` is what outlives training."""

    sample_rate: int  # Hz, of the clips that it wants
    n_first_clips: int = 8  # that it wants to start with, as far as a step has so many
    n_compared: int = 0  # clips of all ranks that a pass must hold, because they are compared; 0 if none are
    clips_at_once: int = 8  # of such a pass, whose gradient fits into memory; the trainer sets it

    @property
    def model(self) -> nn.Module:
        """What outlives training."""
        raise NotImplementedError

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """What learns, and the share of the learning rate that it has."""
        return [([parameter for parameter in self.parameters() if parameter.requires_grad], 1.0)]

    def layers_to_shard(self) -> list[nn.Module] | None:
        """Layers whose weights may be gathered one after another, where each rank holds a share of them.

        All ranks go through each of them equally often, in one order. What is in none of them is gathered as
        a whole. None if the weights may not be shared out: something besides ``forward`` reads them.
        """
        return None

    def layers_to_recompute(self) -> list[nn.Module]:
        """Layers whose inner activations may be forgotten, and computed again as gradients go backward."""
        return []

    def layers_to_compile(self) -> list[nn.Module]:
        """Layers that may each be compiled by itself: those that may be computed again."""
        return self.layers_to_recompute()

    def start(self, clips: Clips) -> None:
        """Once, before the first step of a new run: fetch teachers, and refuse those that teach nothing.

        Args:
            clips: some clips of the run to try the targets on.
        """

    def forward(self, clips: Clips) -> StepOutput:
        """Loss and figures of one batch."""
        raise NotImplementedError

    def finish_step(self) -> None:
        """After every step, for what is learned without gradients from the batches of the step.

        Also after one that no optimiser took, since half precision overflowed: what batches left behind must
        not wait for the next step, which a resumed run may begin with.
        """
