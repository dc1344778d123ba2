"""AudioEncoder = frontend + context; HiddenStates."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from solfa.errors import ArgumentError
from solfa.frames import LOUDEST, FrameGrid
from solfa.models.checks import check_finite
from solfa.models.input import (
    Layer,
    Layers,
    Lengths,
    Waveform,
    as_lengths,
    as_waveform,
    check_samples,
    check_waveform,
)
from solfa.models.layers.weights import as_weights_are, weights_type
from solfa.models.saving import Shareable

__all__ = ["AudioEncoder", "Context", "Frontend", "HiddenStates", "check_waveform", "padding_mask"]

T = TypeVar("T", int, Tensor)


@dataclass(frozen=True)
class HiddenStates:
    """Hidden states of clips, layer by layer.

    ``states`` holds ``n_layers + 1`` tensors of ``(clip frame dim)``: first what enters the first layer,
    last what leaves the final normalisation, numbered as in the published models. If only some layers were
    asked for, it holds these, in the order in which they were named.
    """

    states: tuple[Float[Tensor, "clip frame dim"], ...]
    n_frames: Int[Tensor, " clip"]  # frames that hold audio; later ones are zero

    @classmethod
    def of(
        cls, states: Sequence[Float[Tensor, "clip frame dim"]], n_frames: Int[Tensor, " clip"] | None
    ) -> "HiddenStates":
        """Hidden states of clips of which ``n_frames`` hold audio; all if None."""
        if n_frames is None:
            n_clips, longest = states[0].shape[:2]
            n_frames = torch.full((n_clips,), longest, device=states[0].device)
        return cls(tuple(states), n_frames)

    @property
    def last(self) -> Float[Tensor, "clip frame dim"]:
        """The output of the encoder; if only some layers were asked for, the last one that was named."""
        return self.states[-1]

    @property
    def layers(self) -> Float[Tensor, "layer clip frame dim"]:
        """All layers in one tensor; a copy, made anew at each call."""
        return torch.stack(self.states)

    @property
    def padding(self) -> Bool[Tensor, "clip frame"]:
        """True where a frame holds no audio."""
        return padding_mask(self.n_frames, self.last.shape[1])


# So that programs that are exported or mapped can answer with hidden states.
torch.export.register_dataclass(HiddenStates, serialized_type_name="solfa.HiddenStates")


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
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"] | None]:
        """Frames, and how many of each clip hold audio; None if all do, which nobody then has to find out."""
        raise NotImplementedError


class Context(nn.Module):
    """Frames -> hidden states, by ``n_layers`` layers of width ``dim``."""

    n_layers: int
    dim: int
    layers: nn.ModuleList

    def forward(
        self,
        frames: Float[Tensor, "clip frame dim"],
        n_frames: Int[Tensor, " clip"] | None,
        highest: int | None = None,
        places: Int[Tensor, "clip frame"] | None = None,
    ) -> HiddenStates:
        """Hidden states of frames.

        Args:
            frames: of clips; those of one clip know nothing of another's in eval mode.
            n_frames: how many of each clip hold audio; all if None.
            highest: number of the layer after which nothing is computed; the last if None.
            places: the true number of each frame, rising, where only some frames of a clip are given. What
                depends on positions takes these, and a convolution finds zeros where no frame is given. What
                is said of padding has no meaning. From 0 on, without gaps, if None.
        """
        raise NotImplementedError


class AudioEncoder(Shareable):
    """Waveform -> hidden states: a frontend makes frames, a context relates them to each other."""

    frontend: Frontend
    context: Context
    loudest: float = LOUDEST  # that a sample may be; infinite where samples come standardised

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

    @property
    def default_layer(self) -> int:
        """That vectors are made of when nobody names one: its configuration says which, mostly the last."""
        return self._stated_layer % (self.n_layers + 1)

    @property
    def _stated_layer(self) -> int:
        return getattr(self.config, "default_layer", -1)

    def layer_number(self, layer: Layer | None) -> int:
        """The number of a layer, 0 to ``n_layers``; a negative one counts from the end, None is the default.

        Raises:
            ValueError: no such layer, or no whole number.
        """
        if layer is None:
            return self.default_layer
        try:
            number = operator.index(layer)
        except TypeError:
            number = None
        if number is None or isinstance(layer, bool):
            raise ArgumentError(f"A layer is a whole number, not {layer!r:.80}. {self._known_layers}")
        if not -self.n_layers - 1 <= number <= self.n_layers:
            raise ArgumentError(f"There is no layer {number}: {self._known_layers}")
        return number % (self.n_layers + 1)

    @property
    def _known_layers(self) -> str:
        if not self.n_layers:
            return "this encoder has layer 0 only."
        return (
            f"this encoder has {self.n_layers} layers, numbered 1 to {self.n_layers}; 0 is what enters the "
            "first."
        )

    def layer_numbers(self, layers: Layers) -> tuple[int, ...]:
        """The numbers of some layers, at least one, as ``layer_number`` gives them.

        Raises:
            ValueError: also for one number instead of several.
        """
        if isinstance(layers, str) or not hasattr(layers, "__iter__"):
            raise ArgumentError(f"Layers are a list of numbers, not {layers!r:.80}. Of one layer write [4].")
        numbers = tuple(self.layer_number(layer) for layer in layers)
        if not numbers:
            raise ArgumentError(f"No layer is named. Leave layers out for all of them: {self._known_layers}")
        return numbers

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
        self, waveform: Waveform, lengths: Lengths = None, layers: Layers | None = None
    ) -> HiddenStates:
        """Hidden states of clips, float32 (of weights in float64: float64).

        Args:
            waveform: (clip, sample): mono, in [-1, 1], at ``sample_rate``; a tensor or a NumPy array of any
                type of floats on any device. It is brought to the encoder's; gradients flow back to it.
                Integers are refused, because only who read them knows their full scale: ``x / 32768``.
            lengths: samples of audio in each clip, the rest being padding; all of them if omitted. A list, an
                array or a tensor of whole numbers. A clip's frames are the same alone, padded, or beside
                other clips.
            layers: numbers of the layers that are wanted, negative from the end; nothing above the highest is
                computed, and the answer holds these only, in this order. All of them if omitted.

        Raises:
            ValueError: a clip too short, samples that are not finite or far beyond full scale, lengths that
                cannot be, or no such layer. Samples and lengths are not looked at while a program is traced
                or mapped, and samples neither in training on an accelerator.
            NotFiniteError: in eval mode, a layer that answers with NaN or infinity.
        """
        numbers = None if layers is None else self.layer_numbers(layers)
        clips = as_waveform(waveform, self.device, torch.promote_types(weights_type(self), torch.float32))
        n_samples = as_lengths(lengths, clips)
        check_samples(clips, loudest=self.loudest, is_training=self.training)
        with as_weights_are(self):
            frames, n_frames = self.frontend(clips, n_samples)
            highest = self.n_layers if numbers is None else max(numbers)
            hidden = self.context(frames, n_frames, *((highest,) if highest < self.n_layers else ()))
        if not self.training:  # a training has its own check, of the gradients
            check_finite(self, hidden.states, clips)
        if numbers is None:
            return hidden
        return HiddenStates(tuple(hidden.states[number] for number in numbers), hidden.n_frames)
