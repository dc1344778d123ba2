"""SpectralDistance: how far two waveforms are apart to the ear, at several resolutions."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from solfa.config import Config, Count, Hertz, Positive, Window
from solfa.features.exact import Fixed, exact, unrounded
from solfa.features.mel import mel_filters


@dataclass(frozen=True, kw_only=True)
class SpectralDistanceConfig(Config):
    """Long windows see pitch, short ones see time."""

    sample_rate: Hertz = 24_000  # Hz
    n_ffts: tuple[Window, ...] = (
        2048,
        1024,
        512,
        256,
        128,
    )  # windows move by a quarter
    samples_of_mel: Count = 16  # of a window, for each mel band: 2048 samples have 128 bands
    floor: Positive = 1e-4  # magnitudes below it count as it; a tone of amplitude 1 has 0.5
    quietest: Positive = 1e-3  # root mean square of magnitudes; convergence of softer clips is relative to it


@dataclass(frozen=True)
class Distances:
    """Of each clip, the mean over resolutions."""

    convergence: Float[Tensor, " clip"]  # |S - S'| / |S|, norms over all magnitudes
    log_magnitude: Float[Tensor, " clip"]  # mean |ln S - ln S'|
    log_mel: Float[Tensor, " clip"]  # mean |ln M - ln M'| over mel bands

    @property
    def mel_decibels(self) -> Float[Tensor, " clip"]:
        """Mean distance of mel bands in decibels."""
        return self.log_mel * 20 / math.log(10)


class SpectralDistance(Fixed):
    """Two waveforms -> how far apart their magnitude spectra are; phases do not count.

    Source:
        Spectral convergence and log magnitude: Parallel WaveGAN, arXiv:1910.11480, section 2.2; mel bands at
        several resolutions: SoundStream, arXiv:2107.03312, section III-E.
    """

    def __init__(self, config: SpectralDistanceConfig) -> None:
        super().__init__()
        self.config = config
        for n_fft in config.n_ffts:
            window = torch.hann_window(n_fft)
            filters = mel_filters(n_fft // config.samples_of_mel, n_fft, config.sample_rate).T
            self.register_buffer(f"window_{n_fft}", window / window.sum(), persistent=False)
            self.register_buffer(f"filters_{n_fft}", filters.contiguous(), persistent=False)

    def forward(
        self, reference: Float[Tensor, "clip sample"], estimated: Float[Tensor, "clip sample"]
    ) -> Distances:
        """Distances, in float32 at least; clips have at least ``max(n_ffts) / 2 + 1`` samples."""
        with unrounded(reference.device):
            rows = [self._at(n_fft, exact(reference), exact(estimated)) for n_fft in self.config.n_ffts]
        return Distances(*torch.stack(rows).mean(0))

    def _at(
        self, n_fft: int, reference: Float[Tensor, "clip sample"], estimated: Float[Tensor, "clip sample"]
    ) -> Float[Tensor, "distance clip"]:
        """The three distances at one resolution."""
        filters = self.get_buffer(f"filters_{n_fft}")
        a, b = self._magnitude(n_fft, reference), self._magnitude(n_fft, estimated)
        size = a.square().sum((1, 2)).clamp(min=self.config.quietest**2 * a[0].numel()).sqrt()
        # The root of zero has no gradient.
        convergence = ((a - b).square().sum((1, 2)) + 1e-12).sqrt() / size
        log_mel = (self._log(a @ filters) - self._log(b @ filters)).abs().mean((1, 2))
        return torch.stack([convergence, (self._log(a) - self._log(b)).abs().mean((1, 2)), log_mel])

    def _magnitude(
        self, n_fft: int, waveform: Float[Tensor, "clip sample"]
    ) -> Float[Tensor, "clip frame bin"]:
        window = self.get_buffer(f"window_{n_fft}")
        spectrum = torch.view_as_real(
            torch.stft(waveform, n_fft, n_fft // 4, window=window, return_complex=True)
        )
        return (spectrum.square().sum(-1) + 1e-12).sqrt().transpose(1, 2)

    def _log(self, magnitude: Tensor) -> Tensor:
        return magnitude.clamp(min=self.config.floor).log()
