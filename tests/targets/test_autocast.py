"""Codes are the same whatever the autocast: of quantizers that answer or learn, and of teachers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from solfa.data.clips import Clips
from solfa.objectives import KMeansFit, KMeansFitConfig
from solfa.targets import (
    RVQVAE,
    EMAResidualQuantizer,
    EMAResidualQuantizerConfig,
    HiddenRVQ,
    HiddenRVQConfig,
    KMeansCodes,
    KMeansCodesConfig,
    RandomProjection,
    RandomProjectionConfig,
    ResidualVectorQuantizer,
    ResidualVectorQuantizerConfig,
    RVQVAECodes,
    RVQVAECodesConfig,
    RVQVAEConfig,
    VectorQuantizer,
    VectorQuantizerConfig,
)
from solfa.targets.ema_quantizer import EMAVectorQuantizer

DIM = 32
SHAPE = {"dim": DIM, "codebook_size": 256}
FRAMES = torch.randn(2, 500, DIM, generator=torch.Generator().manual_seed(1))
EMA = EMAResidualQuantizerConfig(**SHAPE, n_codebooks=3, free_steps=0, stale_steps=1)
QUANTIZERS: dict[str, Callable[[], nn.Module]] = {
    "vq": lambda: VectorQuantizer(VectorQuantizerConfig(**SHAPE, stale_steps=1)),
    "vq, two layers": lambda: VectorQuantizer(VectorQuantizerConfig(**SHAPE, n_projection_layers=2)),
    "rvq": lambda: ResidualVectorQuantizer(ResidualVectorQuantizerConfig(**SHAPE, n_codebooks=3)),
    "ema": lambda: EMAVectorQuantizer(EMA),
    "ema_rvq": lambda: EMAResidualQuantizer(EMA),
    "ema_rvq, not yet in use": lambda: EMAResidualQuantizer(
        EMAResidualQuantizerConfig(**SHAPE, n_codebooks=3, free_steps=9)
    ),
    "random projection": lambda: RandomProjection(RandomProjectionConfig(**SHAPE)),
}
learning = pytest.mark.parametrize("kind", [kind for kind in QUANTIZERS if kind != "random projection"])


def with_and_without_autocast(answer: Callable[[], Any]) -> tuple[Any, Any]:
    """What is answered in float32, and under the autocast of a run in bfloat16."""
    torch.manual_seed(0)
    plain = answer()
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        return plain, answer()


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_a_quantizer_gives_and_reads_the_same_codes(kind: str) -> None:
    def answer() -> tuple[Tensor, Tensor]:
        quantizer = QUANTIZERS[kind]().eval()
        codes = quantizer.encode(FRAMES)
        decode = getattr(quantizer, "decode", lambda codes: codes)
        return codes, decode(codes)

    plain, half = with_and_without_autocast(answer)
    assert torch.equal(plain[0], half[0]) and len(plain[0].unique()) > 50
    assert torch.equal(plain[1], half[1])


@learning
def test_a_quantizer_learns_the_same(kind: str) -> None:
    def answer() -> dict[str, Tensor]:
        quantizer = QUANTIZERS[kind]().train()
        for step in range(2):  # the second has entries that the first replaced
            frames = FRAMES.roll(step, 1).clone().requires_grad_()
            made = quantizer(frames)
        parameters = [*quantizer.parameters()]
        with torch.autocast("cpu", enabled=False):  # as the trainer goes backward
            loss = made.frames.square().mean() + made.commitment_loss + made.codebook_loss
            gradients = torch.autograd.grad(loss, [frames, *parameters], allow_unused=True)
        found = {"codes": made.codes, "frames": made.frames.detach(), "loss": loss.detach()}
        found |= {str(n): g for n, g in enumerate(gradients) if g is not None}
        return found | quantizer.state_dict()

    plain, half = with_and_without_autocast(answer)
    assert plain.keys() == half.keys()
    for name, value in plain.items():
        assert value.dtype == half[name].dtype and torch.equal(value, half[name]), name


def test_half_precision_frames_have_the_codes_of_the_same_numbers_in_float32() -> None:
    quantizer, rounded = QUANTIZERS["rvq"]().eval(), FRAMES.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        codes = quantizer(rounded).codes
    assert torch.equal(codes, quantizer(rounded.float()).codes)


def test_a_codec_gives_the_same_codes_as_codec_and_as_teacher() -> None:
    config = RVQVAEConfig(n_channels=(8, 8, 8, 16), quantizer=EMA)
    waveform = 0.3 * torch.randn(2, 24_000, generator=torch.Generator().manual_seed(2))
    given = Clips(waveform, 24_000, torch.arange(2), torch.zeros(2, dtype=torch.long))
    codec, teacher = RVQVAE(config).eval(), RVQVAECodes(RVQVAECodesConfig(codec=config)).eval()
    for answer in (lambda: codec.encode(waveform), lambda: teacher.with_context(given).values):
        plain, half = with_and_without_autocast(answer)
        assert torch.equal(plain, half) and len(plain.unique()) > 20


def test_hidden_states_have_the_same_codes() -> None:
    target = HiddenRVQ(HiddenRVQConfig(quantizer=ResidualVectorQuantizerConfig(**SHAPE, n_codebooks=3)))
    plain, half = with_and_without_autocast(lambda: target.quantizer.encode((FRAMES - target.mean) / 3))
    assert torch.equal(plain, half)


def test_clusters_are_found_and_judged_the_same() -> None:
    config = KMeansFitConfig(targets=(KMeansCodesConfig(n_clusters=20),))
    waveform = 0.3 * torch.randn(2, 24_000, generator=torch.Generator().manual_seed(2)).cumsum(1).sin()
    given = Clips(waveform, 24_000, torch.arange(2), torch.zeros(2, dtype=torch.long))

    def answer() -> tuple[Tensor, Tensor, Tensor]:
        objective = KMeansFit(config).train()
        objective(given)
        objective.finish_step()
        target, step = objective.targets[0], objective(given)
        assert isinstance(target, KMeansCodes)
        return target.centres.clone(), step.loss, step.sums["explained_variance"]

    plain, half = with_and_without_autocast(answer)
    assert all(torch.equal(a, b) for a, b in zip(plain, half, strict=True))
