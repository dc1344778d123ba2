"""Two steps: an encoder is given the visible frames alone, and a predictor guesses at the hidden ones."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config
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


class Predictor(nn.Module):
    """States of visible frames -> states of all frames, for heads to read where frames are hidden.

    A learned vector stands where a frame is hidden. Where in the clip that is, only the rotary positions of
    the layers say.

    Source:
        Masked autoencoders, arXiv:2111.06377; for sound, Audio-MAE, arXiv:2207.06405.
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
        self, states: Float[Tensor, "clip frame dim"], mask: Bool[Tensor, "clip frame"]
    ) -> Float[Tensor, "clip frame width"]:
        """States of the predictor; zero in clips of which nothing is hidden.

        Args:
            states: of the encoder, at their places.
            mask: True where frames are hidden, and states have no meaning.
        """
        asked = mask.any(1)  # also if there are none: then parameters get gradients of zero, on every rank
        narrow = exact(self.narrow(states[asked]))
        given = torch.where(mask[asked][..., None], exact(self.vector), narrow)
        answers = self.transformer(given, None).last
        whole = answers.new_zeros(*mask.shape, self.dim)
        whole[asked] = answers
        return whole


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
        if bool(group.any()):
            states[group] = _states_of_group(encoder, frames[group], visible[group])
    return states


def _states_of_group(
    encoder: AudioEncoder, frames: Float[Tensor, "clip frame dim"], visible: Bool[Tensor, "clip frame"]
) -> Float[Tensor, "clip frame dim"]:
    """As ``visible_states``, in one pass."""
    counts = visible.sum(1)
    most = int(counts.max())
    # Visible frames first, in their order; where a clip has fewer than another, hidden ones are its padding.
    places = (~visible).byte().argsort(dim=1, stable=True)[:, :most]
    n_frames = None if int(counts.min()) == most else counts
    hidden = encoder.context(taken(frames, places), n_frames, places=places)
    if not encoder.training:  # a training has its own check, of the gradients
        check_finite(encoder, hidden.states, frames.flatten(1))
    return at_places(hidden.last, places, frames.shape[1])


def with_something_visible(mask: Bool[Tensor, "clip frame"]) -> Bool[Tensor, "clip frame"]:
    """The mask, but for the first frame of clips that would be hidden as a whole: that one stays visible."""
    is_first = F.one_hot(torch.zeros((), dtype=torch.long, device=mask.device), mask.shape[1]).bool()
    return mask & ~(mask.all(1, keepdim=True) & is_first)
