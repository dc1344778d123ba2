"""ResidualKMeans: codebooks in a row whose entries are centres of what the ones before them left over."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Codebooks, Config, Entries, Width
from solfa.precision import full_float32
from solfa.targets.quantizer import ROWS_AT_ONCE, Quantized


@dataclass(frozen=True, kw_only=True)
class ResidualKMeansConfig(Config):
    """Codebooks in a row without projections, fitted by k-means in place of gradients."""

    kind: Literal["kmeans_rvq"] = "kmeans_rvq"
    dim: Width = 512  # of the frames, and of the entries
    n_codebooks: Codebooks = 4
    codebook_size: Entries = 512


class ResidualKMeans(nn.Module):
    """Frames -> several codes each: the entry that lies nearest to what earlier codebooks left over.

    Nearest is meant in the space of the frames, and so the distances to all entries say how much worse
    another code would have been. Before a fit all entries are zero, and every code is 0. All is float32,
    whatever the autocast.

    Source:
        Residual quantization as in SoundStream, arXiv:2107.03312; entries are found as in k-means.
    """

    codebooks: Tensor
    counts: Tensor

    def __init__(self, config: ResidualKMeansConfig) -> None:
        super().__init__()
        self.config = config
        n, size = config.n_codebooks, config.codebook_size
        self.register_buffer("codebooks", torch.zeros(n, size, config.dim))
        self.register_buffer("counts", torch.zeros(n, size))  # frames that an entry is the mean of

    @torch.no_grad()
    def forward(self, frames: Float[Tensor, "clip frame dim"]) -> Quantized:
        """Frames, rebuilt; there is nothing that a gradient could move, and so no loss."""
        codes = self.encode(frames)
        nothing = frames.new_zeros(())
        return Quantized(self.decode(codes), codes, nothing, nothing)

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "clip frame dim"]) -> Int[Tensor, "clip codebook frame"]:
        """The codes of every frame."""
        residual, codes = frames.float().flatten(0, 1), []
        for book in self.codebooks:
            codes.append(nearest_entries(residual, book))
            residual = residual - book[codes[-1]]
        return torch.stack(codes).unflatten(1, frames.shape[:2]).transpose(0, 1)

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "clip codebook frame"]) -> Float[Tensor, "clip frame dim"]:
        """The frames that codes stand for; the first few codebooks alone give a coarser answer."""
        parts = [F.embedding(codes[:, n], self.codebooks[n]) for n in range(codes.shape[1])]
        return torch.stack(parts).sum(0)

    @torch.no_grad()
    def squared_distances(self, rows: Float[Tensor, "row dim"]) -> Float[Tensor, "row codebook code"]:
        """How far each entry lies from what the chosen entries of earlier codebooks left of a frame."""
        residual, found = rows.float(), []
        for book in self.codebooks:
            found.append(squared_distances(residual, book))
            residual = residual - book[found[-1].argmin(1)]
        return torch.stack(found, dim=1)


def squared_distances(
    rows: Float[Tensor, "row dim"], entries: Float[Tensor, "entry dim"]
) -> Float[Tensor, "row entry"]:
    """Of every row to every entry; rounded, and so never below zero by more than it is cut off here."""
    with full_float32(rows.device):
        # |x - e|^2 = |x|^2 - 2 x e + |e|^2: one product of matrices in place of all differences.
        products = rows @ entries.T
        squares = rows.square().sum(1, keepdim=True) + entries.square().sum(1)
        return (squares - 2 * products).clamp(min=0)


def nearest_entries(
    rows: Float[Tensor, "row dim"], entries: Float[Tensor, "entry dim"]
) -> Int[Tensor, " row"]:
    """The nearest entry of each row; of equally near ones the first."""
    half_squares = entries.square().sum(1) / 2
    with full_float32(rows.device):
        # |x - e|^2 is least where x e - |e|^2 / 2 is largest.
        return torch.cat([(part @ entries.T - half_squares).argmax(1) for part in rows.split(ROWS_AT_ONCE)])
