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

    @property
    def n_frames(self) -> int:
        """Frames of each clip."""
        return self.values.shape[2]

    def cut(self, n_frames: int) -> "Codes":
        """The first frames."""
        return Codes(self.values[:, :, :n_frames], self.codebook_size)


@dataclass(frozen=True)
class Values:
    """Real numbers to predict, by regression."""

    values: Float[Tensor, "clip frame value"]

    @property
    def n_frames(self) -> int:
        """Frames of each clip."""
        return self.values.shape[1]

    def cut(self, n_frames: int) -> "Values":
        """The first frames."""
        return Values(self.values[:, :n_frames])


@dataclass(frozen=True)
class CodesShape:
    """What a target of codes gives for a frame."""

    n_codebooks: int
    codebook_size: int


@dataclass(frozen=True)
class ValuesShape:
    """What a target of values gives for a frame."""

    n_values: int


class TargetError(ValueError):
    """A target from which nothing could be learned, or that is missing; the message names the cure."""


class Target(nn.Module):
    """What hidden frames must predict; computed from the clean waveform, frozen while an encoder trains."""

    grid: FrameGrid

    def start(self) -> None:
        """Fetch what the target was fitted to, once, before the first step of a new run."""

    def forward(self, clips: Clips) -> Codes | Values:
        """The target of every frame of the clips: as many as whole hops, or one more."""
        raise NotImplementedError
