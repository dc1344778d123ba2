"""Frames and those around them: side by side, and the slope of a line through them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def with_neighbours(
    frames: Float[Tensor, "clip frame dim"], n_frames: Int[Tensor, " clip"], reach: int
) -> Float[Tensor, "clip frame neighbour dim"]:
    """Each frame between ``reach`` frames before and as many after it, in order of time.

    Args:
        frames: of clips.
        n_frames: how many of each clip hold audio, at least one; beyond both ends stand the first frame and
            the last one, so that a clip has the same neighbours alone and padded.
        reach: on each side.
    """
    offsets = torch.arange(-reach, reach + 1, device=frames.device)
    places = torch.arange(frames.shape[1], device=frames.device)[:, None] + offsets
    last = (n_frames.to(frames.device) - 1)[:, None, None]
    places = torch.minimum(places[None], last).clamp(min=0)
    clips = torch.arange(frames.shape[0], device=frames.device)[:, None, None]
    return frames[clips, places]


def slopes(
    frames: Float[Tensor, "clip frame dim"], n_frames: Int[Tensor, " clip"], reach: int
) -> Float[Tensor, "clip frame dim"]:
    """Change per frame: the slope of the line that lies nearest to a frame and its neighbours.

    Source:
        Furui, Speaker-independent isolated word recognition using dynamic features, IEEE ASSP 1986: deltas.
    """
    offsets = torch.arange(-reach, reach + 1, device=frames.device, dtype=frames.dtype)
    weights = offsets / offsets.square().sum()
    return torch.einsum("cfnd,n->cfd", with_neighbours(frames, n_frames, reach), weights)
