"""TrackAgreement: clips of one track should be alike, clips of different tracks not."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa import distributed
from solfa.config import Config, NotNegative, Positive, Width
from solfa.models.layers.pooling import mean_state


@dataclass(frozen=True, kw_only=True)
class TrackAgreementConfig(Config):
    """Strength of what draws clips of one track together; wants ``data.clips_per_track`` of two or more."""

    kind: Literal["mean"] = "mean"
    weight: NotNegative = 1.0  # of its loss in the sum
    temperature: Positive = 0.1
    dim: Width = 128  # of the vectors that are compared


class TrackAgreement(nn.Module):
    """Clips -> loss of telling which of the others are cut from the same track.

    Masked prediction rewards what changes from frame to frame; this rewards what stays the same through a
    recording. Clips are compared with all clips of the same forward pass, in training on all ranks.

    Source:
        Contrastive learning of musical representations (CLMR), arXiv:2103.09410; several positives for each
        clip as in supervised contrastive learning, arXiv:2004.11362.
    """

    def __init__(self, config: TrackAgreementConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.projection = nn.Linear(dim, config.dim)

    def forward(
        self,
        hidden: Float[Tensor, "clip frame dim"],
        tracks: Int[Tensor, " clip"],
        visible: Bool[Tensor, "clip frame"] | None = None,
    ) -> Float[Tensor, " clip"]:
        """Loss of each clip; zero for one that is alone of its track.

        Args:
            hidden: states.
            tracks: of which the clips are cut.
            visible: frames that have a state; all if None.

        For clip i with the set P of clips of the same track, and s the cosine divided by the temperature:
        -log(sum of exp s_ij over P / sum of exp s_ij over all j other than i).
        """
        with torch.autocast(hidden.device.type, enabled=False):
            vectors = F.normalize(self.projection(mean_state(hidden.float(), visible)), dim=-1)
            tracks = tracks.to(hidden.device)
            all_vectors, first, all_tracks = vectors, 0, tracks
            if (
                self.training
            ):  # in validation ranks may make unequal numbers of passes, and would wait forever
                all_vectors, first = distributed.gather_with_gradient(vectors)
                all_tracks = distributed.all_gather(tracks)
            similarity = vectors @ all_vectors.T / self.config.temperature
            itself = torch.arange(len(vectors), device=hidden.device)[:, None] + first
            is_itself = torch.arange(len(all_vectors), device=hidden.device)[None] == itself
            is_alike = (tracks[:, None] == all_tracks[None]) & ~is_itself
            everyone = similarity.masked_fill(is_itself, -torch.inf).logsumexp(1)
            has_company = is_alike.any(1)
            # A row without a positive would be -inf, and its gradient NaN: it gets one, and is then left out.
            alike = similarity.masked_fill(~(is_alike | ~has_company[:, None]), -torch.inf).logsumexp(1)
            return torch.where(has_company, everyone - alike, 0.0)
