"""Heads: what guessing costs, what is added up, and which target a head fits."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from solfa.objectives.heads import CosineCodeHead, CosineCodeHeadConfig, LinearHeadConfig, build_head
from solfa.targets import (
    Codes,
    CodesShape,
    Origin,
    ResidualKMeans,
    ResidualKMeansConfig,
    TargetError,
    ValuesShape,
)


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


def test_weights_of_codebooks_make_a_weighted_mean() -> None:
    torch.manual_seed(0)
    head = build_head(LinearHeadConfig(codebook_weights=(1.0, 0.5, 0.0)), 12, CodesShape(3, 32))
    mask = torch.ones(2, 100, dtype=torch.bool)
    step = head.loss(torch.randn(200, 12), codes(3, 32), mask)
    by_codebook = step.sums["loss_by_codebook"]
    assert float(step.loss.detach()) == pytest.approx(
        float(by_codebook[0] + by_codebook[1] / 2) / 1.5, rel=1e-5
    )


def test_equal_weights_are_the_mean_of_the_published_loss() -> None:
    mask, hidden, expected = torch.ones(2, 100, dtype=torch.bool), torch.randn(200, 12), codes(3, 32)
    losses = []
    for weights in ((), (2.0, 2.0, 2.0)):
        torch.manual_seed(0)
        head = build_head(LinearHeadConfig(codebook_weights=weights), 12, CodesShape(3, 32))
        losses.append(float(head.loss(hidden, expected, mask).loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0, 0.0)])
def test_weights_that_fit_no_codebooks_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="give one to each"):
        build_head(LinearHeadConfig(codebook_weights=weights), 12, CodesShape(3, 32))


def test_settings_for_codes_are_refused_where_there_are_values() -> None:
    with pytest.raises(TargetError, match="are for codes, but this target gives values"):
        build_head(LinearHeadConfig(codebook_weights=(1.0,)), 12, ValuesShape(5))


def test_soft_codes_of_a_target_that_knows_no_distances_are_refused() -> None:
    head = build_head(LinearHeadConfig(nearest_share=0.6), 12, CodesShape(3, 32))
    with pytest.raises(TargetError, match="Name such a run in fitted"):
        head.loss(torch.randn(200, 12), codes(3, 32), torch.ones(2, 100, dtype=torch.bool))


def test_soft_codes_are_followed_and_figures_stay_those_of_the_nearest() -> None:
    torch.manual_seed(0)
    mask, frames = torch.ones(2, 100, dtype=torch.bool), torch.randn(2, 100, 6)
    quantizer = ResidualKMeans(ResidualKMeansConfig(dim=6, n_codebooks=2, codebook_size=32))
    quantizer.codebooks.normal_()
    expected = Codes(quantizer.encode(frames), 32, Origin(frames, quantizer.squared_distances))
    hard, soft = (
        build_head(LinearHeadConfig(nearest_share=share), 12, CodesShape(2, 32)) for share in (None, 0.6)
    )
    soft.load_state_dict(hard.state_dict())
    hidden = torch.randn(200, 12)
    a, b = (head.loss(hidden, expected, mask) for head in (hard, soft))
    assert torch.equal(a.sums["loss_by_codebook"], b.sums["loss_by_codebook"])
    assert float(a.loss.detach()) != float(b.loss.detach())
