"""Every target keeps the same promises."""

import pytest
import torch

from solfa.data.clips import Clips
from solfa.targets import (
    Codes,
    MelFramesConfig,
    MelRandomProjectionConfig,
    MelRVQConfig,
    TargetConfig,
    VectorQuantizerConfig,
    build_target,
)

EVERY = [
    MelRVQConfig(),
    MelRVQConfig(quantizer=VectorQuantizerConfig()),
    MelRandomProjectionConfig(),
    MelFramesConfig(),
]
every_target = pytest.mark.parametrize("config", EVERY, ids=lambda config: f"{config.kind}")


def clips(n: int, n_samples: int) -> Clips:
    waveform = 0.1 * torch.randn(n, n_samples, generator=torch.Generator().manual_seed(1))
    return Clips(waveform, 24_000, torch.arange(n), torch.zeros(n, dtype=torch.long))


def values_of(config: TargetConfig, given: Clips) -> torch.Tensor:
    torch.manual_seed(0)
    answer = build_target(config).eval()(given)
    return answer.values.transpose(1, 2) if isinstance(answer, Codes) else answer.values


@every_target
@pytest.mark.parametrize("n_samples", [24_000, 24_960, 30_001])
def test_it_has_as_many_frames_as_its_grid_says(config: TargetConfig, n_samples: int) -> None:
    grid = build_target(config).grid
    assert values_of(config, clips(2, n_samples)).shape[1] == n_samples // grid.hop_length


@every_target
def test_it_answers_the_same_alone_and_in_a_batch(config: TargetConfig) -> None:
    batch = clips(3, 24_000)
    alone = Clips(batch.waveform[[1]], 24_000, batch.numbers[[1]], batch.tracks[[1]])
    torch.testing.assert_close(values_of(config, batch)[1], values_of(config, alone)[0], atol=1e-5, rtol=0)


@every_target
def test_it_answers_the_same_twice(config: TargetConfig) -> None:
    assert torch.equal(values_of(config, clips(2, 24_000)), values_of(config, clips(2, 24_000)))


@every_target
def test_its_codes_are_within_the_codebook(config: TargetConfig) -> None:
    answer = build_target(config).eval()(clips(2, 48_000))
    if isinstance(answer, Codes):
        assert int(answer.values.min()) >= 0 and int(answer.values.max()) < answer.codebook_size


@every_target
def test_it_makes_something_finite_of_silence(config: TargetConfig) -> None:
    silence = Clips(torch.zeros(1, 24_000), 24_000, torch.arange(1), torch.zeros(1, dtype=torch.long))
    assert torch.isfinite(values_of(config, silence).float()).all()
