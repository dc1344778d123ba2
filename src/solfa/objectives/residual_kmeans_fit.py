"""Frames -> the entries of a ResidualKMeans: Lloyd's rounds at first, then step by step."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from solfa import distributed
from solfa.data.clips import Clips, derived_seed
from solfa.targets import ResidualKMeans, TargetError
from solfa.targets.residual_kmeans import nearest_entries

ROUNDS = 12  # of Lloyd's algorithm over the frames of the first step
LONELY = 0.02  # times the mean number of frames of an entry: one with fewer starts anew


@dataclass
class SeenFrames:
    """Frames of the forward passes since the last step, and the clips that they are of."""

    numbers: list[Int[Tensor, " clip"]] = field(default_factory=list)
    frames: list[Float[Tensor, "clip frame dim"]] = field(default_factory=list)
    seed: int = 0

    def add(self, clips: Clips, frames: Float[Tensor, "clip frame dim"]) -> None:
        """Keep the frames of a pass."""
        self.numbers.append(clips.numbers.to(frames.device))
        self.frames.append(frames.detach())
        self.seed = clips.seed

    def take(self) -> tuple[Float[Tensor, "row dim"], int]:
        """All ranks' frames in the order of their clips, and a seed that follows from the first of these.

        A call is collective: every rank makes it. Nothing is kept afterwards.
        """
        numbers = distributed.all_gather(torch.cat(self.numbers))
        frames = distributed.all_gather(torch.cat(self.frames))
        self.numbers, self.frames = [], []
        return frames[numbers.argsort()].flatten(0, 1), derived_seed(self.seed, int(numbers.min()))


@torch.no_grad()
def fit_residual_kmeans(quantizer: ResidualKMeans, rows: Float[Tensor, "row dim"], seed: int) -> None:
    """Move the entries towards rows; those of a quantizer that was never fitted are found among them.

    A codebook after the other: each learns what the ones before it, already moved, leave over. The first
    time, entries begin at random rows, and Lloyd's algorithm makes each the mean of the rows nearest to it.
    Later, an entry that is the mean of N rows and nearest to n of these moves to the mean of all N + n. All
    ranks call it with the same rows; the first computes.

    Args:
        quantizer: to be fitted.
        rows: frames.
        seed: of all that is random.

    Raises:
        TargetError: rows are too few to begin with.
    """
    is_first = not bool(quantizer.counts.any())
    if is_first and len(rows) < quantizer.config.codebook_size:
        raise TargetError(
            f"The first step has {len(rows)} frames, too few for codebooks of "
            f"{quantizer.config.codebook_size}. Raise data.clips_per_step or data.clip_seconds, or lower "
            "codebook_size of the quantizer."
        )
    if distributed.is_main():  # sums of the same numbers may differ in their last digits elsewhere
        generator = torch.Generator().manual_seed(seed % 2**63)
        residual = rows.float()
        for entries, counts in zip(quantizer.codebooks, quantizer.counts, strict=True):
            if is_first:
                entries.copy_(residual[_picks(len(rows), len(entries), generator).to(rows.device)])
            for _ in range(ROUNDS if is_first else 1):
                before = torch.zeros_like(counts) if is_first else counts.clone()
                _move(entries, counts, before, residual, generator)
            residual = residual - entries[nearest_entries(residual, entries)]
    distributed.share_first([quantizer.codebooks, quantizer.counts])


def _move(
    entries: Float[Tensor, "entry dim"],
    counts: Float[Tensor, " entry"],
    before: Float[Tensor, " entry"],
    rows: Float[Tensor, "row dim"],
    generator: torch.Generator,
) -> None:
    """Make entries means of the ``before`` rows that they stand for, and of those nearest to them."""
    nearest = nearest_entries(rows, entries)
    found = torch.bincount(nearest, minlength=len(entries)).to(rows)
    sums = (before[:, None] * entries).index_add(0, nearest, rows)
    total = before + found
    entries.copy_(torch.where(total[:, None] > 0, sums / total.clamp(min=1)[:, None], entries))
    counts.copy_(total)
    lonely = counts < LONELY * counts.mean()
    n_lonely = int(lonely.sum())
    if n_lonely:
        entries[lonely] = rows[_picks(len(rows), n_lonely, generator).to(rows.device)]
        counts[lonely] = 1.0  # of its one row


def _picks(n_rows: int, n: int, generator: torch.Generator) -> Int[Tensor, " pick"]:
    """Rows drawn at random, none twice as long as they suffice."""
    if n > n_rows:
        return torch.randint(n_rows, (n,), generator=generator)
    return torch.randperm(n_rows, generator=generator)[:n]
