"""PairLoss: which of all texts belongs to a clip, and which of all clips to a text; softmax and sigmoid."""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, assert_never

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from solfa import distributed
from solfa.config import LATER, Config, Count, Finite, NotNegative
from solfa.errors import ArgumentError

START_SCALE = 10.0  # of similarities, as published


@dataclass(frozen=True, kw_only=True)
class SoftmaxLossConfig(Config):
    """Cross-entropy over all candidates, in both directions (InfoNCE)."""

    kind: Literal["softmax"] = "softmax"
    pairs_at_once: Count = 1024  # whose similarities to all others are in memory at the same time


@dataclass(frozen=True, kw_only=True)
class DecoupledLossConfig(Config):
    """As softmax, but what belongs together is not among the candidates; the published one."""

    kind: Literal["decoupled"] = "decoupled"
    pairs_at_once: Count = 1024


@dataclass(frozen=True, kw_only=True)
class SigmoidLossConfig(Config):
    """Every clip with every text is a question of its own: do they belong together?"""

    kind: Literal["sigmoid"] = "sigmoid"
    start_bias: Finite = -10.0  # of similarities: at first nothing belongs together
    pairs_at_once: Count = 1024
    wrong_weight: NotNegative = field(
        default=1.0, metadata=LATER
    )  # of texts that are not true of a clip, where clips come with such


PairLossConfig = SoftmaxLossConfig | DecoupledLossConfig | SigmoidLossConfig


class Pairs(NamedTuple):
    """Unit vectors of some pairs, and of all that they are compared with."""

    audio: Float[Tensor, "pair dim"]
    text: Float[Tensor, "pair dim"]
    all_audio: Float[Tensor, "every dim"]
    all_text: Float[Tensor, "every dim"]
    is_own: Bool[Tensor, "pair every"]  # where a pair meets itself
    fit: Float[Tensor, "pair every"]  # how far a text fits a clip, 0 to 1; 1 where a pair meets itself


class PairLoss(nn.Module):
    """Unit vectors of clips and of their texts -> loss of each pair.

    In training all ranks' vectors are compared, however many each has, and the gradients are those of one
    process with all of them. Each rank has the losses of its own pairs, whose sum over the ranks is that of
    all: the published program calls this "rank" softmax. Similarities exist for ``pairs_at_once`` pairs at a
    time, and are computed again for the gradient: the matrix of all of them is never whole.

    With s_ij the cosine of clip i and text j times a learned scale, the loss of pair i is

    - softmax: -s_ii + (log sum_j exp s_ij + log sum_j exp s_ji) / 2
    - decoupled: the same with sums over j other than i
    - sigmoid: sum_j of the cross-entropy of the answer s_ij + bias to the question whether j fits i: yes for
      i = j and no otherwise, or, if it is known how far texts fit, yes to that extent

    Source:
        InfoNCE, arXiv:1807.03748; decoupled, arXiv:2110.06848; sigmoid, arXiv:2303.15343; used for MuQ-MuLan,
        arXiv:2501.01108.
    """

    def __init__(self, config: PairLossConfig) -> None:
        super().__init__()
        self.config = config
        self.log_scale = nn.Parameter(torch.tensor(math.log(START_SCALE)))
        self.bias = (
            nn.Parameter(torch.tensor(config.start_bias)) if isinstance(config, SigmoidLossConfig) else None
        )

    @property
    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied by: one over the temperature."""
        return self.log_scale.exp()

    def forward(
        self,
        audio: Float[Tensor, "pair dim"],
        text: Float[Tensor, "pair dim"],
        fit: Float[Tensor, "pair every"] | None = None,
    ) -> tuple[Float[Tensor, " pair"], Bool[Tensor, " pair"]]:
        """Loss of each pair, and whether the text is nearer to its clip than all other texts.

        Args:
            audio: unit vectors of this rank's clips.
            text: unit vectors of their texts.
            fit: how far each text of all ranks fits each of these clips, 0 to 1; sigmoid loss only.

        Raises:
            ValueError: there is but one pair, and nothing to tell it from; or fits go with another loss.
        """
        if fit is not None and self.bias is None:
            raise ArgumentError(
                "Only the sigmoid loss can tell how far texts fit. Set objective.loss.kind to sigmoid, or "
                "data.captions.facts to null."
            )
        with torch.autocast(audio.device.type, enabled=False):
            audio, text = audio.float(), text.float()
            all_audio, all_text, first = audio, text, 0
            if self.training:  # in validation ranks may make unequal numbers of passes, and wait forever
                all_audio, first = distributed.gather_with_gradient(audio)
                all_text, _ = distributed.gather_with_gradient(text)
            if len(all_audio) < 2:
                raise ArgumentError(
                    "A pair alone cannot be told from others. Raise data.clips_per_step, data.n_valid_clips "
                    "and objective.pairs_together to 2 or more."
                )
            size = self.config.pairs_at_once
            number = torch.arange(len(all_audio), device=audio.device)
            parts = []
            for n in range(0, len(audio), size):
                is_own = number[None] == number[first + n : first + min(n + size, len(audio)), None]
                some_fit = is_own.float() if fit is None else fit[n : n + size].masked_fill(is_own, 1.0)
                pairs = Pairs(audio[n : n + size], text[n : n + size], all_audio, all_text, is_own, some_fit)
                parts.append(self._again_for_the_gradient(pairs) if len(audio) > size else self._part(*pairs))
            losses, is_right = zip(*parts, strict=True)
            return torch.cat(losses), torch.cat(is_right)

    def wrong_losses(
        self, audio: Float[Tensor, "pair dim"], wrong: Float[Tensor, "pair text dim"]
    ) -> Float[Tensor, " pair"]:
        """Loss of texts that are not true of their clip: the answer to each should be no."""
        assert self.bias is not None and isinstance(self.config, SigmoidLossConfig)
        with torch.autocast(audio.device.type, enabled=False):
            answers = self.scale * torch.einsum("pd,ptd->pt", audio.float(), wrong.float()) + self.bias
            return self.config.wrong_weight * F.softplus(answers).sum(1)

    def _again_for_the_gradient(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        return checkpoint(self._part, *pairs, use_reentrant=False)

    def _part(self, *tensors: Tensor) -> tuple[Float[Tensor, " pair"], Bool[Tensor, " pair"]]:
        """Losses of some pairs, and which of them are right."""
        pairs = Pairs(*tensors)
        by_audio = self.scale * pairs.audio @ pairs.all_text.T
        own = by_audio[pairs.is_own]
        is_right = (by_audio.masked_fill(pairs.is_own, -torch.inf) < own[:, None]).all(1)
        match self.config:
            case SoftmaxLossConfig():
                by_text = self.scale * pairs.text @ pairs.all_audio.T
                return (by_audio.logsumexp(1) + by_text.logsumexp(1)) / 2 - own, is_right
            case DecoupledLossConfig():
                by_text = self.scale * pairs.text @ pairs.all_audio.T
                others = [s.masked_fill(pairs.is_own, -torch.inf) for s in (by_audio, by_text)]
                return (others[0].logsumexp(1) + others[1].logsumexp(1)) / 2 - own, is_right
            case SigmoidLossConfig():
                assert self.bias is not None
                answers = by_audio + self.bias
                # Cross-entropy of a yes of probability p: log(1 + e^x) - p x.
                return (F.softplus(answers) - pairs.fit * answers).sum(1), is_right
            case _:
                assert_never(self.config)
