"""VectorQuantizer, ResidualVectorQuantizer, RandomProjection."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import weight_norm

from solfa import distributed
from solfa.config import Codebooks, Config, CountFromZero, Entries, Layers, Seed, Width
from solfa.precision import full_float32

ROWS_AT_ONCE = 16_384  # frames compared with a codebook in one product: bounds memory on hours of audio


@dataclass(frozen=True)
class Quantized:
    """Output of a quantizer in training."""

    frames: Float[Tensor, "clip frame dim"]  # the frames rebuilt from their codes
    codes: Int[Tensor, "clip codebook frame"]
    commitment_loss: Float[Tensor, ""]  # frames move towards their codes
    codebook_loss: Float[Tensor, ""]  # codes move towards their frames


@dataclass(frozen=True, kw_only=True)
class VectorQuantizerConfig(Config):
    """One codebook behind a projection."""

    kind: Literal["vq"] = "vq"
    dim: Width = 512  # of the frames
    codebook_size: Entries = 1024
    codebook_dim: Width = 8
    n_projection_layers: Layers = 1  # 1 or 2; two have a ReLU between them, as wide as the frames
    stale_steps: CountFromZero = 1000  # a code unused for so many steps is replaced

    @property
    def n_codebooks(self) -> int:
        """Codes per frame."""
        return 1


@dataclass(frozen=True, kw_only=True)
class ResidualVectorQuantizerConfig(Config):
    """Codebooks in a row, each for what the ones before it left over."""

    kind: Literal["rvq"] = "rvq"
    dim: Width = 512  # of the frames
    n_codebooks: Codebooks = 8
    codebook_size: Entries = 1024
    codebook_dim: Width = 16
    n_projection_layers: Layers = 1
    stale_steps: CountFromZero = 100

    @property
    def stage(self) -> VectorQuantizerConfig:
        """One of its codebooks."""
        return VectorQuantizerConfig(
            dim=self.dim, codebook_size=self.codebook_size, codebook_dim=self.codebook_dim,
            n_projection_layers=self.n_projection_layers, stale_steps=self.stale_steps,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RandomProjectionConfig(Config):
    """A fixed random projection and a fixed random codebook."""

    kind: Literal["random_projection"] = "random_projection"
    dim: Width = 512  # of the frames
    codebook_size: Entries = 4096
    codebook_dim: Width = 16
    seed: Seed = 142

    @property
    def n_codebooks(self) -> int:
        """Codes per frame."""
        return 1


class VectorQuantizer(nn.Module):
    """Frames -> one code each: the entry whose direction is nearest to the projected frame.

    The projected frame and the entries are compared at unit length, so that nearest means largest cosine;
    the entry itself is used as it is. All is float32, whatever the autocast: rounded frames have other codes.

    Source:
        Factorised, L2-normalised codes: arXiv:2110.04627; as in Mel-RVQ of MuQ, arXiv:2501.01108.
    """

    stale_counter: Tensor

    def __init__(self, config: VectorQuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.in_proj = _projection(config.dim, config.codebook_dim, config.n_projection_layers)
        self.out_proj = _projection(config.codebook_dim, config.dim, config.n_projection_layers)
        self.codebook = nn.Embedding(config.codebook_size, config.codebook_dim)
        self.register_buffer("stale_counter", torch.zeros(config.codebook_size))

    def forward(self, frames: Float[Tensor, "clip frame dim"]) -> Quantized:
        """Quantize with losses and straight-through gradients; in training mode dead codes are replaced."""
        with full_float32(frames.device):
            projected = self._project(frames.float())
            codes = nearest_codes(projected.detach(), self.codebook.weight)
            chosen = F.embedding(codes, self.codebook.weight)
            commitment = (projected - chosen.detach()).square().mean()
            codebook = (chosen - projected.detach()).square().mean()
            rebuilt = self._rebuild(projected + (chosen - projected).detach())
            if self.training:
                self._replace_stale(projected.detach(), codes)
        return Quantized(rebuilt, codes[:, None], commitment, codebook)

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "clip frame dim"]) -> Int[Tensor, "clip codebook frame"]:
        """The code of every frame, with a codebook axis of one; float32, whatever the autocast."""
        return self.encode_and_rebuild(frames)[0][:, None]

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "clip codebook frame"]) -> Float[Tensor, "clip frame dim"]:
        """The frames that codes stand for."""
        with full_float32(codes.device):
            return self._rebuild(F.embedding(codes[:, 0], self.codebook.weight))

    @torch.no_grad()
    def encode_and_rebuild(
        self, frames: Float[Tensor, "clip frame dim"]
    ) -> tuple[Int[Tensor, "clip frame"], Float[Tensor, "clip frame dim"]]:
        """Codes, and the frames rebuilt from them."""
        with full_float32(frames.device):
            codes = nearest_codes(self._project(frames.float()), self.codebook.weight)
            return codes, self._rebuild(F.embedding(codes, self.codebook.weight))

    def _project(self, frames: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip frame part"]:
        return _apply(self.in_proj, frames)

    def _rebuild(self, chosen: Float[Tensor, "clip frame part"]) -> Float[Tensor, "clip frame dim"]:
        return _apply(self.out_proj, chosen)

    @torch.no_grad()
    def _replace_stale(
        self, projected: Float[Tensor, "clip frame part"], codes: Int[Tensor, "clip frame"]
    ) -> None:
        """Count the steps that each code went unused; one that reaches the limit becomes a random frame."""
        uses = torch.bincount(codes.flatten(), minlength=self.config.codebook_size)
        unused = distributed.all_reduce_sum(uses) == 0
        self.stale_counter.copy_(torch.where(unused, self.stale_counter + 1, 0.0))
        stale = self.stale_counter >= self.config.stale_steps
        if not bool(stale.any()):
            return
        rows = distributed.all_gather(F.normalize(projected.flatten(0, 1), dim=-1))
        picks = torch.randint(len(rows), (int(stale.sum()),), device=rows.device)
        self.codebook.weight[stale] = rows[distributed.broadcast(picks)]
        self.stale_counter[stale] = 0


class ResidualVectorQuantizer(nn.Module):
    """Frames -> several codes each: every codebook quantizes what the ones before it left over.

    Source:
        Residual quantization of SoundStream, arXiv:2107.03312; as Mel-RVQ in MuQ, arXiv:2501.01108.
    """

    def __init__(self, config: ResidualVectorQuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.quantizers = nn.ModuleList(VectorQuantizer(config.stage) for _ in range(config.n_codebooks))

    @property
    def stages(self) -> list[VectorQuantizer]:
        """Its codebooks, the coarsest first."""
        return cast(list[VectorQuantizer], list(self.quantizers))

    def forward(self, frames: Float[Tensor, "clip frame dim"]) -> Quantized:
        """Quantize with losses, each the sum over codebooks, and straight-through gradients."""
        residual, stages = frames.float(), []
        for quantizer in self.stages:
            stages.append(quantizer(residual))
            residual = residual - stages[-1].frames
        return Quantized(
            frames.float() - residual,
            torch.cat([stage.codes for stage in stages], dim=1),
            torch.stack([stage.commitment_loss for stage in stages]).sum(),
            torch.stack([stage.codebook_loss for stage in stages]).sum(),
        )

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "clip frame dim"]) -> Int[Tensor, "clip codebook frame"]:
        """The codes of every frame; float32, whatever the autocast."""
        codes, residual = [], frames.float()
        for quantizer in self.stages:
            chosen, rebuilt = quantizer.encode_and_rebuild(residual)
            codes.append(chosen)
            residual = residual - rebuilt
        return torch.stack(codes, dim=1)

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "clip codebook frame"]) -> Float[Tensor, "clip frame dim"]:
        """The frames that codes stand for; the first few codebooks alone give a coarser answer."""
        parts = [quantizer.decode(codes[:, [i]]) for i, quantizer in enumerate(self.stages[: codes.shape[1]])]
        return torch.stack(parts).sum(0)


class RandomProjection(nn.Module):
    """Frames -> one code each, by a projection and a codebook that are random and stay so.

    Source:
        BEST-RQ, arXiv:2202.01855, as in MusicFM, arXiv:2311.03318.
    """

    random_projection: Tensor
    codebook: Tensor

    def __init__(self, config: RandomProjectionConfig) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(config.seed)
        projection = torch.empty(config.dim, config.codebook_dim)
        nn.init.xavier_normal_(projection, generator=generator)
        self.register_buffer("random_projection", projection)
        self.register_buffer(
            "codebook", torch.randn(config.codebook_size, config.codebook_dim, generator=generator)
        )

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "clip frame dim"]) -> Int[Tensor, "clip codebook frame"]:
        """The code of every frame, with a codebook axis of one."""
        with full_float32(frames.device):
            return nearest_codes(frames.float() @ self.random_projection, self.codebook)[:, None]


def nearest_codes(
    frames: Float[Tensor, "clip frame part"], codebook: Float[Tensor, "code part"]
) -> Int[Tensor, "clip frame"]:
    """The entry of largest cosine for each frame: at unit length it is also the nearest one."""
    directions = F.normalize(codebook.float(), dim=-1)
    rows = F.normalize(frames.float(), dim=-1).flatten(0, 1)
    codes = [(part @ directions.T).argmax(-1) for part in rows.split(ROWS_AT_ONCE)]
    return torch.cat(codes).view(frames.shape[:2])


def _projection(n_in: int, n_out: int, n_layers: int) -> nn.Module:
    """Weight-normed 1 x 1 convolutions; two of them meet in a hidden layer as wide as the frames."""
    if n_layers == 1:
        return weight_norm(nn.Conv1d(n_in, n_out, 1))
    hidden = max(n_in, n_out)
    return nn.Sequential(
        weight_norm(nn.Conv1d(n_in, hidden, 1)), nn.ReLU(), weight_norm(nn.Conv1d(hidden, n_out, 1))
    )


def _apply(
    projection: nn.Module, frames: Float[Tensor, "clip frame dim"]
) -> Float[Tensor, "clip frame part"]:
    """A 1 x 1 convolution is a linear map of each frame: no axes need to be turned around for it."""
    if isinstance(projection, nn.Conv1d):
        return F.linear(frames, projection.weight[..., 0], projection.bias)
    if isinstance(projection, nn.Sequential):
        for layer in projection:
            frames = _apply(layer, frames)
        return frames
    return projection(frames)
