"""Frames of which only some are given: from their places on the grid of the clip, and back."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def at_places(
    frames: Float[Tensor, "clip kept dim"], places: Int[Tensor, "clip kept"], n_frames: int | None = None
) -> Float[Tensor, "clip frame dim"]:
    """Frames where they stand in their clips, with zeros between them: what a convolution may hear.

    Args:
        frames: those that are given. Padding must be zero, and may have any place.
        places: the true number of each.
        n_frames: of the clips; up to the last place if None.
    """
    if n_frames is None:
        n_frames = int(places.max()) + 1 if places.numel() else 0
    whole = frames.new_zeros(len(frames), n_frames, frames.shape[2])
    return whole.scatter_add(1, places[..., None].expand_as(frames), frames)  # padding adds its zeros


def taken(
    whole: Float[Tensor, "clip frame dim"], places: Int[Tensor, "clip kept"]
) -> Float[Tensor, "clip kept dim"]:
    """The frames that stand at some places."""
    return torch.take_along_dim(whole, places[..., None], dim=1)
