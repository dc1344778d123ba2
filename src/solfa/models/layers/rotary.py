"""Rotary positions: pairs of numbers turned by an angle that grows from frame to frame."""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor


def rotary_angles(
    n_frames: int,
    head_dim: int,
    base: float,
    like: Tensor,
    places: Int[Tensor, "clip frame"] | None = None,
) -> Float[Tensor, "2 *clip frame half"]:
    """Cosine and sine of place times frequency, of the type and on the device of ``like``.

    Args:
        n_frames: how many there are.
        head_dim: width of a head; even.
        base: ``1 / base`` is what frequencies fall towards.
        like: states that will be turned.
        places: of the frames of each clip; 0, 1, 2 ... in all of them if None.
    """
    frequency = rotary_frequencies(head_dim, base, like.device, like.dtype)
    if places is None:
        angle = torch.outer(torch.arange(n_frames, device=like.device, dtype=like.dtype), frequency)
    else:
        angle = places[..., None].to(like.dtype) * frequency
    return torch.stack([angle.cos(), angle.sin()])


def rotary_frequencies(
    head_dim: int, base: float, device: torch.device, dtype: torch.dtype = torch.float32
) -> Float[Tensor, " half"]:
    """Radians from a frame to the next, falling from 1 towards ``1 / base``."""
    return 1.0 / base ** (torch.arange(0, head_dim, 2, device=device, dtype=dtype) / head_dim)


def rotate(
    x: Float[Tensor, "clip frame dim"], rotation: Float[Tensor, "2 *_ frame half"], n_heads: int
) -> Float[Tensor, "clip frame dim"]:
    """Turn each head's pairs (entry i, entry i + half) by the angle of their frame and frequency."""
    cos, sin = rotation[..., None, :]
    first, second = rearrange(
        x, "clip frame (head two half) -> two clip frame head half", head=n_heads, two=2
    )
    turned = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=3)
    return rearrange(turned, "clip frame head two half -> clip frame (head two half)").to(x.dtype)
