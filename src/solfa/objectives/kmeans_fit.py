"""KMeansFit: finds the clusters of frames, without gradients."""

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from solfa import distributed
from solfa.config import Config
from solfa.data.clips import Clips
from solfa.data.seeds import derived_seed
from solfa.models.encoder import check_waveform
from solfa.objectives.base import Objective, StepOutput
from solfa.precision import full_float32
from solfa.targets import ChromaFramesConfig, KMeansCodes, KMeansCodesConfig, TargetError

LONELY = 0.01  # times the frames of the fullest centre: one with fewer starts anew


@dataclass(frozen=True)
class _Pass:
    """What one forward pass in training has seen."""

    numbers: Int[Tensor, " clip"]
    seed: int
    frames: list[Float[Tensor, "clip frame _"]]  # of each target, as wide as it is


@dataclass(frozen=True, kw_only=True)
class KMeansFitConfig(Config):
    """Fit the centres of several targets to the same music."""

    kind: Literal["kmeans_fit"] = "kmeans_fit"
    targets: tuple[KMeansCodesConfig, ...] = (
        KMeansCodesConfig(),
        KMeansCodesConfig(features=ChromaFramesConfig(), n_clusters=200),
    )


class KMeansFit(Objective):
    """Move each centre to the mean of the frames that were ever nearest to it.

    The loss is the squared distance of a frame to its centre, summed over bins and targets. It has no
    gradient: the trainer's optimisers have nothing to do, and ``finish_step`` moves the centres, by all
    frames of a step at once. However a step is divided into passes and ranks, it does the same. The centres
    of the first step are found by k-means++ among its frames; until then they lie at zero. A centre with less
    than a hundredth of the frames of the fullest starts anew at a frame of the step. All randomness follows
    from the number of the step's first clip, and so needs no state.

    Source:
        Web-scale k-means clustering (Sculley 2010) and k-means++, as scikit-learn has them.
    """

    def __init__(self, config: KMeansFitConfig) -> None:
        super().__init__()
        self.config = config
        grids = {target.features.grid for target in config.targets}
        if len(grids) != 1:
            raise TargetError(
                f"The targets of a fit must have one frame rate, but these have {len(grids)}: {grids}. Give "
                "all the same sample_rate and hop_length, or fit them in runs of their own."
            )
        self.targets = nn.ModuleList(KMeansCodes(target) for target in config.targets)
        self.sample_rate = config.targets[0].features.grid.sample_rate
        self.seen: list[_Pass] = []  # since the last step

    @property
    def model(self) -> nn.Module:
        """The targets with their centres."""
        return self.targets

    @torch.no_grad()
    def forward(self, clips: Clips) -> StepOutput:
        """Loss and figures of all frames of clips; in training they are kept for ``finish_step``."""
        with full_float32(clips.waveform.device):
            return self._step(clips)

    def _step(self, clips: Clips) -> StepOutput:
        check_waveform(clips.waveform, None)
        targets = cast(list[KMeansCodes], list(self.targets))
        frames = [target.features(clips.waveform) for target in targets]
        codes = [target.nearest(rows) for target, rows in zip(targets, frames, strict=True)]
        if self.training:
            self.seen.append(_Pass(clips.numbers.to(clips.waveform.device), clips.seed, frames))
        pairs = list(zip(targets, frames, codes, strict=True))
        errors = torch.stack([_squared_distance(rows, t.centres[book]) for t, rows, book in pairs])
        spread = torch.stack([_squared_distance(rows, _mean(t)) for t, rows, _ in pairs])
        explained = 1 - errors / spread.clamp(min=1e-12)
        count = torch.tensor(float(codes[0].numel()), device=errors.device)
        sums = {
            "squared_error_by_target": errors,
            "explained_variance_by_target": explained * count,
            "explained_variance": explained.mean() * count,
        }
        return StepOutput(errors.sum(), count, sums, statistics=_uses(targets, codes))

    @torch.no_grad()
    def finish_step(self) -> None:
        """Move the centres by all frames that the ranks have seen since the last step.

        Raises:
            TargetError: the first step has fewer frames than there are clusters.
        """
        numbers = distributed.all_gather(torch.cat([part.numbers for part in self.seen]))
        seed = derived_seed(self.seen[0].seed, int(numbers.min()))
        for place, target in enumerate(cast(list[KMeansCodes], list(self.targets))):
            mine = torch.cat([part.frames[place] for part in self.seen])
            rows = distributed.all_gather(mine)[numbers.argsort()].flatten(0, 1)
            _check_number(rows, target)
            if distributed.is_main():  # sums of the same numbers may differ in their last digits elsewhere
                _move_centres(target, rows, np.random.RandomState(seed % 2**32))
            distributed.share_first([target.centres, target.counts])
        self.seen = []


def _check_number(rows: Float[Tensor, "row dim"], target: KMeansCodes) -> None:
    if len(rows) < target.config.n_clusters and not bool(target.counts.any()):
        raise TargetError(
            f"The first step has {len(rows)} frames, too few for {target.config.n_clusters} clusters. Raise "
            "data.clips_per_step or data.clip_seconds, or lower n_clusters of the target."
        )


def _move_centres(target: KMeansCodes, rows: Float[Tensor, "row dim"], random: np.random.RandomState) -> None:
    """One step of mini-batch k-means; the first finds centres to begin with.

    A centre c that is the mean of N frames, and nearest to n frames x of the step, moves to
    (N c + sum(x)) / (N + n).
    """
    if not bool(target.counts.any()):
        target.centres.copy_(_first_centres(rows, target.config.n_clusters, random))
    codes = target.nearest(rows[None])[0].cpu()  # on a CPU, which adds up in the same order every time
    rows, counts, centres = (values.cpu().double() for values in (rows, target.counts, target.centres))
    sums = (counts[:, None] * centres).index_add(0, codes, rows)
    counts = counts + torch.bincount(codes, minlength=len(counts))
    centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    lonely = _lonely(counts, len(rows) // 2)
    n_lonely = int(lonely.sum())
    if n_lonely:
        centres[lonely] = rows[torch.from_numpy(random.choice(len(rows), n_lonely, replace=False))]
        counts[lonely] = counts[~lonely].min()  # few, but not so few that it were the first to go
    target.centres.copy_(centres)
    target.counts.copy_(counts)


def _lonely(counts: Float[Tensor, " code"], most: int) -> Bool[Tensor, " code"]:
    """Centres with too few frames; those with the fewest, if they are more than ``most``."""
    fewest = counts.argsort()[:most]
    among_fewest = torch.zeros_like(counts, dtype=torch.bool).index_fill(0, fewest, True)
    return (counts < LONELY * counts.max()) & among_fewest


def _first_centres(
    rows: Float[Tensor, "row dim"], n_clusters: int, random: np.random.RandomState
) -> Float[Tensor, "code dim"]:
    """Frames far from each other, by k-means++."""
    from sklearn.cluster import kmeans_plusplus

    return torch.from_numpy(kmeans_plusplus(rows.cpu().numpy(), n_clusters, random_state=random)[0])


def _mean(target: KMeansCodes) -> Float[Tensor, " dim"]:
    """The mean of all frames that the centres were made of."""
    return target.counts @ target.centres / target.counts.sum().clamp(min=1)


def _squared_distance(frames: Float[Tensor, "clip frame dim"], centres: Tensor) -> Float[Tensor, ""]:
    return (frames - centres).square().sum()


def _uses(targets: list[KMeansCodes], codes: list[Int[Tensor, "clip frame"]]) -> dict[str, Tensor]:
    """Uses of each code; those of the first target without its place in the name."""
    return {
        f"targets.{place}.code_uses" if place else "code_uses": torch.bincount(
            book.flatten(), minlength=target.config.n_clusters
        )[None]
        for place, (target, book) in enumerate(zip(targets, codes, strict=True))
    }
