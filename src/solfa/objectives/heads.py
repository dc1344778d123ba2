"""Heads: hidden states -> what a target says, and what a wrong answer costs."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Between, Config, NotNegative, Positive, Width
from solfa.errors import ArgumentError
from solfa.objectives.base import StepOutput
from solfa.objectives.soft_codes import soft_code_loss
from solfa.targets import Codes, CodesShape, TargetError, Values, ValuesShape

ShareOfNearest = Annotated[float, Between(0.1, 1 - 1e-6)]


@dataclass(frozen=True, kw_only=True)
class LinearHeadConfig(Config):
    """One linear map, to logits of codes or to values; codebooks share one loss, their mean (MuQ)."""

    kind: Literal["linear"] = "linear"
    codebook_weights: tuple[NotNegative, ...] = ()  # in that mean, the coarsest first; all alike if empty
    nearest_share: ShareOfNearest | None = None  # of soft codes; null: the nearest has all


@dataclass(frozen=True, kw_only=True)
class CosineCodeHeadConfig(Config):
    """Codes by their likeness to learned embeddings; the losses of codebooks add up (MERT)."""

    kind: Literal["cosine_code"] = "cosine_code"
    dim: Width = 64  # of the embedding of a code (MERT-330M: 128)
    temperature: Positive = 0.1  # that cosines are divided by
    initial_size: Positive = 1.0  # embeddings begin between 0 and it; small ones turn sooner


HeadConfig = LinearHeadConfig | CosineCodeHeadConfig


class CodeHead(nn.Module):
    """Hidden states -> logits of several codebooks."""

    n_codebooks: int
    loss_divisor: int  # of the sum of the codebooks' losses

    def forward(self, hidden: Float[Tensor, "hidden dim"]) -> Float[Tensor, "hidden codebook code"]:
        """Logits of hidden states in one row."""
        raise NotImplementedError

    def joint_loss(self, each: Float[Tensor, "hidden codebook"]) -> Float[Tensor, "hidden codebook"]:
        """Losses of codes, divided so that their sum over codebooks is that of a frame."""
        return each / self.loss_divisor

    def softened(
        self,
        logits: Float[Tensor, "hidden codebook code"],
        each: Float[Tensor, "hidden codebook"],
        expected: Codes,
        mask: Bool[Tensor, "clip frame"],
    ) -> Float[Tensor, "hidden codebook"]:
        """The losses to be followed, given those of the nearest codes: the same."""
        return each

    def loss(
        self, hidden: Float[Tensor, "hidden dim"], expected: Codes, mask: Bool[Tensor, "clip frame"]
    ) -> StepOutput:
        """Cross-entropy of hidden frames, summed over frames. Figures are of the nearest codes, always."""
        codes = rearrange(expected.values, "clip codebook frame -> clip frame codebook")[mask]
        logits = self(hidden).float()
        each = code_loss(logits, codes)
        loss = self.joint_loss(self.softened(logits, each, expected, mask))
        with torch.no_grad():
            predicted = logits.argmax(-1)
            correct = (predicted == codes).sum(0)
        return StepOutput(
            loss.sum(),
            mask.sum().float(),
            {
                "loss_by_codebook": (each.detach() / self.loss_divisor).sum(0) * self.loss_divisor,
                "accuracy_by_codebook": correct.float(),
            },
            _count_codes(codes, expected.codebook_size),
            {"predicted_uses": _count_codes(predicted, expected.codebook_size)},
        )


class LinearCodeHead(CodeHead):
    """Hidden states -> logits of several codebooks, by one linear map; their loss is a mean.

    Raises:
        ArgumentError: as many weights as there are codebooks are wanted, and others were given.
    """

    def __init__(
        self, dim: int, n_codebooks: int, codebook_size: int, config: LinearHeadConfig | None = None
    ) -> None:
        super().__init__()
        config = config or LinearHeadConfig()
        given = config.codebook_weights
        if given and (len(given) != n_codebooks or not any(given)):
            raise ArgumentError(
                f"{len(given)} codebook_weights of a head, and {n_codebooks} codebooks of its target: give "
                "one to each, not all of them 0, or none at all."
            )
        self.config = config
        self.n_codebooks = self.loss_divisor = n_codebooks
        self.linear = nn.Linear(dim, n_codebooks * codebook_size)
        self.shares = [weight / sum(given) for weight in given]  # of codebooks in the loss

    def joint_loss(self, each: Float[Tensor, "hidden codebook"]) -> Float[Tensor, "hidden codebook"]:
        """Losses by their weights: what a frame has in all is the weighted mean of its codebooks."""
        return each * each.new_tensor(self.shares) if self.shares else super().joint_loss(each)

    def softened(
        self,
        logits: Float[Tensor, "hidden codebook code"],
        each: Float[Tensor, "hidden codebook"],
        expected: Codes,
        mask: Bool[Tensor, "clip frame"],
    ) -> Float[Tensor, "hidden codebook"]:
        """Losses against soft codes, if these are wanted.

        Raises:
            TargetError: they are, and the target knows no distances.
        """
        if self.config.nearest_share is None:
            return each
        if expected.origin is None:
            raise TargetError(
                "nearest_share of a head wants a target that knows how far all codes lie: a quantizer of the "
                "kind kmeans_rvq, fitted by 'solfa train mel_rvq_small' or cqt_rvq_small. Name such a run in "
                "fitted of the target, or set nearest_share to null."
            )
        return soft_code_loss(logits, expected.origin.distances_of(mask), self.config.nearest_share)

    def forward(self, hidden: Float[Tensor, "hidden dim"]) -> Float[Tensor, "hidden codebook code"]:
        """Logits of hidden states in one row."""
        return rearrange(self.linear(hidden), "frame (book code) -> frame book code", book=self.n_codebooks)


class CosineCodeHead(CodeHead):
    """Hidden states -> cosines with the learned embedding of every code, over a temperature; losses add up.

    One linear map gives a vector for each codebook. Cosines are taken in float32.

    Source:
        HuBERT, arXiv:2106.07447, with several codebooks in MERT, arXiv:2306.00107. Departs from the code:
        there, each codebook also has four entries for special symbols of text, which never occur.
    """

    def __init__(self, config: CosineCodeHeadConfig, dim: int, n_codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.config = config
        self.n_codebooks, self.loss_divisor = n_codebooks, 1
        self.linear = nn.Linear(dim, n_codebooks * config.dim)
        self.embeddings = nn.Parameter(
            config.initial_size * torch.rand(n_codebooks, codebook_size, config.dim)
        )

    def forward(self, hidden: Float[Tensor, "hidden dim"]) -> Float[Tensor, "hidden codebook code"]:
        """Logits of hidden states in one row."""
        vectors = rearrange(
            self.linear(hidden), "frame (book part) -> frame book part", book=self.n_codebooks
        )
        with torch.autocast(hidden.device.type, enabled=False):
            cosines = torch.einsum(
                "fbp,bcp->fbc", F.normalize(vectors.float(), dim=-1), F.normalize(self.embeddings, dim=-1)
            )
            return cosines / self.config.temperature


class LinearValueHead(nn.Module):
    """Hidden states -> values, by a linear map."""

    def __init__(self, dim: int, n_values: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, n_values)

    def loss(
        self, hidden: Float[Tensor, "hidden dim"], expected: Values, mask: Bool[Tensor, "clip frame"]
    ) -> StepOutput:
        """Squared error of hidden frames: the mean over values, summed over frames."""
        values = expected.values[mask]
        error = (self.linear(hidden).float() - values).square().mean(-1)
        return StepOutput(
            error.sum(),
            mask.sum().float(),
            {"squared_error": error.detach().sum()},
            statistics={"value_moments": torch.stack([values.sum(0), values.square().sum(0)])},
        )


Head = CodeHead | LinearValueHead


def build_head(config: HeadConfig, dim: int, shape: CodesShape | ValuesShape) -> Head:
    """The head that ``config`` describes, from states of width ``dim`` to a target of ``shape``.

    Raises:
        TargetError: a head for codes, or settings for codes, and a target that has none.
    """
    match config, shape:
        case LinearHeadConfig(), CodesShape():
            return LinearCodeHead(dim, shape.n_codebooks, shape.codebook_size, config)
        case LinearHeadConfig(codebook_weights=(), nearest_share=None), ValuesShape():
            return LinearValueHead(dim, shape.n_values)
        case CosineCodeHeadConfig(), CodesShape():
            return CosineCodeHead(config, dim, shape.n_codebooks, shape.codebook_size)
        case LinearHeadConfig(), ValuesShape():
            raise TargetError(
                "codebook_weights and nearest_share of a head are for codes, but this target gives values. "
                "Set the head of its prediction back: "
                '--set objective.predictions.0.head=\'{"kind": "linear"}\'.'
            )
        case _:
            raise TargetError(
                "A cosine_code head predicts codes, but this target gives values. Set the head of its "
                'prediction to linear: --set objective.predictions.0.head=\'{"kind": "linear"}\'.'
            )


def code_loss(
    logits: Float[Tensor, "hidden codebook code"], codes: Int[Tensor, "hidden codebook"]
) -> Float[Tensor, "hidden codebook"]:
    """Cross-entropy of each code."""
    loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none")
    return loss.view(codes.shape)


def _count_codes(codes: Int[Tensor, "hidden codebook"], size: int) -> Int[Tensor, "codebook code"]:
    return torch.stack([torch.bincount(book, minlength=size) for book in codes.unbind(1)])
