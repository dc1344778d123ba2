"""FilteredPower: power spectra of overlapping frames through a bank of filters: mel and chroma share it."""

from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.errors import ArgumentError
from solfa.features.exact import Fixed, exact, unrounded
from solfa.frames import FrameGrid

T = TypeVar("T", int, Tensor)


class FilteredPower(Fixed):
    """Waveform -> power in the bands of some filters, under a Hann window as long as the transform.

    A frame is centred on sample ``i * hop_length`` and a clip is mirrored at both ends. The last centred
    frame is dropped, so that ``n`` samples give ``n // hop_length`` frames. Float32, or float64 if both
    waveform and module are.
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
        refuse_short(waveform, lengths, margin + 1, self.grid.sample_rate)
        with unrounded(waveform.device):
            mirrored = _mirror_ends(exact(waveform), lengths, margin)
            frames = mirrored.unfold(1, self.n_fft, self.grid.hop_length)
            return self._power(frames[:, : self.n_frames(waveform.shape[1])])

    def _power(self, frames: Float[Tensor, "clip frame sample"]) -> Float[Tensor, "clip frame band"]:
        """Power of overlapping frames, a block at a time.

        A block is small enough for its spectrum to stay in a processor's cache, which is five times faster
        than one transform of the whole batch, and bounds the memory for long audio.
        """
        if torch.compiler.is_compiling():  # a graph is of one shape, and blocks would fix how many there are
            return self._power_of_block(frames)
        if not len(frames):  # of which some libraries of transforms make an error
            return frames.new_zeros(0, frames.shape[1], self.filters.shape[1])
        clips_at_once, frames_at_once = (1, 512) if frames.device.type == "cpu" else (16, 4096)
        rows = [
            torch.cat([self._power_of_block(block) for block in clips.split(frames_at_once, 1)], 1)
            for clips in frames.split(clips_at_once)
        ]
        return torch.cat(rows)

    def _power_of_block(self, frames: Float[Tensor, "clip frame sample"]) -> Float[Tensor, "clip frame band"]:
        # Squares of the real and imaginary parts: the power without the root and the square that abs would
        # take.
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window))
        return (spectrum[..., 0].square() + spectrum[..., 1].square()) @ self.filters


def refuse_short(
    waveform: Float[Tensor, "clip sample"],
    lengths: Int[Tensor, " clip"] | None,
    needed: int,
    sample_rate: int,
) -> None:
    """Raise ValueError with the cure if a clip has fewer samples than are needed for a frame.

    Lengths whose values nobody knows, because a program is traced or only shapes are computed, pass.
    """
    shortest = waveform.shape[1] if lengths is None else _smallest(lengths)
    if shortest is not None and shortest < needed:
        raise ArgumentError(
            f"A clip of {shortest} samples is too short: at least {needed} samples "
            f"({1000 * needed / sample_rate:.0f} ms) are needed. Pad it with zeros, or leave it out."
        )


def _smallest(lengths: Int[Tensor, " clip"]) -> int | None:
    if torch.compiler.is_compiling() or lengths.is_meta or not len(lengths):
        return None
    return int(lengths.min())


def _mirror_ends(
    waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None, margin: int
) -> Float[Tensor, "clip longer"]:
    """Each clip with ``margin`` samples mirrored at its start and at its own end; zeros beyond."""
    if lengths is None:
        return nn.functional.pad(waveform[:, None], (margin, margin), mode="reflect")[:, 0]
    n_samples = waveform.shape[1]
    position = torch.arange(-margin, n_samples + margin, device=waveform.device).abs()[None]
    last = lengths.to(waveform.device)[:, None] - 1
    source = last - (position - last).abs()  # beyond the end, as far before it
    inside = source > last - margin - 1
    mirrored = waveform.gather(1, source.clamp(0, n_samples - 1))
    return mirrored.where(inside | (position <= last), mirrored.new_zeros(()))
