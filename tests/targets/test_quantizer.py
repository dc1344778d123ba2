"""Quantizers: parity with the original, and what quantization means."""

import pytest
import torch
from torch.testing import assert_close

from golden_data import GOLDEN, MUQ, config_of, io_of, relative_error, weights_of
from solfa import targets
from solfa.targets import (
    RandomProjection,
    RandomProjectionConfig,
    ResidualVectorQuantizer,
    ResidualVectorQuantizerConfig,
    StackedMelConfig,
    TargetError,
    VectorQuantizer,
    VectorQuantizerConfig,
)
from solfa.targets.mel import StackedMel

CASES = {
    "rvq_512x8x16": ResidualVectorQuantizerConfig(),
    "rvq_2layer": ResidualVectorQuantizerConfig(dim=128, n_codebooks=2, n_projection_layers=2),
}
SMALL = ResidualVectorQuantizerConfig(dim=12, n_codebooks=3, codebook_size=16, codebook_dim=4, stale_steps=3)


def trained_mode(case: str) -> ResidualVectorQuantizer:
    quantizer = ResidualVectorQuantizer(CASES[case])
    quantizer.load_state_dict(weights_of(case))
    return quantizer.train()


@pytest.mark.parametrize("case", CASES)
def test_codes_frames_and_losses_equal_the_original(case: str) -> None:
    io = io_of(case)
    frames = io["x"].mT
    quantized = trained_mode(case)(frames)
    loss = (
        0.25 * quantized.commitment_loss + quantized.codebook_loss + (frames - quantized.frames).abs().mean()
    )
    assert torch.equal(quantized.codes, io["codes"])
    assert_close(quantized.frames.mT, io["quantized"], atol=1e-5, rtol=1e-5)
    assert float(quantized.commitment_loss.detach()) == pytest.approx(float(io["commitment_loss"]), rel=1e-6)
    assert float(quantized.codebook_loss.detach()) == pytest.approx(float(io["codebook_loss"]), rel=1e-6)
    assert float(loss.detach()) == pytest.approx(float(io["total_loss"]), rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_the_original(case: str) -> None:
    io = io_of(case)
    frames, quantizer = io["x"].mT, trained_mode(case)
    quantized = quantizer(frames)
    loss = (
        0.25 * quantized.commitment_loss + quantized.codebook_loss + (frames - quantized.frames).abs().mean()
    )
    loss.backward()
    ours = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): parameter.grad
        for name, parameter in quantizer.named_parameters()
    }
    golden = {name.removeprefix("grad."): value for name, value in io.items() if name.startswith("grad.")}
    assert golden
    assert max(relative_error(value, ours[name]) for name, value in golden.items()) < 1e-5


@pytest.mark.parametrize("case", MUQ)
def test_codes_of_an_official_folder_equal_the_original(case: str) -> None:
    io = io_of(case)
    n_stacked = 100 // config_of(case)["label_rate"]
    codes = targets.load_quantizer(GOLDEN / case).encode(
        StackedMel(StackedMelConfig(n_stacked=n_stacked))(io["wav"])
    )
    assert torch.equal(codes.flatten(1), io["target_tokens"])


def test_random_projection_draws_the_published_tables_from_its_seed() -> None:
    ours, official = (
        RandomProjection(RandomProjectionConfig()),
        targets.load_quantizer(GOLDEN / "muq_random_25hz"),
    )
    for drawn, published in zip(ours.buffers(), official.buffers(), strict=True):
        # Not to the last digit: a logarithm and a cosine make normal numbers of the random ones.
        torch.testing.assert_close(drawn, published, rtol=1e-5, atol=1e-5)


def test_codes_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    quantizer, frames = ResidualVectorQuantizer(SMALL).eval(), torch.randn(5, 9, 12)
    together = quantizer.encode(frames)
    assert all(torch.equal(quantizer.encode(frames[[i]])[0], together[i]) for i in range(5))
    assert torch.equal(quantizer.encode(frames.flip(0)).flip(0), together)
    assert torch.equal(quantizer.encode(frames[:, :4]), together[..., :4])


def test_decoding_gives_the_frames_that_training_saw() -> None:
    torch.manual_seed(0)
    quantizer, frames = ResidualVectorQuantizer(SMALL).eval(), torch.randn(2, 9, 12)
    quantized = quantizer(frames)
    assert torch.equal(quantized.codes, quantizer.encode(frames))
    assert_close(quantizer.decode(quantized.codes), quantized.frames, atol=1e-5, rtol=1e-5)


def test_gradients_pass_straight_through_the_choice_of_a_code() -> None:
    torch.manual_seed(0)
    quantizer, frames = VectorQuantizer(VectorQuantizerConfig(dim=12, codebook_size=16, codebook_dim=4)), None
    frames = torch.randn(2, 9, 12, requires_grad=True)
    quantizer(frames).frames.sum().backward()
    expected = quantizer.in_proj.weight[..., 0].T @ quantizer.out_proj.weight[..., 0].T.sum(1)
    assert_close(frames.grad, expected.detach().expand(2, 9, 12), atol=1e-5, rtol=1e-5)


def test_a_code_unused_for_too_long_becomes_a_frame_of_the_batch() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(
        VectorQuantizerConfig(dim=12, codebook_size=16, codebook_dim=4, stale_steps=3)
    ).train()
    frames = torch.randn(1, 1, 12).expand(1, 8, 12)  # a single direction: one code is used, 15 are not
    before = quantizer.codebook.weight.detach().clone()
    for _ in range(2):
        quantizer(frames)
    assert torch.equal(quantizer.codebook.weight, before)
    used = int(quantizer(frames).codes[0, 0, 0])
    direction = torch.nn.functional.normalize(quantizer._project(frames)[0, 0], dim=0)
    others = [i for i in range(16) if i != used]
    assert_close(quantizer.codebook.weight[others], direction.expand(15, 4), atol=1e-6, rtol=0)
    assert torch.equal(quantizer.codebook.weight[used], before[used])
    assert not quantizer.stale_counter.any()


def test_a_frozen_quantizer_replaces_nothing() -> None:
    quantizer = ResidualVectorQuantizer(SMALL).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    for _ in range(5):
        quantizer(torch.ones(1, 4, 12))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


def test_both_spellings_of_weight_norm_load() -> None:
    old = weights_of("rvq_512x8x16")
    assert any(name.endswith("weight_g") for name in old)
    quantizer = ResidualVectorQuantizer(CASES["rvq_512x8x16"])
    quantizer.load_state_dict(old)
    again = ResidualVectorQuantizer(CASES["rvq_512x8x16"])
    again.load_state_dict(quantizer.state_dict())
    assert torch.equal(again.encode(io_of("rvq_512x8x16")["x"].mT), io_of("rvq_512x8x16")["codes"])


def test_a_folder_that_is_not_there_is_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match="solfa train mel_rvq --out nowhere"):
        targets.load_quantizer("nowhere")
