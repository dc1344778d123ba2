"""Target, Codes, Values: the contract."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from solfa.data.clips import Clips
from solfa.errors import SolfaError
from solfa.frames import FrameGrid, samples_to_seconds
from solfa.precision import full_float32


@dataclass(frozen=True)
class Origin:
    """What codes were made of, and how far each of all codes lies from it."""

    frames: Float[Tensor, "clip frame dim"]
    squared_distances: Callable[[Float[Tensor, "row dim"]], Float[Tensor, "row codebook code"]]

    def distances_of(self, mask: Bool[Tensor, "clip frame"]) -> Float[Tensor, "hidden codebook code"]:
        """Squared distances of the frames where ``mask`` is True, clip after clip."""
        return self.squared_distances(self.frames[mask])


@dataclass(frozen=True)
class Codes:
    """Codes to predict, by classification."""

    values: Int[Tensor, "clip codebook frame"]
    codebook_size: int
    origin: Origin | None = None  # of a quantizer that knows distances

    @property
    def n_frames(self) -> int:
        """Frames of each clip."""
        return self.values.shape[2]

    def cut(self, n_frames: int, first: int = 0) -> "Codes":
        """So many frames, from frame ``first`` on."""
        part = slice(first, first + n_frames)
        origin = self.origin and replace(self.origin, frames=self.origin.frames[:, part])
        return Codes(self.values[:, :, part], self.codebook_size, origin)


@dataclass(frozen=True)
class Values:
    """Real numbers to predict, by regression."""

    values: Float[Tensor, "clip frame value"]

    @property
    def n_frames(self) -> int:
        """Frames of each clip."""
        return self.values.shape[1]

    def cut(self, n_frames: int, first: int = 0) -> "Values":
        """So many frames, from frame ``first`` on."""
        return Values(self.values[:, first : first + n_frames])


@dataclass(frozen=True)
class CodesShape:
    """Number and size of the codebooks of a target of codes."""

    n_codebooks: int
    codebook_size: int


@dataclass(frozen=True)
class ValuesShape:
    """Number of values of a target of values."""

    n_values: int


class TargetError(SolfaError, ValueError):
    """A target from which nothing could be learned, or that is missing; the message names the cure."""


def refuse_collapsed(codes: Codes) -> None:
    """Raise TargetError if all codebooks give one code only: then there is nothing to learn."""
    used = [len(book.unique()) for book in codes.values.unbind(1)]
    if max(used) <= 1:
        raise TargetError(
            f"The targets are collapsed: over {codes.values[:, 0].numel()} frames each of the "
            f"{len(used)} codebooks gives a single code. Fit the quantizer longer, or on more varied music."
        )


class Target(nn.Module):
    """What hidden frames must predict; computed from the clean waveform, frozen while an encoder trains."""

    grid: FrameGrid

    @property
    def context_samples(self) -> int:
        """Audio on each side of a frame that its answer depends on; a second, if nobody knows better."""
        return self.grid.sample_rate

    def load_fitted(self) -> None:
        """Fetch what the target was fitted to, once, before the first step of a new run."""

    def forward(self, clips: Clips) -> Codes | Values:
        """The target of every frame of the clips: as many as whole hops, or one more."""
        raise NotImplementedError

    def with_context(self, clips: Clips) -> Codes | Values:
        """The target of clips, whose frames at the ends hear what surrounds the clips, if that is given.

        A teacher computes in float32 to the last bit, whatever holds for the encoder that it teaches.

        Raises:
            TargetError: the context is not a whole number of frames.
        """
        with full_float32(clips.waveform.device):
            return self._with_context(clips)

    def _with_context(self, clips: Clips) -> Codes | Values:
        if clips.surroundings is None:
            return self(clips)
        hop, context = self.grid.hop_length, clips.context_samples
        if context % hop:
            raise TargetError(
                f"{context} samples of context are not a whole number of frames of {hop} samples. Make "
                f"data.context_seconds a multiple of {samples_to_seconds(hop, self.grid.sample_rate):g}."
            )
        return self(clips.surrounded()).cut(clips.waveform.shape[1] // hop, context // hop)


class FittableTarget(Target):
    """A target whose quantizer can be fitted to the frames that it will quantize."""

    quantizer: nn.Module

    def frames_to_quantize(self, clips: Clips) -> Float[Tensor, "clip frame dim"]:
        """Frames that the quantizer quantizes."""
        raise NotImplementedError

    def fit_statistics(self, clips: Clips) -> None:
        """Take down, once and before fitting, what is to be known about such frames."""
