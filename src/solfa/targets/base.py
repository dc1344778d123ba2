"""Target, Codes, Values: the contract."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.data.clips import Clips
from solfa.frames import FrameGrid


@dataclass(frozen=True)
class Codes:
    """Codes to predict, by classification."""

    values: Int[Tensor, "clip codebook frame"]
    codebook_size: int


@dataclass(frozen=True)
class Values:
    """Real numbers to predict, by regression."""

    values: Float[Tensor, "clip frame value"]


class TargetError(ValueError):
    """A target from which nothing could be learned, or that is missing; the message names the cure."""


class Target(nn.Module):
    """What hidden frames must predict; computed from the clean waveform, frozen while an encoder trains."""

    grid: FrameGrid

    def start(self) -> None:
        """Fetch what the target was fitted to, once, before the first step of a new run."""

    def forward(self, clips: Clips) -> Codes | Values:
        """The target of every frame of the clips."""
        raise NotImplementedError
