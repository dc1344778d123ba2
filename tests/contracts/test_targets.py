"""Every target keeps the same promises."""

import pytest
import torch

from solfa.config import to_dict
from solfa.data.clips import Clips
from solfa.models.published.muq_training import gives_codes
from solfa.objectives.residual_kmeans_fit import fit_residual_kmeans
from solfa.targets import (
    AmplitudeConfig,
    ChromaFramesConfig,
    Codes,
    CodesShape,
    CQTFramesConfig,
    CQTRVQConfig,
    EMAResidualQuantizerConfig,
    EncodecCodes,
    EncodecCodesConfig,
    KMeansCodes,
    KMeansCodesConfig,
    LogCQTFramesConfig,
    LogMagnitudeConfig,
    MelFramesConfig,
    MelRandomProjectionConfig,
    MelRVQConfig,
    ResidualKMeans,
    ResidualKMeansConfig,
    RVQVAECodesConfig,
    RVQVAEConfig,
    StackedMelConfig,
    Target,
    TargetConfig,
    ValuesShape,
    VectorQuantizerConfig,
    build_target,
)

EVERY = [
    MelRVQConfig(),
    MelRVQConfig(quantizer=VectorQuantizerConfig()),
    MelRVQConfig(frames=StackedMelConfig(level="removed"), quantizer=ResidualKMeansConfig()),
    CQTRVQConfig(),
    LogCQTFramesConfig(),
    MelRandomProjectionConfig(),
    MelFramesConfig(),
    EncodecCodesConfig(n_filters=4, dim=16, n_codebooks=3, codebook_size=64),
    CQTFramesConfig(),
    CQTFramesConfig(magnitude=LogMagnitudeConfig()),
    CQTFramesConfig(magnitude=AmplitudeConfig()),
    RVQVAECodesConfig(
        codec=RVQVAEConfig(
            n_channels=(4, 4, 8, 8),
            quantizer=EMAResidualQuantizerConfig(dim=16, n_codebooks=3, codebook_size=64),
        )
    ),
    KMeansCodesConfig(),
    KMeansCodesConfig(features=ChromaFramesConfig(), n_clusters=200),
]
every_target = pytest.mark.parametrize("config", EVERY, ids=lambda config: f"{config.kind}")


def clips(n: int, n_samples: int) -> Clips:
    waveform = 0.1 * torch.randn(n, n_samples, generator=torch.Generator().manual_seed(1))
    return Clips(waveform, 24_000, torch.arange(n), torch.zeros(n, dtype=torch.long))


def built(config: TargetConfig) -> Target:
    """With random weights; random codebooks too, where the library leaves them at zero."""
    torch.manual_seed(0)
    target = build_target(config).eval()
    if isinstance(target, EncodecCodes):
        for layer in target.quantizer.layers:
            layer.codebook.embed.copy_(torch.nn.functional.normalize(torch.randn(64, 16), dim=1))
    if isinstance(target, KMeansCodes):
        frames = target.features(clips(10, 24_000).waveform).flatten(0, 1)
        target.centres.copy_(frames[: target.config.n_clusters])
    if isinstance(quantizer := getattr(target, "quantizer", None), ResidualKMeans):
        frames = target.frames_to_quantize(clips(24, 24_960)).flatten(0, 1)  # type: ignore[operator]
        fit_residual_kmeans(quantizer, frames, seed=0)
    return target


def values_of(config: TargetConfig, given: Clips) -> torch.Tensor:
    answer = built(config)(given)
    return answer.values.transpose(1, 2) if isinstance(answer, Codes) else answer.values


@every_target
@pytest.mark.parametrize("n_samples", [24_000, 24_960, 30_001])
def test_it_has_as_many_frames_as_whole_hops_or_one_more(config: TargetConfig, n_samples: int) -> None:
    whole_hops = n_samples // build_target(config).grid.hop_length
    assert values_of(config, clips(2, n_samples)).shape[1] in (whole_hops, whole_hops + 1)


@every_target
def test_it_answers_the_same_alone_and_in_a_batch(config: TargetConfig) -> None:
    batch = clips(3, 24_000)
    alone = Clips(batch.waveform[[1]], 24_000, batch.numbers[[1]], batch.tracks[[1]])
    together, by_itself = values_of(config, batch)[1], values_of(config, alone)[0]
    # Sums are of another order in a batch, and a frame at the border of two codes may fall on either side.
    is_equal = torch.isclose(together.double(), by_itself.double(), atol=1e-5, rtol=0)
    assert is_equal.float().mean() > (0.97 if isinstance(config.shape, CodesShape) else 0.9999)


@every_target
def test_it_answers_the_same_twice(config: TargetConfig) -> None:
    assert torch.equal(values_of(config, clips(2, 24_000)), values_of(config, clips(2, 24_000)))


@every_target
def test_its_codes_are_within_the_codebook(config: TargetConfig) -> None:
    answer = built(config)(clips(2, 48_000))
    if isinstance(answer, Codes):
        assert int(answer.values.min()) >= 0 and int(answer.values.max()) < answer.codebook_size


@every_target
def test_its_answer_has_the_shape_that_a_head_is_built_for(config: TargetConfig) -> None:
    answer, shape = built(config)(clips(2, 24_000)), config.shape
    if isinstance(answer, Codes):
        assert shape == CodesShape(answer.values.shape[1], answer.codebook_size)
    else:
        assert shape == ValuesShape(answer.values.shape[2])


@every_target
def test_its_settings_say_whether_it_gives_codes(config: TargetConfig) -> None:
    """The official layout has different places for heads of codes and of values, and reads settings only."""
    assert gives_codes(to_dict(config)) == isinstance(config.shape, CodesShape)


@every_target
def test_its_answer_is_the_same_whatever_the_autocast(config: TargetConfig) -> None:
    target, given = built(config), clips(2, 24_000)
    plain = target.with_context(given).values
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(target.with_context(given).values, plain)


@every_target
def test_its_first_frames_are_cut_from_it(config: TargetConfig) -> None:
    answer = built(config)(clips(2, 24_000))
    assert answer.cut(7).n_frames == 7 and answer.n_frames > 7


@every_target
def test_it_does_not_always_answer_the_same(config: TargetConfig) -> None:
    answer = built(config)(clips(2, 48_000))
    assert len(answer.values.unique()) > 2


@every_target
def test_it_makes_something_finite_of_silence(config: TargetConfig) -> None:
    silence = Clips(torch.zeros(1, 24_000), 24_000, torch.arange(1), torch.zeros(1, dtype=torch.long))
    assert torch.isfinite(values_of(config, silence).float()).all()
