"""Residual k-means: entries are means, each codebook lessens what is left, and distances are true."""

import pytest
import torch

from solfa.objectives.residual_kmeans_fit import fit_residual_kmeans
from solfa.targets import ResidualKMeans, ResidualKMeansConfig, TargetError

CONFIG = ResidualKMeansConfig(dim=6, n_codebooks=3, codebook_size=16)


def rows(n: int = 600, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = 4 * torch.randn(16, 6, generator=torch.Generator().manual_seed(9))
    return centres[torch.randint(16, (n,), generator=generator)] + torch.randn(n, 6, generator=generator)


def fitted(config: ResidualKMeansConfig = CONFIG) -> ResidualKMeans:
    quantizer = ResidualKMeans(config)
    fit_residual_kmeans(quantizer, rows(), seed=3)
    return quantizer


def test_every_codebook_lessens_what_is_left_of_unseen_frames() -> None:
    quantizer, frames = fitted(), rows(400, seed=1)[None]
    codes = quantizer.encode(frames)
    errors = [float((frames - quantizer.decode(codes[:, :n])).square().mean()) for n in range(1, 4)]
    assert errors[0] < 0.2 * float(frames.var()) and errors[0] > 1.1 * errors[1] > 1.21 * errors[2]


def test_entries_are_the_means_of_the_frames_nearest_to_them() -> None:
    quantizer, frames = fitted(), rows()
    codes = quantizer.encode(frames[None])[0, 0]
    for entry in codes.unique():
        mean = frames[codes == entry].mean(0)
        torch.testing.assert_close(quantizer.codebooks[0, entry], mean, atol=0.3, rtol=0)


def test_a_code_is_the_entry_of_least_distance_and_distances_are_true() -> None:
    quantizer, frames = fitted(), rows(50, seed=2)
    distances, codes = quantizer.squared_distances(frames), quantizer.encode(frames[None])[0]
    assert torch.equal(distances.argmin(2).T, codes)
    residual = frames - quantizer.codebooks[0][codes[0]]
    true = (residual[:, None] - quantizer.codebooks[1]).square().sum(2)
    torch.testing.assert_close(distances[:, 1], true, atol=1e-4, rtol=1e-4)


def test_a_later_step_moves_an_entry_by_the_share_of_its_new_frames() -> None:
    quantizer = ResidualKMeans(ResidualKMeansConfig(dim=1, n_codebooks=1, codebook_size=1))
    fit_residual_kmeans(quantizer, torch.tensor([[0.0], [2.0], [4.0]]), seed=0)
    fit_residual_kmeans(quantizer, torch.tensor([[10.0]]), seed=1)
    assert float(quantizer.codebooks) == pytest.approx((3 * 2 + 10) / 4)
    assert float(quantizer.counts) == 4


def test_the_same_seed_finds_the_same_entries_and_another_one_does_not() -> None:
    assert torch.equal(fitted().codebooks, fitted().codebooks)
    other = ResidualKMeans(CONFIG)
    fit_residual_kmeans(other, rows(), seed=4)
    assert not torch.equal(other.codebooks, fitted().codebooks)


def test_frames_that_are_all_alike_leave_every_entry_finite() -> None:
    quantizer = ResidualKMeans(CONFIG)
    fit_residual_kmeans(quantizer, torch.ones(32, 6), seed=0)
    assert bool(torch.isfinite(quantizer.codebooks).all())
    assert torch.equal(quantizer.decode(quantizer.encode(torch.ones(1, 4, 6))), torch.ones(1, 4, 6))


def test_too_few_frames_are_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match=r"Raise data\.clips_per_step"):
        fit_residual_kmeans(ResidualKMeans(CONFIG), rows(15), seed=0)
