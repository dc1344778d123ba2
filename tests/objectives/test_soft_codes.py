"""Soft codes: the nearest entry has the share that was asked for, and hard codes are their limit."""

import math

import pytest
import torch

from solfa.objectives.heads import LinearHeadConfig, code_loss
from solfa.objectives.soft_codes import soft_code_loss, soften


def distances(n: int = 50, size: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rows, entries = (torch.randn(m, 8, generator=generator) for m in (n, size))
    return (rows[:, None] - entries).square().sum(2)[:, None]


def test_the_nearest_entry_has_its_share_and_all_add_up_to_one() -> None:
    found = distances()
    entries, shares = soften(found, 0.6)
    assert torch.equal(entries[..., 0], found.argmin(-1))
    torch.testing.assert_close(shares[..., 0], torch.full((50, 1), 0.6), atol=1e-3, rtol=0)
    torch.testing.assert_close(shares.sum(-1), torch.ones(50, 1))


def test_a_further_entry_has_less() -> None:
    _, shares = soften(distances(), 0.6)
    assert bool((shares.diff(dim=-1) <= 0).all())


def test_louder_frames_and_codebooks_share_alike() -> None:
    entries, shares = soften(distances(), 0.6)
    louder, theirs = soften(100 * distances(), 0.6)
    assert torch.equal(entries, louder)
    torch.testing.assert_close(shares, theirs, atol=1e-4, rtol=0)


def test_entries_that_are_equally_near_share_alike() -> None:
    _, shares = soften(torch.ones(1, 1, 4), 0.6)
    torch.testing.assert_close(shares, torch.full((1, 1, 4), 0.25))


def test_with_all_for_the_nearest_it_is_the_loss_of_hard_codes() -> None:
    found, logits = distances(), torch.randn(50, 1, 64, generator=torch.Generator().manual_seed(1))
    soft = soft_code_loss(logits, found, 1 - 1e-6)
    torch.testing.assert_close(soft, code_loss(logits, found.argmin(-1)), atol=1e-2, rtol=0)


def test_the_best_answer_costs_the_entropy_of_the_shares() -> None:
    found = distances(size=16)
    entries, shares = soften(found, 0.6)
    logs = shares.clamp(min=1e-30).log()  # of entries that have nothing, too
    logits = torch.zeros_like(found).scatter(-1, entries, logs)
    entropy = -(shares * logs).sum(-1)
    torch.testing.assert_close(soft_code_loss(logits, found, 0.6), entropy, atol=1e-4, rtol=0)
    assert float(entropy.max()) < math.log(16)


def test_a_share_that_no_nearest_could_have_is_refused() -> None:
    with pytest.raises(ValueError, match="nearest_share"):
        LinearHeadConfig(nearest_share=1.0)
