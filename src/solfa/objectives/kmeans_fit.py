"""KMeansFit: finds the clusters of frames, without gradients."""

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa import distributed
from solfa.config import Config
from solfa.data.clips import Clips, derived_seed
from solfa.models.encoder import check_waveform
from solfa.objectives.base import Objective, Step
from solfa.targets import ChromaFramesConfig, KMeansCodes, KMeansCodesConfig, TargetError


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
        Web-scale k-means clustering (Sculley 2010) and k-means++ as scikit-learn has them.
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
    def forward(self, clips: Clips) -> Step:
        """Loss and figures of all frames of clips; in training they are kept for ``finish_step``."""
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
        return Step(errors.sum(), count, sums, statistics=_uses(targets, codes))

    @torch.no_grad()
    def finish_step(self) -> None:
        """Move the centres by all frames that the ranks have seen since the last step.

        Raises:
            TargetError: the first step has fewer frames than there are clusters.
        """
        numbers = distributed.gather_rows(torch.cat([part.numbers for part in self.seen]))
        seed = derived_seed(self.seen[0].seed, int(numbers.min()))
        for place, target in enumerate(cast(list[KMeansCodes], list(self.targets))):
            mine = torch.cat([part.frames[place] for part in self.seen])
            rows = distributed.gather_rows(mine)[numbers.argsort()].flatten(0, 1)
            random = np.random.RandomState(seed % 2**32)
            _move_centres(target, rows.cpu().numpy(), random)
        self.seen = []


def _move_centres(
    target: KMeansCodes, rows: Float[np.ndarray, "row dim"], random: np.random.RandomState
) -> None:
    """One step of mini-batch k-means; the first finds centres to begin with."""
    from sklearn.cluster import MiniBatchKMeans

    n_clusters, counts = target.config.n_clusters, target.counts.cpu().numpy().copy()
    is_first = not counts.any()
    centres = _first_centres(rows, n_clusters, random) if is_first else target.centres.cpu().numpy().copy()
    clustering = MiniBatchKMeans(n_clusters, compute_labels=False)
    # It is handed the state that it would have if it had lived since the first step: a run may have been
    # resumed, and it offers no other way to say what centres were made of.
    clustering.cluster_centers_, clustering._counts = centres, counts
    clustering._random_state, clustering._n_threads = random, torch.get_num_threads()
    clustering._batch_size, clustering._n_since_last_reassign = len(rows), 10 * n_clusters
    clustering.partial_fit(rows)
    target.centres.copy_(torch.from_numpy(clustering.cluster_centers_))
    target.counts.copy_(torch.from_numpy(clustering._counts))


def _first_centres(
    rows: Float[np.ndarray, "row dim"], n_clusters: int, random: np.random.RandomState
) -> Float[np.ndarray, "code dim"]:
    """Frames far from each other, by k-means++."""
    from sklearn.cluster import kmeans_plusplus

    if len(rows) < n_clusters:
        raise TargetError(
            f"The first step has {len(rows)} frames, too few for {n_clusters} clusters. Raise "
            "data.clips_per_step or data.clip_seconds, or lower n_clusters of the target."
        )
    return kmeans_plusplus(rows, n_clusters, random_state=random)[0]


def _mean(target: KMeansCodes) -> Float[Tensor, " dim"]:
    """The mean of all frames that the centres were made of."""
    return target.counts @ target.centres / target.counts.sum().clamp(min=1)


def _squared_distance(frames: Float[Tensor, "clip frame dim"], centres: Tensor) -> Float[Tensor, ""]:
    return (frames - centres).square().sum()


def _uses(targets: list[KMeansCodes], codes: list[Int[Tensor, "clip frame"]]) -> dict[str, Tensor]:
    """How often each code occurs; those of the first target without its place in the name."""
    return {
        f"targets.{place}.code_uses" if place else "code_uses": torch.bincount(
            book.flatten(), minlength=target.config.n_clusters
        )[None]
        for place, (target, book) in enumerate(zip(targets, codes, strict=True))
    }
