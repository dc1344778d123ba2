"""Heads: what guessing costs, what is added up, and which target a head fits."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from solfa.objectives.heads import CosineCodeHead, CosineCodeHeadConfig, LinearHeadConfig, build_head
from solfa.targets import Codes, CodesShape, TargetError, ValuesShape


def cosine_head(dim: int = 768, n_codebooks: int = 8, size: int = 1024, **settings: float) -> CosineCodeHead:
    torch.manual_seed(0)
    return CosineCodeHead(CosineCodeHeadConfig(**settings), dim, n_codebooks, size)


def codes(n_codebooks: int = 8, size: int = 1024, n_frames: int = 100) -> Codes:
    return Codes(torch.randint(size, (2, n_codebooks, n_frames)), size)


def test_the_first_loss_of_eight_codebooks_is_about_eight_times_the_log_of_their_size() -> None:
    mask = torch.ones(2, 100, dtype=torch.bool)
    step = cosine_head().loss(torch.randn(200, 768), codes(), mask)
    assert float(step.loss.detach() / step.count) == pytest.approx(8 * math.log(1024), rel=0.04)


def test_losses_of_codebooks_add_up() -> None:
    mask = torch.rand(2, 100) < 0.5
    step = cosine_head().loss(torch.randn(int(mask.sum()), 768), codes(), mask)
    assert float(step.loss.detach()) == pytest.approx(float(step.sums["loss_by_codebook"].sum()), rel=1e-5)


def test_logits_are_cosines_over_the_temperature() -> None:
    head, hidden = cosine_head(dim=12, n_codebooks=3, size=5), torch.randn(4, 12)
    vectors = head.linear(hidden).view(4, 3, 64)
    expected = F.cosine_similarity(vectors[:, :, None], head.embeddings[None], dim=-1) / 0.1
    torch.testing.assert_close(head(hidden), expected)


def test_a_louder_state_says_the_same() -> None:
    head, hidden = cosine_head(dim=12), torch.randn(4, 12)
    torch.nn.init.zeros_(head.linear.bias)
    torch.testing.assert_close(head(hidden), head(100 * hidden))


def test_embeddings_of_codes_learn() -> None:
    head, mask = cosine_head(), torch.ones(2, 100, dtype=torch.bool)
    head.loss(torch.randn(200, 768), codes(), mask).loss.backward()
    assert head.embeddings.grad is not None and head.embeddings.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("config", "shape", "answer"),
    [
        (LinearHeadConfig(), CodesShape(3, 32), (4, 3, 32)),
        (CosineCodeHeadConfig(), CodesShape(3, 32), (4, 3, 32)),
    ],
)
def test_a_head_answers_in_the_shape_of_its_codes(config, shape, answer) -> None:  # type: ignore[no-untyped-def]
    assert build_head(config, 16, shape)(torch.randn(4, 16)).shape == answer


def test_cosines_for_values_are_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match=r"predicts codes.*values.*\"kind\": \"linear\""):
        build_head(CosineCodeHeadConfig(), 16, ValuesShape(336))
