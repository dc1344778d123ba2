"""Adversary: tells music from what a codec made of it, and thereby teaches the codec."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, NotNegative, Width, Window

SLOPE = 0.2  # of the rectifiers below zero


@dataclass(frozen=True, kw_only=True)
class AdversaryConfig(Config):
    """Discriminators on spectrograms of several window lengths."""

    n_ffts: tuple[Window, ...] = (2048, 1024, 512)  # samples; one discriminator each, hop a quarter of it
    n_channels: Width = 32
    adversarial_weight: NotNegative = 1.0  # of the codec's wish to be taken for music
    feature_weight: NotNegative = 2.0  # of the codec's wish to look the same inside the discriminators
    discriminator_weight: NotNegative = 1.0  # of the discriminators' own loss, which does not move the codec

    @property
    def weights(self) -> dict[str, float]:
        """Of each loss in the sum."""
        return {
            "adversarial_loss": self.adversarial_weight,
            "feature_loss": self.feature_weight,
            "discriminator_loss": self.discriminator_weight,
        }


class Adversary(nn.Module):
    """Hinge losses of both sides, and the distance of features, in one sum.

    Each side's loss sees the other as a constant: the discriminators judge a copy of the rebuilt waveform
    through which no gradient flows, the codec is judged by copies of their weights. So one backward pass over
    the sum gives every parameter its own loss's gradient only.

    Source:
        Multi-scale STFT discriminator and losses: EnCodec, arXiv:2210.13438, sections 3.4 and A.
    """

    def __init__(self, config: AdversaryConfig) -> None:
        super().__init__()
        self.config = config
        self.discriminators = nn.ModuleList(_Discriminator(n, config.n_channels) for n in config.n_ffts)

    def forward(
        self, waveform: Float[Tensor, "clip sample"], rebuilt: Float[Tensor, "clip sample"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The losses of all discriminators by name, each a mean."""
        losses = [self._losses(module, waveform, rebuilt) for module in self.discriminators]
        return {name: torch.stack([loss[name] for loss in losses]).mean() for name in losses[0]}

    def _losses(
        self,
        discriminator: nn.Module,
        waveform: Float[Tensor, "clip sample"],
        rebuilt: Float[Tensor, "clip sample"],
    ) -> dict[str, Float[Tensor, ""]]:
        music = discriminator(waveform)
        copy = discriminator(rebuilt.detach())
        constant = {name: p.detach() for name, p in discriminator.named_parameters()}
        judged = functional_call(discriminator, constant, (rebuilt,))
        likeness = [
            (a.detach() - b).abs().mean() / a.detach().abs().mean().clamp(min=1e-5)
            for a, b in zip(music[:-1], judged[:-1], strict=True)
        ]
        return {
            "adversarial_loss": F.relu(1 - judged[-1]).mean(),
            "feature_loss": torch.stack(likeness).mean(),
            "discriminator_loss": (F.relu(1 - music[-1]).mean() + F.relu(1 + copy[-1]).mean()) / 2,
        }


class _Discriminator(nn.Module):
    """Complex spectrogram -> a score for each place in time and frequency, above zero for music."""

    window: Tensor

    def __init__(self, n_fft: int, n_channels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.layers = nn.ModuleList(
            nn.Conv2d(2 if i == 0 else n_channels, n_channels, (3, 9), stride, (1, 4))
            for i, stride in enumerate([(1, 1), (1, 2), (1, 2), (1, 2)])
        )
        self.score = nn.Conv2d(n_channels, 1, 3, padding=1)

    def forward(self, waveform: Float[Tensor, "clip sample"]) -> list[Tensor]:
        """What each layer makes of a waveform; the scores are last."""
        spectrum = torch.stft(
            waveform, self.n_fft, self.n_fft // 4, window=self.window, normalized=True, return_complex=True
        )
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # clip part frame bin
        found = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            found.append(x)
        return [*found, self.score(x)]
