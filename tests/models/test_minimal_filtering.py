"""Minimal filtering and folded norms give what the plain layers do, within rounding, and only where safe."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.models import AudioEncoder, ConformerConfig, ConvStemConfig, MuQConfig, build_encoder
from solfa.models.layers import convolution
from solfa.models.layers.conformer import ConvolutionModule
from solfa.models.layers.convolution import FEWEST_CHANNELS, ConvStem
from solfa.models.layers.inference import is_plain_inference
from solfa.models.layers.minimal_filtering import add_convolution_, filter_transform
from solfa.models.layers.normalization import BatchNorm

ROUNDING = 3e-5  # of the largest value; one convolution is off by 1e-5


def with_statistics(module: nn.Module) -> nn.Module:
    """In eval mode, with norms that have learned something."""
    generator = torch.Generator().manual_seed(1)
    for norm in (m for m in module.modules() if isinstance(m, BatchNorm)):
        for tensor in (norm.running_mean, norm.bias.data):
            tensor.normal_(0, 0.3, generator=generator)
        for tensor in (norm.running_var, norm.weight.data):
            tensor.uniform_(0.5, 2, generator=generator)
    return module.eval()


def wide_stem() -> ConvStem:
    torch.manual_seed(0)
    return with_statistics(ConvStem(ConvStemConfig(n_channels=FEWEST_CHANNELS), n_mels=64, dim=8))


def wide_encoder() -> AudioEncoder:
    torch.manual_seed(0)
    stem = ConvStemConfig(n_channels=FEWEST_CHANNELS)
    conformer = ConformerConfig(n_layers=2, dim=32, feed_forward_dim=48, n_heads=4)
    return with_statistics(build_encoder(MuQConfig(stem=stem, conformer=conformer)))


def plain(stem: ConvStem, mel: Tensor, n_frames: Tensor) -> Tensor:
    """What the stem gives where gradients are asked for."""
    with torch.enable_grad():
        return stem(mel, n_frames)[0].detach()


def relative_error(expected: Tensor, got: Tensor) -> float:
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.fixture
def n_filtered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each convolution by minimal filtering."""
    calls: list[int] = []

    def counting(total: Tensor, image: Tensor, filters: Tensor) -> None:
        calls.append(1)
        add_convolution_(total, image, filters)

    monkeypatch.setattr(convolution, "add_convolution_", counting)
    return calls


@settings(max_examples=25, deadline=None)
@given(
    n_clips=st.integers(1, 3), n_bins=st.integers(1, 21), n_frames=st.integers(1, 90),
    n_in=st.sampled_from([1, 64, 67]), n_out=st.sampled_from([1, 64, 130]),
)  # fmt: skip
def test_minimal_filtering_is_a_convolution_of_any_size(
    n_clips: int, n_bins: int, n_frames: int, n_in: int, n_out: int
) -> None:
    generator = torch.Generator().manual_seed(n_bins + n_frames)
    image = torch.randn(n_clips, n_in, n_bins, n_frames, generator=generator)
    weight = torch.randn(n_out, n_in, 3, 3, generator=generator)
    total = torch.ones(n_clips, n_bins, n_frames, n_out)
    add_convolution_(total, image.permute(0, 2, 3, 1), filter_transform(weight))
    exact = 1 + F.conv2d(image.double(), weight.double(), padding=1)
    assert relative_error(exact, total.permute(0, 3, 1, 2)) < ROUNDING


def test_an_image_of_more_tiles_than_are_taken_at_once_has_no_seams() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 64, 9, 1_100, generator=generator)
    weight = torch.randn(64, 64, 3, 3, generator=generator)
    total = torch.zeros(1, 9, 1_100, 64)
    add_convolution_(total, image.permute(0, 2, 3, 1), filter_transform(weight))
    exact = F.conv2d(image.double(), weight.double(), padding=1)
    assert relative_error(exact, total.permute(0, 3, 1, 2)) < ROUNDING


@pytest.mark.parametrize("n_mels", [64, 61])
@pytest.mark.parametrize("n_frames", [[256], [255, 130], [257, 1, 200]])
def test_a_filtered_stem_gives_what_the_plain_one_does(
    n_mels: int, n_frames: list[int], n_filtered: list[int]
) -> None:
    torch.manual_seed(0)
    config = ConvStemConfig(n_channels=FEWEST_CHANNELS)
    stem = with_statistics(ConvStem(config, n_mels, dim=8))
    mel, lengths = torch.randn(len(n_frames), max(n_frames), n_mels), torch.tensor(n_frames)
    expected = plain(stem, mel, lengths)
    assert not n_filtered
    with torch.no_grad():
        assert relative_error(expected, stem(mel, lengths)[0]) < ROUNDING
    assert n_filtered


def load_others(stem: ConvStem) -> None:
    stem.load_state_dict({name: 0.5 * tensor for name, tensor in stem.state_dict().items()})


def assign_others(stem: ConvStem) -> None:
    stem.load_state_dict({name: 0.5 * tensor for name, tensor in stem.state_dict().items()}, assign=True)


def learn(stem: ConvStem) -> None:
    optimizer = torch.optim.SGD(stem.parameters(), lr=0.1)
    stem.train()(torch.randn(2, 64, 64), torch.tensor([64, 64]))[0].square().sum().backward()
    optimizer.step()
    stem.eval()


def overwrite(stem: ConvStem) -> None:
    stem.blocks[0].conv_out.weight.data.mul_(-1)  # which no version counter sees


@pytest.mark.parametrize("change", [load_others, assign_others, learn, overwrite])
def test_filters_follow_every_change_of_the_weights(
    change: Callable[[ConvStem], None], n_filtered: list[int]
) -> None:
    stem, mel, n_frames = wide_stem(), torch.randn(1, 256, 64), torch.tensor([256])
    with torch.no_grad():
        before = stem(mel, n_frames)[0]
    change(stem)
    with torch.no_grad():
        after = stem(mel, n_frames)[0]
    assert len(n_filtered) >= 2
    assert relative_error(before, after) > 0.01
    assert relative_error(plain(stem, mel, n_frames), after) < ROUNDING


def test_an_encoder_in_eval_mode_can_still_learn() -> None:
    stem = wide_stem()
    stem(torch.randn(1, 256, 64), torch.tensor([256]))[0].sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in stem.blocks[0].conv_out.parameters())


def test_a_frozen_stem_passes_gradients_on() -> None:
    stem = wide_stem().requires_grad_(False)
    mel = torch.randn(1, 256, 64, requires_grad=True)
    stem(mel, torch.tensor([256]))[0].sum().backward()
    assert mel.grad is not None and bool(mel.grad.any())


def test_statistics_are_learned_even_without_gradients() -> None:
    stem = wide_stem().train()
    before = stem.blocks[0].norm_out.running_mean.clone()
    with torch.no_grad():
        stem(torch.randn(1, 256, 64), torch.tensor([256]))
    assert not torch.equal(before, stem.blocks[0].norm_out.running_mean)


@torch.no_grad()
def test_only_float32_in_eval_mode_without_autocast_is_plain_inference() -> None:
    block, image = wide_stem().blocks[0], torch.zeros(1)
    assert is_plain_inference(block, image)
    assert not is_plain_inference(block, image.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_plain_inference(block, image)
    block.norm_out.train()
    assert not is_plain_inference(block, image)


@pytest.mark.parametrize("n_frames", [1, 10, 33])
def test_a_folded_depthwise_convolution_gives_what_the_plain_one_does(n_frames: int) -> None:
    torch.manual_seed(0)
    module = with_statistics(ConvolutionModule(ConformerConfig(dim=32, n_heads=4)))
    frames, padding = torch.randn(2, n_frames, 32), torch.zeros(2, n_frames, dtype=torch.bool)
    padding[1, n_frames // 2 :] = True
    expected = module(frames, padding, None).detach()
    with torch.no_grad():
        assert relative_error(expected, module(frames, padding, None)) < 1e-6


@settings(max_examples=6, deadline=None)
@given(lengths=st.lists(st.integers(16_000, 40_000), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_a_clip_has_the_same_features_alone_and_padded_where_filtering_is_active(
    lengths: list[int], seed: int
) -> None:
    encoder, generator = wide_encoder().requires_grad_(False), torch.Generator().manual_seed(seed)
    clips = [0.3 * torch.randn(1, n, generator=generator) for n in lengths]
    batch = torch.cat([F.pad(clip, (0, max(lengths) - clip.shape[1]), value=0.9) for clip in clips])
    together = encoder(batch, torch.tensor(lengths))
    for i, clip in enumerate(clips):
        alone = encoder(clip).layers[:, 0]
        n = int(together.n_frames[i])
        assert n == alone.shape[1]
        assert (together.layers[:, i, :n] - alone).abs().max() < 1e-5
        assert not together.layers[:, i, n:].any()
