"""LogMel: decibels of a mel spectrogram, normalised by fixed statistics."""

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.config import Config
from solfa.frames import FrameGrid

T = TypeVar("T", int, Tensor)


@dataclass(frozen=True, kw_only=True)
class LogMelConfig(Config):
    """The front end of MuQ; the statistics are those of the Million Song Dataset at these settings."""

    sample_rate: int = 24_000  # Hz
    n_fft: int = 2048  # samples; also the length of the Hann window
    hop_length: int = 240  # samples
    n_mels: int = 128
    mean_db: float = 6.768444971712967
    std_db: float = 18.417922652295623
    floor_power: float = 1e-10  # power below it counts as it: -100 dB

    @property
    def grid(self) -> FrameGrid:
        """Where the mel frames lie."""
        return FrameGrid(self.sample_rate, self.hop_length)


class LogMel(nn.Module):
    """Waveform -> normalised mel frames in decibels; nothing here is learned.

    A frame is centred on sample ``i * hop_length`` and a clip is mirrored at both ends. The last centred
    frame is dropped, so that ``n`` samples give ``n // hop_length`` frames. Always float32.

    Source:
        MuQ, arXiv:2501.01108: HTK mel scale without area normalisation, power spectrum, MSD statistics.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.register_buffer(
            "filters",
            mel_filters(config.n_mels, config.n_fft, config.sample_rate).T.contiguous(),
            persistent=False,
        )

    def n_frames(self, n_samples: T) -> T:
        """Mel frames of a clip of ``n_samples``: a number, or one for each clip."""
        return n_samples // self.config.hop_length

    def decibels(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame mel"]:
        """Mel power in decibels, before the normalisation.

        Args:
            waveform: mono, in [-1, 1], at ``config.sample_rate``.
            lengths: samples of audio in each clip, the rest being padding; all of them if omitted. Each clip
                is mirrored at its own end, so that its frames are those that it has alone.

        Raises:
            ValueError: a clip is too short to be mirrored (``n_fft // 2 + 1`` samples).
        """
        margin = self.config.n_fft // 2
        shortest = waveform.shape[1] if lengths is None else int(lengths.min())
        if shortest <= margin:
            raise ValueError(
                f"A clip of {shortest} samples is too short: at least {margin + 1} samples "
                f"({1000 * (margin + 1) / self.config.sample_rate:.0f} ms) are needed. "
                "Pad it with zeros, or leave it out."
            )
        with torch.autocast(waveform.device.type, enabled=False):
            mirrored = _mirror_ends(waveform.float(), lengths, margin)
            frames = mirrored.unfold(1, self.config.n_fft, self.config.hop_length)
            mel = self._mel_power(frames[:, : self.n_frames(waveform.shape[1])])
            return 10 * mel.clamp(min=self.config.floor_power).log10()

    def _mel_power(self, frames: Float[Tensor, "clip frame sample"]) -> Float[Tensor, "clip frame mel"]:
        """Mel power of overlapping frames, a block at a time.

        A block is small enough for its spectrum to stay in a processor's cache, which is five times faster
        than one transform of the whole batch, and bounds the memory for long audio.
        """
        n_clips, n_frames, _ = frames.shape
        mel = frames.new_empty(n_clips, n_frames, self.config.n_mels)
        clips_at_once, frames_at_once = (1, 512) if frames.device.type == "cpu" else (16, 4096)
        for rows, out in zip(frames.split(clips_at_once), mel.split(clips_at_once), strict=True):
            for block, slot in zip(rows.split(frames_at_once, 1), out.split(frames_at_once, 1), strict=True):
                spectrum = torch.view_as_real(torch.fft.rfft(block * self.window))
                power = spectrum[..., 0].square() + spectrum[..., 1].square()
                slot.copy_(power @ self.filters)
        return mel

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame mel"]:
        """Normalised decibels; arguments and errors as in ``decibels``."""
        return (self.decibels(waveform, lengths) - self.config.mean_db) / self.config.std_db


def mel_filters(n_mels: int, n_fft: int, sample_rate: int) -> Float[Tensor, "mel bin"]:
    """Triangles of height one, evenly spaced on the HTK mel scale from 0 Hz to half the sample rate."""
    frequencies = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1)
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, n_mels + 2) / 2595) - 1)
    widths = corners.diff()
    distance = corners[:, None] - frequencies[None, :]
    rising = -distance[:-2] / widths[:-1, None]
    falling = distance[2:] / widths[1:, None]
    return torch.minimum(rising, falling).clamp(min=0)


def _mirror_ends(
    waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None, margin: int
) -> Float[Tensor, "clip longer"]:
    """Each clip with ``margin`` samples mirrored at its start and at its own end; zeros beyond."""
    if lengths is None:
        return nn.functional.pad(waveform[:, None], (margin, margin), mode="reflect")[:, 0]
    n_samples = waveform.shape[1]
    position = torch.arange(-margin, n_samples + margin, device=waveform.device).abs()[None]
    last = lengths[:, None] - 1
    source = last - (position - last).abs()  # beyond the end, as far before it
    inside = source > last - margin - 1
    mirrored = waveform.gather(1, source.clamp(0, n_samples - 1))
    return mirrored.where(inside | (position <= last), mirrored.new_zeros(()))
