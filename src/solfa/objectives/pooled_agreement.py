"""PooledAgreement: clips of one track should be alike in mean and deviation of what the encoder sees."""

from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa import distributed
from solfa.config import Config, NotNegative, Positive, Width
from solfa.models.layers.pooling import mean_and_deviation
from solfa.objectives.agreement import TrackAgreement, TrackAgreementConfig


@dataclass(frozen=True, kw_only=True)
class PooledAgreementConfig(Config):
    """Strength of what draws clips of one track together; wants ``data.clips_per_track`` of two or more."""

    kind: Literal["pooled"] = "pooled"
    weight: NotNegative = 0.3  # of its loss in the sum
    temperature: Positive = 0.1
    hidden_dim: Width = 512  # between the pooled states and the vectors that are compared
    dim: Width = 128  # of these vectors


AgreementConfig = TrackAgreementConfig | PooledAgreementConfig


class PooledAgreement(nn.Module):
    """Clips -> loss of being told by clips of the same track from those of other tracks.

    As ``TrackAgreement``, with three differences. What is compared is made of mean and deviation of the
    visible states, as probes read them, by a layer more. A clip of the same track is never a negative. And
    the denominator holds negatives alone: with few clips in a pass, the positive would take most of it, and
    with it most of the gradient.

    Source:
        Decoupled contrastive learning, arXiv:2110.06848; several positives as in arXiv:2004.11362.
    """

    def __init__(self, config: PooledAgreementConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.projection = nn.Sequential(
            nn.Linear(2 * dim, config.hidden_dim), nn.GELU(), nn.Linear(config.hidden_dim, config.dim)
        )

    def forward(
        self,
        states: Float[Tensor, "clip frame dim"],
        tracks: Int[Tensor, " clip"],
        visible: Bool[Tensor, "clip frame"] | None = None,
    ) -> Float[Tensor, " clip"]:
        """Loss of each clip; zero for one that is alone of its track, or with clips of its track alone.

        For clip i with the set P of other clips of its track, N of clips of other tracks, and s the cosine
        divided by the temperature: -(mean of s_ij over P) + log(sum of exp s_ij over N).

        Args:
            states: of the encoder, at their places.
            tracks: of which the clips are cut.
            visible: frames that the encoder saw; all if None.
        """
        with torch.autocast(states.device.type, enabled=False):
            pooled = mean_and_deviation(states.float(), visible)
            vectors, tracks = F.normalize(self.projection(pooled), dim=-1), tracks.to(states.device)
            all_vectors, first, all_tracks = vectors, 0, tracks
            if self.training:  # in validation ranks may make unequal numbers of passes, and wait forever
                all_vectors, first = distributed.gather_with_gradient(vectors)
                all_tracks = distributed.all_gather(tracks)
            similarity = vectors @ all_vectors.T / self.config.temperature
            place = torch.arange(len(all_vectors), device=states.device)
            is_itself = place[None] == place[first : first + len(vectors), None]
            is_same_track = tracks[:, None] == all_tracks[None]
            return _decoupled(similarity, is_same_track & ~is_itself, ~is_same_track)


def _decoupled(
    similarity: Float[Tensor, "clip every"],
    is_positive: Bool[Tensor, "clip every"],
    is_negative: Bool[Tensor, "clip every"],
) -> Float[Tensor, " clip"]:
    """The loss of each row; zero where it has no positive or no negative."""
    counts = is_positive.sum(1)
    counted = (counts > 0) & is_negative.any(1)
    alike = (similarity * is_positive).sum(1) / counts.clamp(min=1)
    # A row without a negative would be -inf, and its gradient NaN: it gets all, and is then left out.
    negative = similarity.masked_fill(~(is_negative | ~counted[:, None]), -torch.inf).logsumexp(1)
    return torch.where(counted, negative - alike, 0.0)


def build_agreement(config: AgreementConfig, dim: int) -> TrackAgreement | PooledAgreement:
    """The loss that ``config`` describes, of states of width ``dim``."""
    match config:
        case TrackAgreementConfig():
            return TrackAgreement(config, dim)
        case PooledAgreementConfig():
            return PooledAgreement(config, dim)
        case _:
            assert_never(config)
