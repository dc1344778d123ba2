"""FilteredPower: power spectra of overlapping frames through a bank of filters: mel and chroma share it."""

from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.frames import FrameGrid

T = TypeVar("T", int, Tensor)


class FilteredPower(nn.Module):
    """Waveform -> power in the bands of some filters, under a Hann window as long as the transform.

    A frame is centred on sample ``i * hop_length`` and a clip is mirrored at both ends. The last centred
    frame is dropped, so that ``n`` samples give ``n // hop_length`` frames. Always float32.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, filters: Float[Tensor, "band bin"], grid: FrameGrid) -> None:
        super().__init__()
        self.grid, self.n_fft = grid, 2 * (filters.shape[1] - 1)
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)

    def n_frames(self, n_samples: T) -> T:
        """Frames of a clip of ``n_samples``: a number, or one for each clip."""
        return n_samples // self.grid.hop_length

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame band"]:
        """Power in each band.

        Args:
            waveform: mono, in [-1, 1], at the grid's sample rate.
            lengths: samples of audio in each clip, the rest being padding; all of them if omitted. Each clip
                is mirrored at its own end, so that its frames are those that it has alone.

        Raises:
            ValueError: a clip is too short to be mirrored (``n_fft // 2 + 1`` samples).
        """
        margin = self.n_fft // 2
        shortest = waveform.shape[1] if lengths is None else int(lengths.min())
        if shortest <= margin:
            raise ValueError(
                f"A clip of {shortest} samples is too short: at least {margin + 1} samples "
                f"({1000 * (margin + 1) / self.grid.sample_rate:.0f} ms) are needed. "
                "Pad it with zeros, or leave it out."
            )
        with torch.autocast(waveform.device.type, enabled=False):
            mirrored = _mirror_ends(waveform.float(), lengths, margin)
            frames = mirrored.unfold(1, self.n_fft, self.grid.hop_length)
            return self._power(frames[:, : self.n_frames(waveform.shape[1])])

    def _power(self, frames: Float[Tensor, "clip frame sample"]) -> Float[Tensor, "clip frame band"]:
        """Power of overlapping frames, a block at a time.

        A block is small enough for its spectrum to stay in a processor's cache, which is five times faster
        than one transform of the whole batch, and bounds the memory for long audio.
        """
        n_clips, n_frames, _ = frames.shape
        bands = frames.new_empty(n_clips, n_frames, self.filters.shape[1])
        clips_at_once, frames_at_once = (1, 512) if frames.device.type == "cpu" else (16, 4096)
        for rows, out in zip(frames.split(clips_at_once), bands.split(clips_at_once), strict=True):
            for block, slot in zip(rows.split(frames_at_once, 1), out.split(frames_at_once, 1), strict=True):
                spectrum = torch.view_as_real(torch.fft.rfft(block * self.window))
                power = spectrum[..., 0].square() + spectrum[..., 1].square()
                slot.copy_(power @ self.filters)
        return bands


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
