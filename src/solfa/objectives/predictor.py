"""Two steps: an encoder is given the visible frames alone, and a predictor guesses at the hidden ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import LATER, Config, Share
from solfa.errors import ArgumentError
from solfa.features.exact import exact
from solfa.models import AudioEncoder, RotaryTransformerConfig
from solfa.models.checks import check_finite
from solfa.models.layers.linear import Linear
from solfa.models.layers.normalization import BatchNorm
from solfa.models.layers.places import at_places, taken
from solfa.models.layers.rotary_transformer import RotaryTransformer


@dataclass(frozen=True, kw_only=True)
class PredictorConfig(Config):
    """What guesses at hidden frames, and is thrown away after training."""

    transformer: RotaryTransformerConfig = field(
        default_factory=lambda: RotaryTransformerConfig(n_layers=2, dim=192, n_heads=3)
    )
    # Of the hidden frames of a clip, those that it guesses at in training, drawn by lot.
    asked_share: Share = field(default=1.0, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.asked_share:
            raise ArgumentError("predictor.asked_share must be above 0, or nothing would be guessed at.")


class Predictor(nn.Module):
    """States of visible frames -> states of hidden frames, for heads to read.

    A learned vector stands where a frame is hidden. Where in the clip that is, only the rotary positions of
    the layers say. As hidden frames tell each other nothing, it may be asked about some of them only.

    Source:
        Masked autoencoders, arXiv:2111.06377; for sound, Audio-MAE, arXiv:2207.06405; a part of the hidden
        places alone, CrossMAE, arXiv:2401.14391.
    """

    def __init__(self, config: PredictorConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.narrow = Linear(dim, config.transformer.dim)
        self.vector = nn.Parameter(torch.randn(config.transformer.dim))
        self.transformer = RotaryTransformer(config.transformer)

    @property
    def dim(self) -> int:
        """Width of the states that it gives."""
        return self.config.transformer.dim

    def forward(
        self,
        states: Float[Tensor, "clip frame dim"],
        mask: Bool[Tensor, "clip frame"],
        asked: Bool[Tensor, "clip frame"] | None = None,
    ) -> Float[Tensor, "clip frame width"]:
        """States of the predictor; zero in clips of which nothing is hidden, and where nothing is asked.

        Args:
            states: of the encoder, at their places.
            mask: True where frames are hidden, and states have no meaning.
            asked: the hidden frames that are guessed at; all of them if None.
        """
        # Also if there are none: then parameters get gradients of zero, on every rank. Numbers of rows, found
        # once, for each selection by truth values would make the program wait for its device.
        rows = mask.any(1).nonzero()[:, 0]
        narrow = exact(self.narrow(states[rows]))
        given = torch.where(mask[rows][..., None], exact(self.vector), narrow)
        if asked is None:
            answers = self.transformer(given, None).last
        else:
            places, n_frames = places_of((asked | ~mask)[rows])
            some = self.transformer(taken(given, places), n_frames, places=places).last
            answers = at_places(some, places, mask.shape[1])
        whole = answers.new_zeros(*mask.shape, self.dim)
        whole[rows] = answers
        return whole

    def draw_asked(
        self, mask: Bool[Tensor, "clip frame"], generators: Sequence[torch.Generator]
    ) -> Bool[Tensor, "clip frame"]:
        """The hidden frames that are guessed at in training: of each clip its share, rounded up.

        Args:
            mask: True where frames are hidden.
            generators: each clip's own source of randomness.
        """
        lots = torch.stack([torch.rand(mask.shape[1], generator=generator) for generator in generators])
        lots = lots.to(mask.device).masked_fill(~mask, 2)  # the visible come last
        n_asked = (mask.sum(1) * self.config.asked_share).ceil()
        return lots.argsort(1).argsort(1) < n_asked[:, None]


def visible_states(
    encoder: AudioEncoder, frames: Float[Tensor, "clip frame dim"], visible: Bool[Tensor, "clip frame"]
) -> Float[Tensor, "clip frame dim"]:
    """The encoder's last hidden states of the visible frames, at their places; zero where frames are hidden.

    The context is given these frames alone, with their places, and knows nothing of the others. Clips that
    are visible as a whole take a pass of their own, so that the others need not be padded to their length;
    unless statistics of all clips are learned from, as in a Conformer.

    Args:
        encoder: whose context computes.
        frames: of its frontend.
        visible: True where it may look, at least once in each clip.

    Raises:
        NotFiniteError: in eval mode, a layer that answers with NaN or infinity.
    """
    is_whole = visible.all(1)
    shares_statistics = any(isinstance(part, BatchNorm) for part in encoder.context.modules())
    groups = [torch.ones_like(is_whole)] if shares_statistics else [~is_whole, is_whole]
    states = exact(torch.zeros_like(frames))
    for group in groups:
        rows = group.nonzero()[:, 0]
        if len(rows):
            states[rows] = _states_of_group(encoder, frames[rows], visible[rows])
    return states


def _states_of_group(
    encoder: AudioEncoder, frames: Float[Tensor, "clip frame dim"], visible: Bool[Tensor, "clip frame"]
) -> Float[Tensor, "clip frame dim"]:
    """As ``visible_states``, in one pass."""
    places, n_frames = places_of(visible)
    hidden = encoder.context(taken(frames, places), n_frames, places=places)
    if not encoder.training:  # a training has its own check, of the gradients
        check_finite(encoder, hidden.states, frames.flatten(1))
    return at_places(hidden.last, places, frames.shape[1])


def places_of(
    kept: Bool[Tensor, "clip frame"],
) -> tuple[Int[Tensor, "clip kept"], Int[Tensor, " clip"] | None]:
    """Places of the frames that are kept, and how many each clip has; None if all have as many.

    They are in their order; where a clip has fewer than another, frames that are not kept are its padding.
    """
    counts = kept.sum(1)
    fewest, most = torch.stack(counts.aminmax()).tolist() if len(counts) else (0, 0)
    places = (~kept).byte().argsort(dim=1, stable=True)[:, :most]
    return places, None if fewest == most else counts


def with_something_visible(mask: Bool[Tensor, "clip frame"]) -> Bool[Tensor, "clip frame"]:
    """The mask, but for the first frame of clips that would be hidden as a whole: that one stays visible."""
    is_first = F.one_hot(torch.zeros((), dtype=torch.long, device=mask.device), mask.shape[1]).bool()
    return mask & ~(mask.all(1, keepdim=True) & is_first)
