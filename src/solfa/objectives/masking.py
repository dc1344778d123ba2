"""BlockMasking: whole blocks of the waveform become noise."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from solfa.config import Config
from solfa.data.clips import MASK, NOISE, Clips
from solfa.frames import FrameGrid


@dataclass(frozen=True, kw_only=True)
class BlockMaskingConfig(Config):
    """Hide whole blocks of the waveform (MuQ)."""

    kind: Literal["block"] = "block"
    block_seconds: float = 0.4
    probability: float = 0.6  # that a block is hidden
    noise_std: float = 0.1  # of the noise put in its place


class BlockMasking:
    """Hides blocks of clips: which ones is decided clip by clip, from the clip's own randomness.

    Source:
        Block masking of MuQ, arXiv:2501.01108, after BEST-RQ, arXiv:2202.01855.
    """

    def __init__(self, config: BlockMaskingConfig, grid: FrameGrid) -> None:
        self.config = config
        self.block_frames = grid.seconds_to_frames(config.block_seconds)
        self.block_samples = self.block_frames * grid.hop_length

    def sample(self, clips: Clips, n_frames: int) -> Bool[Tensor, "clip frame"]:
        """Frames to predict: True where hidden; the last block may be cut short."""
        rows = [
            sample_block_mask(
                n_frames,
                block_frames=self.block_frames,
                probability=self.config.probability,
                generator=generator,
            )
            for generator in clips.generators(MASK)
        ]
        return torch.stack(rows).to(clips.waveform.device)

    def hide_samples(self, clips: Clips, mask: Bool[Tensor, "clip frame"]) -> Float[Tensor, "clip sample"]:
        """The waveform with noise under the hidden frames; the clips themselves stay as they are."""
        waveform = clips.waveform
        hidden = mask.repeat_interleave(self.block_samples // self.block_frames, dim=1)
        hidden = torch.nn.functional.pad(hidden, (0, max(0, waveform.shape[1] - hidden.shape[1])))
        noise = torch.stack(
            [
                torch.randn(waveform.shape[1], generator=generator, device=waveform.device)
                for generator in clips.generators(NOISE, waveform.device)
            ]
        )
        return torch.where(hidden[:, : waveform.shape[1]], self.config.noise_std * noise, waveform)


def sample_block_mask(
    n_frames: int, *, block_frames: int, probability: float, generator: torch.Generator | None = None
) -> Bool[Tensor, " frame"]:
    """Draw the frames of one clip to predict: whole blocks, each hidden with the same probability.

    The clip is cut into blocks of ``block_frames`` frames that do not overlap, and every block is hidden or
    kept as one. The expected share of hidden frames is therefore ``probability`` itself, which is not so for
    overlapping spans.

    Args:
        n_frames: encoder frames of the clip; the last block may be cut short.
        block_frames: length of a block in frames (MuQ: 0.4 s, 10 frames at 25 Hz).
        probability: chance that a block is hidden, in [0, 1] (MuQ: 0.6).
        generator: source of randomness; the global one if omitted.

    Returns:
        True where the encoder must predict, False where it may look.

    Source:
        Block masking of MuQ, arXiv:2501.01108.
    """
    n_blocks = -(-n_frames // block_frames)
    hidden = torch.rand(n_blocks, generator=generator) < probability
    return hidden.repeat_interleave(block_frames)[:n_frames]
