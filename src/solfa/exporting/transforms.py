"""Spectra by matrix products: what stands in for fast Fourier transforms in a graph that runs elsewhere."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.features import ConstantQ
from solfa.features.exact import Fixed, exact
from solfa.features.filtered_power import FilteredPower, refuse_short


class MatrixPower(Fixed):
    """As ``FilteredPower``, of clips without padding; its transform is two matrix products.

    A transform of length ``n = rows * columns`` is one of length ``rows`` down each column, a turn of each
    number, and one of length ``columns`` along each row. Both are small matrices, and the second takes the
    turns in. Of real samples half of the rows is enough: the others mirror them, and have the same power.

    Source:
        Cooley and Tukey 1965.
    """

    window: Tensor
    down: Tensor
    along: Tensor
    filters: Tensor

    def __init__(self, power: FilteredPower) -> None:
        super().__init__()
        self.grid, self.n_fft = power.grid, power.n_fft
        self.rows = largest_divisor(self.n_fft)
        self.columns = self.n_fft // self.rows
        self.n_kept = self.rows // 2 + 1
        window = power.window.double().view(self.rows, self.columns)
        row, kept = torch.arange(self.rows), torch.arange(self.n_kept)
        down = turns(torch.outer(kept, row), self.rows)
        column = torch.arange(self.columns)
        # Bin kept + rows * place, of each kept row.
        bins = kept[:, None] + self.rows * column
        along = turns(column[None, :, None] * bins[:, None, :], self.n_fft)
        self.register_buffer("window", window.float())
        self.register_buffer("down", torch.cat([down.real, down.imag]).float())
        self.register_buffer("along", as_real_map(along).float())
        self.register_buffer("filters", self._of_kept(power.filters, bins))

    def _of_kept(
        self, filters: Float[Tensor, "bin band"], bins: Int[Tensor, "kept place"]
    ) -> Float[Tensor, "kept place band"]:
        """The filters, each bin's where it is kept first; zero where it comes again."""
        mirrored = torch.minimum(bins, self.n_fft - bins).flatten()
        is_first = torch.zeros(len(mirrored), dtype=torch.bool)
        seen: set[int] = set()
        for place, number in enumerate(mirrored.tolist()):
            is_first[place] = number not in seen
            seen.add(number)
        return (filters[mirrored] * is_first[:, None]).view(*bins.shape, -1)

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of ``n_samples``."""
        return n_samples // self.grid.hop_length

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: None = None
    ) -> Float[Tensor, "clip frame band"]:
        """Power in each band; ValueError for a clip too short."""
        margin = self.n_fft // 2
        refuse_short(waveform, None, margin + 1, self.grid.sample_rate)
        mirrored = nn.functional.pad(exact(waveform)[:, None], (margin, margin), mode="reflect")[:, 0]
        frames = cut_frames(mirrored, self.n_frames(waveform.shape[1]), self.n_fft, self.grid.hop_length)
        tables = frames.unflatten(-1, (self.rows, self.columns)) * self.window
        spectra = (self.down @ tables).unflatten(2, (2, self.n_kept))  # clip frame part kept column
        rows = spectra.permute(3, 0, 1, 2, 4).flatten(3).flatten(1, 2)  # kept (clip frame) (part column)
        squares = (rows @ self.along).square()
        power = squares[..., : self.columns] + squares[..., self.columns :]
        return (power @ self.filters).sum(0).unflatten(0, (waveform.shape[0], -1))


class MatrixConstantQ(nn.Module):
    """As ``ConstantQ``, of clips without padding; its transforms are matrix products.

    It is one operation for PyTorch, which can be traced and not computed; ``constant_q_in_onnx`` says of what
    it consists. Traced one by one, the shapes of its operations take minutes to be worked out.
    """

    def __init__(self, constant_q: ConstantQ) -> None:
        super().__init__()
        self.hop, self.n_bins = constant_q.config.hop_length, constant_q.config.n_bins
        octaves = [MatrixOctave(octave) for octave in constant_q.octaves]
        self.octaves, self.valid = nn.ModuleList(octaves), [octave.valid for octave in octaves]

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: None = None
    ) -> Float[Tensor, "clip frame bin"]:
        """Magnitudes."""
        tables = [table for octave in self.octaves for table in octave.buffers()]
        return constant_q(exact(waveform), tables, self.valid, self.hop, self.n_bins)


class MatrixOctave(Fixed):
    """The tables of an octave of ``ConstantQ``.

    A block of samples is a table of one hop in each row. Of its spectrum, bin ``piece * rows + row`` takes a
    transform down each column, a turn, and the few pieces that kernels reach out of a transform along each
    row. What comes back is one frame for each row, without those that see the ends of the block.
    """

    def __init__(self, octave: Any) -> None:
        super().__init__()
        rows, margin, self.valid = octave.block_frames, octave.margin_frames, octave.valid_frames
        row, column = torch.arange(rows), torch.arange(octave.hop)
        piece = octave.first_piece + torch.arange(octave.n_pieces)
        frame = margin + torch.arange(self.valid)
        down = turns(torch.outer(row, row), rows)
        turn = turns(torch.outer(row, column), rows * octave.hop)
        self.register_buffer("place", row - margin)  # of a block's hops, seen from its first frame
        self.register_buffer("down", torch.cat([down.real, down.imag]).float())
        self.register_buffer("cos", turn.real.float())
        self.register_buffer("sin", turn.imag.float())
        self.register_buffer("along", as_real_map(turns(torch.outer(column, piece), octave.hop)).float())
        self.register_buffer("kernels", as_real_map(torch.view_as_complex(octave.spectra)).float())
        self.register_buffer("back", as_real_map(turns(-torch.outer(row, frame), rows) / rows).float())


@torch.library.custom_op("solfa::constant_q", mutates_args=())
def constant_q(waveform: Tensor, tables: list[Tensor], valid: list[int], hop: int, n_bins: int) -> Tensor:
    """Magnitudes; only traced: ``MatrixConstantQ`` says why."""
    raise NotImplementedError("This operation is for exported graphs. Use solfa.features.ConstantQ.")


@constant_q.register_fake
def _shape_of(waveform: Tensor, tables: list[Tensor], valid: list[int], hop: int, n_bins: int) -> Tensor:
    return waveform.new_empty(waveform.shape[0], waveform.shape[1] // hop + 1, n_bins)


def without_fast_transforms(model: nn.Module) -> nn.Module:
    """Put matrix products in place of the fast Fourier transforms inside ``model``, which it changes."""
    for name, part in model.named_children():
        if isinstance(part, FilteredPower):
            setattr(model, name, MatrixPower(part))
        elif isinstance(part, ConstantQ):
            setattr(model, name, MatrixConstantQ(part))
        else:
            without_fast_transforms(part)
    return model


def cut_frames(
    samples: Float[Tensor, "clip sample"], n_frames: int, size: int, hop: int
) -> Float[Tensor, "clip frame size"]:
    """Overlapping frames, taken together from pieces that no frame divides: far fewer than samples."""
    piece = math.gcd(size, hop)
    pieces = nn.functional.pad(samples, (0, -samples.shape[1] % piece)).unflatten(1, (-1, piece))
    first = torch.arange(n_frames, device=samples.device) * (hop // piece)
    return pieces[:, first[:, None] + torch.arange(size // piece, device=samples.device)].flatten(2)


def turns(steps: Int[Tensor, "*axis"], n: int) -> Tensor:
    """``exp(-2 pi i steps / n)``, complex128; steps are reduced first, so that none loses digits."""
    angle = -2 * math.pi * (steps % n).double() / n
    return torch.complex(angle.cos(), angle.sin())


def as_real_map(matrix: Tensor) -> Float[Tensor, "*axis two_in two_out"]:
    """A complex matrix as a real one: real and imaginary parts side by side in what comes and goes."""
    return torch.cat(
        [torch.cat([matrix.real, matrix.imag], -1), torch.cat([-matrix.imag, matrix.real], -1)], -2
    )


def largest_divisor(n: int) -> int:
    """The largest divisor of ``n`` up to its root."""
    return max(d for d in range(1, math.isqrt(n) + 1) if n % d == 0)
