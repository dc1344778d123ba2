"""EMAVectorQuantizer, EMAResidualQuantizer: codebooks that follow running means of what they stand for."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa import distributed
from solfa.config import Codebooks, Config, CountFromZero, Entries, Share, Width
from solfa.precision import full_float32
from solfa.targets.quantizer import ROWS_AT_ONCE, Quantized


@dataclass(frozen=True, kw_only=True)
class EMAResidualQuantizerConfig(Config):
    """Codebooks in a row, each for what the ones before it left over; no gradient moves their entries."""

    kind: Literal["ema_rvq"] = "ema_rvq"
    dim: Width = 128  # of the frames, and of the entries
    n_codebooks: Codebooks = 8
    codebook_size: Entries = 1024
    decay: Share = 0.95  # of the running means, at each batch
    stale_steps: CountFromZero = 20  # an entry unused for so many batches is replaced
    free_steps: CountFromZero = 40  # first batches that pass as they are: frames are not worth being entries


class EMAVectorQuantizer(nn.Module):
    """Frames -> one code each: the nearest entry. An entry is the running mean of the frames that chose it.

    With n_i frames x that chose entry i:  N_i <- g N_i + (1 - g) n_i,  m_i <- g m_i + (1 - g) sum(x),
    e_i = m_i / N_i, where g is ``decay``. The first batch fills the codebook with frames of its own. All is
    float32, whatever the autocast.

    Source:
        VQ-VAE, arXiv:1711.00937, appendix A.1; replacement of unused entries as in SoundStream,
        arXiv:2107.03312.
    """

    codebook: Tensor
    uses: Tensor
    sums: Tensor
    stale_counter: Tensor
    is_filled: Tensor

    def __init__(self, config: EMAResidualQuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("codebook", torch.randn(config.codebook_size, config.dim))
        self.register_buffer("uses", torch.ones(config.codebook_size))
        self.register_buffer("sums", self.codebook.clone())
        self.register_buffer("stale_counter", torch.zeros(config.codebook_size))
        self.register_buffer("is_filled", torch.tensor(False))

    def forward(self, frames: Float[Tensor, "clip frame dim"]) -> Quantized:
        """Quantize with the commitment loss and straight-through gradients; in training mode, learn."""
        frames = frames.float()
        rows = frames.detach().flatten(0, 1)
        if self.training and not bool(self.is_filled):
            self._fill(rows)
        codes = self.encode(frames)[:, 0]
        chosen = F.embedding(codes, self.codebook)
        commitment = (frames - chosen).square().mean()
        if self.training:
            self._follow(rows, codes.flatten())
        return Quantized(
            frames + (chosen - frames).detach(), codes[:, None], commitment, frames.new_zeros(())
        )

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "clip frame dim"]) -> Int[Tensor, "clip codebook frame"]:
        """The code of every frame, with a codebook axis of one."""
        half_square = self.codebook.square().sum(1) / 2
        parts = frames.float().flatten(0, 1).split(ROWS_AT_ONCE)
        with full_float32(frames.device):
            # |x - e|^2 is least where x e - |e|^2 / 2 is largest.
            codes = torch.cat([(part @ self.codebook.T - half_square).argmax(1) for part in parts])
        return codes.view(frames.shape[:2])[:, None]

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "clip codebook frame"]) -> Float[Tensor, "clip frame dim"]:
        """The entries that codes stand for."""
        return F.embedding(codes[:, 0], self.codebook)

    @torch.no_grad()
    def _fill(self, rows: Float[Tensor, "frame dim"]) -> None:
        """Make frames of all ranks the entries; too few frames serve several times, a little apart."""
        entries = _some_of_all_ranks(rows, self.config.codebook_size)
        apart = distributed.broadcast(torch.randn_like(entries)) * 1e-3 * entries.std()
        self._replace(torch.ones_like(self.uses, dtype=torch.bool), entries + apart)
        self.is_filled.fill_(True)

    @torch.no_grad()
    def _follow(self, rows: Float[Tensor, "frame dim"], codes: Int[Tensor, " frame"]) -> None:
        """Move the running means, and give entries that are not used to frames of this batch."""
        # An entry is the mean of the frames that chose it, over a window that fades: sums and uses fade
        # alike, so their ratio is such a mean. Both are of all ranks, and every rank moves its entries alike.
        size, decay = self.config.codebook_size, self.config.decay
        uses = distributed.all_reduce_sum(torch.bincount(codes, minlength=size).to(rows))
        sums = distributed.all_reduce_sum(torch.zeros_like(self.sums).index_add_(0, codes, rows))
        self.uses.mul_(decay).add_(uses, alpha=1 - decay)
        self.sums.mul_(decay).add_(sums, alpha=1 - decay)
        self.codebook.copy_(self.sums / self.uses[:, None])
        self.stale_counter.copy_(torch.where(uses == 0, self.stale_counter + 1, 0.0))
        stale = self.stale_counter >= self.config.stale_steps
        if bool(stale.any()):
            self._replace(stale, _some_of_all_ranks(rows, int(stale.sum())))

    def _replace(self, which: Tensor, entries: Float[Tensor, "entry dim"]) -> None:
        self.codebook[which] = entries
        self.sums[which] = entries
        self.uses[which] = 1.0
        self.stale_counter[which] = 0


class EMAResidualQuantizer(nn.Module):
    """Frames -> several codes each: every codebook quantizes what the ones before it left over.

    Source:
        SoundStream, arXiv:2107.03312, section III-C.
    """

    n_batches: Tensor

    def __init__(self, config: EMAResidualQuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("n_batches", torch.tensor(0))  # learned from
        self.quantizers = nn.ModuleList(EMAVectorQuantizer(config) for _ in range(config.n_codebooks))

    @property
    def stages(self) -> list[EMAVectorQuantizer]:
        """Its codebooks, the coarsest first."""
        return cast(list[EMAVectorQuantizer], list(self.quantizers))

    def forward(self, frames: Float[Tensor, "clip frame dim"]) -> Quantized:
        """Quantize with the sum of the codebooks' commitment losses, and straight-through gradients.

        In training mode the first batches pass as they are: codebooks filled with what an encoder says before
        it has learned anything collapse, and it with them.
        """
        if self.training:
            self.n_batches += 1
            if int(self.n_batches) <= self.config.free_steps:
                return Quantized(frames, self.encode(frames), frames.new_zeros(()), frames.new_zeros(()))
        frames = frames.float()
        residual, codes, commitments = frames, [], []
        for quantizer in self.stages:
            stage = quantizer(residual)
            codes.append(stage.codes)
            commitments.append(stage.commitment_loss)
            residual = residual - stage.frames.detach()  # leaves every commitment its gradient
        return Quantized(
            frames - residual.detach(),  # gradients pass straight through
            torch.cat(codes, dim=1),
            torch.stack(commitments).sum(),
            frames.new_zeros(()),
        )

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "clip frame dim"]) -> Int[Tensor, "clip codebook frame"]:
        """The codes of every frame; float32, whatever the autocast."""
        codes, residual = [], frames.float()
        for quantizer in self.stages:
            codes.append(quantizer.encode(residual))
            residual = residual - quantizer.decode(codes[-1])
        return torch.cat(codes, dim=1)

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "clip codebook frame"]) -> Float[Tensor, "clip frame dim"]:
        """The frames that codes stand for; the first few codebooks alone give a coarser answer."""
        parts = [quantizer.decode(codes[:, [i]]) for i, quantizer in enumerate(self.stages[: codes.shape[1]])]
        return torch.stack(parts).sum(0)


def _some_of_all_ranks(rows: Float[Tensor, "frame dim"], k: int) -> Float[Tensor, "k dim"]:
    """``k`` random rows, the same on all ranks, however these share them; each once if there are enough."""
    # Ranks may hold the same frames in another order or division: sorted by their first number they are in
    # one order, and one draw, made on the first rank, picks the same frames whatever the division.
    everywhere = distributed.all_gather(rows)
    everywhere = everywhere[everywhere[:, 0].argsort(stable=True)]
    n = len(everywhere)
    picks = torch.randperm(n)[:k] if n >= k else torch.randint(n, (k,))
    return everywhere[distributed.broadcast(picks.to(rows.device))]
