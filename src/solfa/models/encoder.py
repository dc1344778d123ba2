"""AudioEncoder = frontend + context; HiddenStates."""

from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from solfa.frames import FrameGrid
from solfa.models.finite import check_finite
from solfa.models.sharing import Shareable

T = TypeVar("T", int, Tensor)


@dataclass(frozen=True)
class HiddenStates:
    """What an encoder says about clips, layer by layer.

    ``states`` holds ``n_layers + 1`` tensors of ``(clip frame dim)``: first what enters the first layer,
    last what leaves the final normalisation, numbered as in the published models.
    """

    states: tuple[Float[Tensor, "clip frame dim"], ...]
    n_frames: Int[Tensor, " clip"]  # frames that hold audio; later ones are zero

    @property
    def last(self) -> Float[Tensor, "clip frame dim"]:
        """The output of the encoder."""
        return self.states[-1]

    @property
    def layers(self) -> Float[Tensor, "layer clip frame dim"]:
        """All layers in one tensor; a copy, made anew at each call."""
        return torch.stack(self.states)

    @property
    def padding(self) -> Bool[Tensor, "clip frame"]:
        """True where a frame holds no audio."""
        return padding_mask(self.n_frames, self.last.shape[1])


def padding_mask(n_frames: Int[Tensor, " clip"], longest: int) -> Bool[Tensor, "clip frame"]:
    """True where a frame lies beyond the end of its clip."""
    return torch.arange(longest, device=n_frames.device)[None] >= n_frames[:, None]


class Frontend(nn.Module):
    """Waveform -> frames of an encoder's width."""

    grid: FrameGrid

    def n_frames(self, n_samples: T) -> T:
        """Frames that lie wholly in a clip of ``n_samples``: a number, or one for each clip."""
        raise NotImplementedError

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"]]:
        """Frames, and how many of each clip hold audio."""
        raise NotImplementedError


class Context(nn.Module):
    """Frames -> hidden states, by ``n_layers`` layers of width ``dim``."""

    n_layers: int
    dim: int

    def forward(
        self, frames: Float[Tensor, "clip frame dim"], n_frames: Int[Tensor, " clip"]
    ) -> HiddenStates:
        """Hidden states of frames, of which ``n_frames`` hold audio."""
        raise NotImplementedError


class AudioEncoder(Shareable):
    """Waveform -> hidden states: a frontend makes frames, a context relates them to each other."""

    frontend: Frontend
    context: Context

    def __init__(self, frontend: Frontend, context: Context, license: str = "") -> None:
        super().__init__()
        self.frontend = frontend
        self.context = context
        self.license = license  # of the weights; empty if nobody stated one

    @property
    def grid(self) -> FrameGrid:
        """Where the hidden states lie on the waveform."""
        return self.frontend.grid

    @property
    def sample_rate(self) -> int:
        """Of the waveform that the encoder expects, in Hz."""
        return self.grid.sample_rate

    @property
    def frame_rate(self) -> float:
        """Hidden states per second."""
        return self.grid.frame_rate

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(chain(self.parameters(), self.buffers())).device  # features alone have no parameters

    @property
    def dim(self) -> int:
        """Width of a hidden state."""
        return self.context.dim

    @property
    def n_layers(self) -> int:
        """Layers of the context; hidden states have one more."""
        return self.context.n_layers

    def describe(self) -> dict[str, str]:
        """Rows of the card's table."""
        return {
            "kind": f"encoder, {type(self).__name__}",
            "sample rate": f"{self.sample_rate} Hz",
            "frame rate": f"{self.frame_rate:g} Hz",
            "layers": f"{self.n_layers} of width {self.dim}",
            "parameters": f"{sum(p.numel() for p in self.parameters()):,}",
        }

    def answer(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "row value"]:
        """Sixteen values of each layer at a half, a quarter and three quarters of the first clip."""
        layers = self(waveform).layers[:, 0]
        n_frames, step = layers.shape[1], max(1, self.dim // 8)
        # The first eight are those of the middle frame, which is all that folders saved before have.
        frames = layers[:, [n_frames // 2, n_frames // 4, 3 * n_frames // 4]]
        halves = [frames[:, :, start::step][:, :, :8] for start in (0, step // 2)]
        return torch.cat([half.flatten(1) for half in halves], dim=1)

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> HiddenStates:
        """Hidden states of clips.

        Args:
            waveform: mono, in [-1, 1], at ``sample_rate``.
            lengths: samples of audio in each clip, the rest being padding; all of them if omitted. A clip's
                frames are the same alone, padded, or beside other clips.

        Raises:
            ValueError: a clip too short, samples that are not finite, or lengths that cannot be.
            NotFiniteError: in eval mode, a layer that answers with NaN or infinity.
        """
        check_waveform(waveform, lengths)
        hidden = self.context(*self.frontend(waveform.float(), lengths))
        if not self.training:  # a training has its own check, of the gradients
            check_finite(self, hidden.states, waveform)
        return hidden


def check_waveform(waveform: Tensor, lengths: Tensor | None) -> None:
    """Refuse a waveform that would give features of no meaning; the message names the cure."""
    if waveform.ndim != 2:
        raise ValueError(
            f"A waveform has the shape (clip, sample), not {tuple(waveform.shape)}. "
            "For one mono clip use waveform[None]; for stereo take the mean of the channels first."
        )
    if not waveform.is_floating_point():
        raise ValueError(
            f"A waveform is float in [-1, 1], not {waveform.dtype}. Divide integers by full scale."
        )
    if not torch.isfinite(waveform).all():
        raise ValueError("The waveform holds NaN or infinite samples. Leave such clips out or repair them.")
    if lengths is not None and (
        lengths.shape != waveform.shape[:1] or int(lengths.max()) > waveform.shape[1]
    ):
        raise ValueError(
            f"lengths must give at most {waveform.shape[1]} samples for each of {len(waveform)} clips, "
            f"not {lengths.tolist()}."
        )
