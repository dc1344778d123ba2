import math

import pytest
import torch

from solfa.features import SpectralDistance, SpectralDistanceConfig

RATE = 24_000


def tone(frequency: float, amplitude: float = 0.5, phase: float = 0.0) -> torch.Tensor:
    time = torch.arange(RATE) / RATE
    return amplitude * torch.sin(2 * math.pi * frequency * time + phase)[None]


@pytest.fixture(scope="module")
def distance() -> SpectralDistance:
    return SpectralDistance(SpectralDistanceConfig())


def test_a_clip_is_no_distance_from_itself(distance: SpectralDistance) -> None:
    same = distance(tone(440), tone(440))
    assert float(same.log_magnitude) == float(same.log_mel) == 0
    assert float(same.convergence) < 1e-4


def test_silence_is_a_whole_away(distance: SpectralDistance) -> None:
    torch.testing.assert_close(
        distance(tone(440), 0 * tone(440)).convergence, torch.ones(1), atol=1e-3, rtol=0
    )


def test_half_as_loud_is_six_decibels_away(distance: SpectralDistance) -> None:
    noise = 0.3 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    apart = distance(noise, noise / 2)
    torch.testing.assert_close(apart.mel_decibels, torch.tensor([6.02]), atol=0.05, rtol=0)
    torch.testing.assert_close(apart.log_magnitude, torch.tensor([math.log(2)]), atol=0.01, rtol=0)
    torch.testing.assert_close(apart.convergence, torch.tensor([0.5]), atol=1e-3, rtol=0)


def test_a_semitone_is_further_than_a_quarter_of_the_loudness_and_phase_is_nothing(
    distance: SpectralDistance,
) -> None:
    near = distance(tone(440), tone(440, phase=1.0)).convergence
    softer = distance(tone(440), tone(440, amplitude=0.375)).convergence
    higher = distance(tone(440), tone(440 * 2 ** (1 / 12))).convergence
    assert float(near) < 0.1 < float(softer) < float(higher)


def test_clips_do_not_touch_each_other(distance: SpectralDistance) -> None:
    a, b = torch.cat([tone(440), tone(220)]), torch.cat([tone(450), tone(230)])
    together = distance(a, b)
    alone = distance(a[1:], b[1:])
    torch.testing.assert_close(together.log_mel[1:], alone.log_mel)


def test_equal_silence_has_a_gradient_of_numbers(distance: SpectralDistance) -> None:
    estimated = torch.zeros(1, 4_000, requires_grad=True)
    apart = distance(torch.zeros(1, 4_000), estimated)
    (apart.convergence + apart.log_mel + apart.log_magnitude).sum().backward()
    assert estimated.grad is not None
    assert estimated.grad.isfinite().all()
