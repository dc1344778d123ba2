"""HiddenRVQ: codes of another encoder's layer, whose hidden states are stored."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from solfa.config import Config, Hertz, Hop
from solfa.data.clips import Clips
from solfa.data.stored_frames import ClipStates
from solfa.frames import FrameGrid
from solfa.targets.base import Codes, CodesShape, FittableTarget, TargetError
from solfa.targets.quantizer import ResidualVectorQuantizer, ResidualVectorQuantizerConfig


@dataclass(frozen=True, kw_only=True)
class HiddenRVQConfig(Config):
    """Codes of stored hidden states; sizes are those of the encoder that made them."""

    kind: Literal["hidden_rvq"] = "hidden_rvq"
    sample_rate: Hertz = 24_000  # Hz
    hop_length: Hop = 960  # samples
    quantizer: ResidualVectorQuantizerConfig = field(
        default_factory=lambda: ResidualVectorQuantizerConfig(dim=1024)
    )

    @property
    def grid(self) -> FrameGrid:
        """Where the hidden states lie."""
        return FrameGrid(self.sample_rate, self.hop_length)

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(self.quantizer.n_codebooks, self.quantizer.codebook_size)


class HiddenRVQ(FittableTarget):
    """Codes of hidden states, each dimension of which is brought to mean 0 and deviation 1 before.

    Mean, deviation, and which encoder and layer it was are measured once, and kept with the quantizer.

    Source:
        The second iteration of MuQ, arXiv:2501.01108. Departs from it: dimensions are standardised, so that a
        few loud ones do not take all the codes.
    """

    mean: Tensor
    deviation: Tensor
    source: Tensor
    quantizer: ResidualVectorQuantizer

    def __init__(self, config: HiddenRVQConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.grid
        self.quantizer = ResidualVectorQuantizer(config.quantizer)
        self.register_buffer("mean", torch.zeros(config.quantizer.dim))
        self.register_buffer("deviation", torch.ones(config.quantizer.dim))
        self.register_buffer("source", torch.zeros(32, dtype=torch.uint8))

    @property
    def context_samples(self) -> int:
        """Zero: frames are quantized one at a time."""
        return 0

    def fit_statistics(self, clips: Clips) -> None:
        """Take mean and deviation of the dimensions, and the encoder and layer, from some clips."""
        hidden = self._hidden(clips)
        rows = hidden.values.flatten(0, 1)
        deviation = rows.std(0)
        self.mean.copy_(rows.mean(0))
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))  # some may never change
        self.source.copy_(_digest(hidden.source))

    def frames_to_quantize(self, clips: Clips) -> Float[Tensor, "clip frame dim"]:
        """Standardised hidden states.

        Raises:
            TargetError: the clips carry none, or those of another encoder or layer, or on another grid.
        """
        hidden = self._hidden(clips)
        if not torch.equal(self.source.cpu(), _digest(hidden.source)):
            raise TargetError(
                f"These hidden states ({hidden.source}) are of another encoder or layer than those that the "
                "quantizer was fitted to. Fit one to them with 'solfa train hidden_rvq', or name the others."
            )
        return (hidden.values - self.mean) / self.deviation

    @torch.no_grad()
    def forward(self, clips: Clips) -> Codes:
        """Codes of the hidden states of clips."""
        codes = self.quantizer.encode(self.frames_to_quantize(clips))
        return Codes(codes, self.config.quantizer.codebook_size)

    def _hidden(self, clips: Clips) -> ClipStates:
        hidden, config = clips.hidden, self.config
        if hidden is None:
            raise TargetError(
                "Hidden states are wanted, but the clips carry none. Make them with 'solfa embed MANIFEST "
                "--model RUN --layer LAYER --frames --out HIDDEN' and name them: '--set data.frames=HIDDEN' "
                "in training, '--frames HIDDEN' for solfa data label."
            )
        if hidden.grid != config.grid or hidden.values.shape[2] != config.quantizer.dim:
            raise TargetError(
                f"The hidden states are {hidden.values.shape[2]} wide at {hidden.grid}, but this run wants "
                f"{config.quantizer.dim} at {config.grid}. Set objective.target.quantizer.dim="
                f"{hidden.values.shape[2]}, objective.target.sample_rate={hidden.grid.sample_rate} and "
                f"objective.target.hop_length={hidden.grid.hop_length}."
            )
        return hidden


def _digest(source: str) -> Tensor:
    return torch.frombuffer(bytearray(hashlib.sha256(source.encode()).digest()), dtype=torch.uint8)
