"""CodecFit: trains an RVQ-VAE to give waveforms back."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from solfa.config import Config, NotNegative, Positive
from solfa.data.clips import Clips
from solfa.features import SpectralDistance, SpectralDistanceConfig
from solfa.objectives.base import Objective, StepOutput
from solfa.objectives.discriminator import Adversary, AdversaryConfig
from solfa.targets import RVQVAE, RVQVAEConfig


@dataclass(frozen=True, kw_only=True)
class CodecFitConfig(Config):
    """Errors of a codec, and their weights."""

    kind: Literal["codec_fit"] = "codec_fit"
    codec: RVQVAEConfig = field(default_factory=RVQVAEConfig)
    spectrum: SpectralDistanceConfig = field(default_factory=SpectralDistanceConfig)
    waveform_weight: NotNegative = 1.0  # of mean |x - x'|, relative to mean |x|
    quietest: Positive = 0.01  # mean |x|; the error of softer clips is relative to it
    convergence_weight: NotNegative = 1.0
    log_magnitude_weight: NotNegative = 0.0
    log_mel_weight: NotNegative = 1.0
    commitment_weight: NotNegative = 0.1  # more draws frames to entries that stand for nothing yet
    codebook_weight: NotNegative = 1.0  # of codebooks that learn by gradient
    adversary: AdversaryConfig | None = None  # tells codec from music, and so teaches the codec detail


class CodecFit(Objective):
    """Give a waveform back from its codes.

    loss = waveform |x - x'| / |x| + distances of spectra + commitment + codebook (+ adversarial), where x is
    the waveform and x' what its codes stand for.

    Source:
        SoundStream, arXiv:2107.03312; EnCodec, arXiv:2210.13438. Departs from them: codec and adversary
        follow the gradients of one backward pass, at the same time instead of in turns.
    """

    def __init__(self, config: CodecFitConfig) -> None:
        super().__init__()
        self.config = config
        self.sample_rate = config.codec.sample_rate
        self.codec = RVQVAE(config.codec)
        self.spectral_distance = SpectralDistance(config.spectrum)
        self.adversary = config.adversary and Adversary(config.adversary)

    @property
    def model(self) -> nn.Module:
        """The codec."""
        return self.codec

    def forward(self, clips: Clips) -> StepOutput:
        """Loss over all frames of clips."""
        hop = self.codec.grid.hop_length
        waveform = clips.waveform[:, : clips.waveform.shape[1] // hop * hop]
        quantized = self.codec.quantizer(self.codec.frames(waveform))
        rebuilt = self.codec.waveform(quantized.frames)
        losses = self._distances(waveform, rebuilt)
        losses["commitment_loss"] = quantized.commitment_loss
        losses["codebook_loss"] = quantized.codebook_loss
        if self.adversary:
            losses |= self.adversary(waveform, rebuilt)
        loss = torch.stack([self._weights[name] * value for name, value in losses.items()]).sum()
        size = self.config.codec.quantizer.codebook_size
        uses = [torch.bincount(book.flatten(), minlength=size) for book in quantized.codes.unbind(1)]
        count = torch.tensor(float(quantized.codes[:, 0].numel()), device=waveform.device)
        sums = {name: value.detach() * count for name, value in losses.items()}
        return StepOutput(loss * count, count, sums, torch.stack(uses))

    @property
    def _weights(self) -> dict[str, float]:
        config = self.config
        weights = {
            "waveform_error": config.waveform_weight,
            "convergence": config.convergence_weight,
            "log_magnitude": config.log_magnitude_weight,
            "log_mel": config.log_mel_weight,
            "commitment_loss": config.commitment_weight,
            "codebook_loss": config.codebook_weight,
        }
        return weights | (config.adversary.weights if config.adversary else {})

    def _distances(
        self, waveform: Float[Tensor, "clip sample"], rebuilt: Float[Tensor, "clip sample"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Errors of the rebuilt clips, as means over clips."""
        distances = self.spectral_distance(waveform, rebuilt)
        loudness = waveform.abs().mean(1).clamp(min=self.config.quietest)
        return {
            "waveform_error": ((waveform - rebuilt).abs().mean(1) / loudness).mean(),
            "convergence": distances.convergence.mean(),
            "log_magnitude": distances.log_magnitude.mean(),
            "log_mel": distances.log_mel.mean(),
        }
