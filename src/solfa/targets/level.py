"""The level of a clip: how loud all of it is, which a target may leave out."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

Level = Literal["kept", "removed"]  # in the frames that a target is made of


def without_level(
    frames: Float[Tensor, "clip frame value"], level: Level
) -> Float[Tensor, "clip frame value"]:
    """Frames less the mean over all values of their clip, if the level is to be removed.

    Loudness and noisiness of a recording are what masked prediction learns first, since they hardly change
    from frame to frame and any visible frame tells them. Within a clip loud and soft stay apart: it is one
    number for a clip, not for a frame. The encoder still hears the level.

    Args:
        frames: logarithmic, in decibels or a multiple of them: a gain adds the same to all.
        level: ``kept`` gives the frames as they are.
    """
    return frames if level == "kept" else frames - frames.mean((1, 2), keepdim=True)
