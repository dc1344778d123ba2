"""ConstantQ: magnitudes on a musical frequency scale, every octave with as many bins."""

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from solfa.config import Bins, Config, Hertz, Hop, Pitch
from solfa.errors import ArgumentError
from solfa.features.exact import Fixed, exact, unrounded
from solfa.frames import FrameGrid

T = TypeVar("T", int, Tensor)

MOST_OCTAVES, MOST_NUMBERS = 60, 2**27  # samples of all kernels: the published ones have 2**24
SIDE_LOBES = 32  # of a kernel's spectrum that are kept: beyond them, a tone gives less than 1e-5 of its peak
SAMPLES_AT_ONCE = 2**21  # transformed in one go: bounds the memory for long audio


@dataclass(frozen=True, kw_only=True)
class ConstantQConfig(Config):
    """The musical teacher of MERT: seven octaves from C1, a quarter of a semitone apart."""

    sample_rate: Hertz = 24_000  # Hz
    hop_length: Hop = 320  # samples
    f_min: Pitch = 32.7  # Hz, of the first bin
    n_bins: Bins = 336
    bins_per_octave: Bins = 48

    def __post_init__(self) -> None:
        super().__post_init__()
        is_wide = self.n_bins > MOST_OCTAVES * self.bins_per_octave
        if is_wide or self.n_bins * self.kernel_samples(0) > MOST_NUMBERS:
            raise ArgumentError(
                f"{self.n_bins} bins, {self.bins_per_octave} to an octave from {self.f_min:g} Hz on, have "
                "kernels that fit into no memory. Raise f_min, or lower n_bins."
            )
        if 2 * self.frequency(self.n_bins - 1) >= self.sample_rate:
            raise ArgumentError(
                f"The last bin would lie at {self.frequency(self.n_bins - 1):.0f} Hz, which "
                f"{self.sample_rate} Hz of sample rate cannot hold. Lower n_bins or f_min."
            )

    @property
    def grid(self) -> FrameGrid:
        """Where the frames lie; a frame is centred where it starts on this grid."""
        return FrameGrid(self.sample_rate, self.hop_length)

    def frequency(self, number: int) -> float:
        """Centre of a bin, in Hz."""
        return self.f_min * 2 ** (number / self.bins_per_octave)

    def kernel_samples(self, number: int) -> int:
        """Length of a bin's kernel: so many periods that neighbouring bins are told apart."""
        quality = 1 / (2 ** (1 / self.bins_per_octave) - 1)
        return math.ceil(quality * self.sample_rate / self.frequency(number))


class ConstantQ(nn.Module):
    """Waveform -> constant-Q magnitudes; nothing here is learned.

    Frame ``i`` is centred on sample ``i * hop_length``; outside a clip there are zeros. ``n`` samples give
    ``n // hop_length + 1`` frames. A bin's kernel is a complex tone under a Hann window, divided by the
    window's sum and multiplied by the root of its length. Float32, or float64 if waveform and module are.

    Source:
        Brown and Puckette 1992, as MERT, arXiv:2306.00107, uses it by way of nnAudio. Departs from it: a
        kernel as long as 50,000 samples is not slid over the waveform, but multiplied with the spectrum of a
        block, where it is a few numbers wide; the same to about 1e-5 of the largest magnitude.
    """

    def __init__(self, config: ConstantQConfig) -> None:
        super().__init__()
        self.config = config
        octaves = range(0, config.n_bins, config.bins_per_octave)
        self.octaves = nn.ModuleList(
            _Octave(config, first, min(first + config.bins_per_octave, config.n_bins)) for first in octaves
        )

    def n_frames(self, n_samples: T) -> T:
        """Frames of a clip of ``n_samples``: a number, or one for each clip."""
        return n_samples // self.config.hop_length + 1

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame bin"]:
        """Magnitudes.

        Args:
            waveform: mono, at ``config.sample_rate``.
            lengths: samples of audio in each clip, the rest being padding; all of them if omitted. A clip's
                frames are those that it has alone.
        """
        with unrounded(waveform.device):
            waveform = exact(waveform)
            if lengths is not None:
                position = torch.arange(waveform.shape[1], device=waveform.device)
                waveform = waveform.masked_fill(position[None] >= lengths.to(waveform.device)[:, None], 0)
            n_frames = self.n_frames(waveform.shape[1])
            return torch.cat([octave(waveform, n_frames) for octave in self.octaves], dim=2)


class _Octave(Fixed):
    """Bins whose kernels are of similar length: one length of block serves them all.

    Correlating with a kernel and keeping every ``hop``-th sample is, of a block of ``hop * m`` samples:
    multiply its spectrum by that of the kernel, add up the pieces of ``m`` bins that the slower rate cannot
    tell apart, and transform back at length ``m``.
    """

    spectra: Tensor

    def __init__(self, config: ConstantQConfig, first: int, last: int) -> None:
        super().__init__()
        self.hop = config.hop_length
        longest = config.kernel_samples(first)
        self.margin_frames = -(-(longest + 1) // (2 * self.hop))  # that a kernel reaches to each side
        self.block_frames = _fast_length(max(16, 4 * longest // self.hop))
        self.valid_frames = self.block_frames - 2 * self.margin_frames + 1  # the others see the block's ends
        lowest, highest = (
            config.frequency(k) + sign * SIDE_LOBES * config.sample_rate / config.kernel_samples(k)
            for k, sign in ((first, -1), (last - 1, 1))
        )
        piece = config.grid.frame_rate  # Hz, spanned by block_frames bins of the spectrum
        self.first_piece = math.floor(lowest / piece)
        self.n_pieces = min(math.floor(highest / piece) + 1 - self.first_piece, self.hop)
        spectra = torch.stack([self._spectrum(config, k) for k in range(first, last)], dim=-1)
        # As pairs of reals: a change of type, as by .to(torch.float32), drops the imaginary part.
        self.register_buffer("spectra", torch.view_as_real(spectra), persistent=False)

    def _spectrum(self, config: ConstantQConfig, number: int) -> Complex[Tensor, "m piece"]:
        """A kernel's spectrum over this octave's pieces, in closed form."""
        # A Hann window is half a constant and a quarter of two tones, so the transform of a windowed tone is
        # a weighted sum of three transforms of a plain one, each known without a transform of length 2^k.
        length, start = config.kernel_samples(number), self.first_piece * self.block_frames
        angle = torch.arange(start, start + self.n_pieces * self.block_frames, dtype=torch.float64)
        angle = 2 * math.pi * (angle / (self.hop * self.block_frames))
        angle = angle - 2 * math.pi * config.frequency(number) / config.sample_rate
        step = 2 * math.pi / length
        hann = 0.5 * _sum_of_tone(angle, length) + 0.25 * (
            _sum_of_tone(angle - step, length) + _sum_of_tone(angle + step, length)
        )
        # The middle of a kernel of odd length lies half a sample before the frame's centre.
        delay = torch.polar(torch.ones_like(angle), -0.5 * (length % 2) * angle)
        scaled = hann * delay * (math.sqrt(length) / (length / 2) / self.hop)
        return scaled.to(torch.complex64).view(self.n_pieces, self.block_frames).T

    def forward(
        self, waveform: Float[Tensor, "clip sample"], n_frames: int
    ) -> Float[Tensor, "clip frame bin"]:
        """Magnitudes of this octave, some blocks at a time."""
        if torch.compiler.is_compiling():  # a graph is of one shape, and a loop would fix how many there are
            # One block more than needed: a graph for a single one would take no other number.
            before, after = self.margin_frames, self.block_frames + self.valid_frames
            samples = nn.functional.pad(waveform, (before * self.hop, after * self.hop))
            return self._magnitudes(samples)[:, :n_frames]
        if not len(waveform):  # of which some libraries of transforms make an error
            return waveform.new_zeros(0, n_frames, self.spectra.shape[2])
        n_blocks = -(-n_frames // self.valid_frames)
        samples_of_block = len(waveform) * self.hop * self.block_frames
        blocks_at_once = max(1, SAMPLES_AT_ONCE // samples_of_block)
        found = [
            self._magnitudes(self._blocks(waveform, block, min(block + blocks_at_once, n_blocks)))
            for block in range(0, n_blocks, blocks_at_once)
        ]
        return torch.cat(found, dim=1)[:, :n_frames]

    def _blocks(
        self, waveform: Float[Tensor, "clip sample"], first: int, last: int
    ) -> Float[Tensor, "clip samples_of_blocks"]:
        """The samples of blocks ``first`` to ``last - 1``, with zeros where there is no clip."""
        step, size = self.valid_frames * self.hop, self.hop * self.block_frames
        start = first * step - self.margin_frames * self.hop
        stop = start + (last - 1 - first) * step + size
        return nn.functional.pad(
            waveform[:, max(0, start) : max(0, stop)], (max(0, -start), max(0, stop - waveform.shape[1]))
        )

    def _magnitudes(
        self, samples: Float[Tensor, "clip samples_of_blocks"]
    ) -> Float[Tensor, "clip frame bin"]:
        """Magnitudes of the frames in blocks that overlap."""
        # Keeping every hop-th sample folds the spectrum: its pieces of block_frames bins come to lie on each
        # other and add up. So the product with the kernels' spectra is summed over pieces, and a transform of
        # length block_frames gives the kept samples alone, where one of the whole block would give them all.
        step, size = self.valid_frames * self.hop, self.hop * self.block_frames
        spectrum = torch.fft.fft(samples.unfold(1, size, step))
        frequency = torch.arange(self.n_pieces * self.block_frames, device=samples.device)
        frequency = (frequency + self.first_piece * self.block_frames) % size  # below zero: from the end
        pieces = spectrum[..., frequency].unflatten(-1, (self.n_pieces, self.block_frames))
        folded = torch.einsum("cbpm,mpk->cbmk", pieces, torch.view_as_complex(self.spectra).to(pieces.dtype))
        frames = torch.fft.ifft(folded, dim=2).abs()
        return frames.narrow(2, self.margin_frames, self.valid_frames).flatten(1, 2)


def _sum_of_tone(angle: Float[Tensor, " f"], length: int) -> Float[Tensor, " f"]:
    """Sum of ``length`` samples of a tone that turns by ``angle`` a sample and is 1 at sample ``length / 2``.

    Only its real part: in the sum of three that makes a Hann window the imaginary ones cancel.
    """
    at_rest = (angle / 2).tan().abs() < 1e-12
    return torch.where(at_rest, length, (length * angle / 2).sin() / (angle / 2).tan().where(~at_rest, 1))


def _fast_length(n: int) -> int:
    """The next number of at least ``n`` that is a power of two times 1, 5/4 or 3/2."""
    sizes = [factor << k for factor in (4, 5, 6) for k in range(n.bit_length())]
    return min(size for size in sizes if size >= n)
