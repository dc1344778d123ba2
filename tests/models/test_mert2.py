"""MERT-v2: names, shapes and sizes as published, and the numbers of a second implementation."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import solfa
from solfa import compat
from solfa.config import ConfigError, from_dict, to_dict
from solfa.models import ModelError, build_encoder, guided_layer
from solfa.models.mert2 import MERT2, MERT2Config
from solfa.models.published.mert2 import NAMES, mert2_config, mert2_weights
from solfa.models.published.names import inverted, renamed

PUBLISHED = {
    "model_type": "mert2", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "num_mel_bins": 128, "sampling_rate": 24_000, "n_fft": 2048,
    "win_length": 2048, "hop_length": 240, "subsampling_channels": [128, 512, 1024],
    "subsampling_depths": [3, 4, 5],
    "conv_depthwise_kernel_size": 31, "rotary_embedding_base": 10_000, "layer_norm_eps": 1e-5,
    "subsampling_layer_norm_eps": 1e-6, "variant": "30s",
}  # fmt: skip
SMALL = PUBLISHED | {
    "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_mel_bins": 16, "subsampling_channels": [16, 20, 24], "subsampling_depths": [2, 1, 2],
    "conv_depthwise_kernel_size": 5,
}  # fmt: skip
BLOCK = 24_175_616  # parameters of one
CLIP = 0.1 * torch.randn(1, 26_000, generator=torch.Generator().manual_seed(5))


def published_shapes(settings: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor of a published file, written down from its documented layout."""
    shapes: dict[str, tuple[int, ...]] = {
        "feature_extractor.mel_mean": (settings["num_mel_bins"],),
        "feature_extractor.mel_std": (settings["num_mel_bins"],),
        "feature_extractor.spectrogram.window": (settings["win_length"],),
        "feature_extractor.mel_scale.fb": (settings["n_fft"] // 2 + 1, settings["num_mel_bins"]),
    }

    def affine(name: str, *weight: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = weight, weight[:1]

    channels, before = settings["subsampling_channels"], None
    for stage, (c, depth) in enumerate(zip(channels, settings["subsampling_depths"], strict=True)):
        if before is not None:
            affine(f"subsampling_module.{stage}.resampling_layer.0", before)
            affine(f"subsampling_module.{stage}.resampling_layer.2", c, before, 2)
        for block in range(depth):
            inside = f"subsampling_module.{stage}.convnext_layers.{block}"
            affine(f"{inside}.depthwise_block.1", c, 1, 7)
            affine(f"{inside}.pointwise_block.0", c)
            affine(f"{inside}.pointwise_block.1", 4 * c, c)
            shapes[f"{inside}.pointwise_block.3.weight"] = (1, 1, 4 * c)
            shapes[f"{inside}.pointwise_block.3.bias"] = (1, 1, 4 * c)
            affine(f"{inside}.pointwise_block.4", c, 4 * c)
        before = c
    dim, wide, taps = (
        settings[n] for n in ("hidden_size", "intermediate_size", "conv_depthwise_kernel_size")
    )
    for layer in range(settings["num_hidden_layers"]):
        inside = f"layers.{layer}"
        for norm in ("ffn1_layer_norm", "attn_layer_norm", "ffn2_layer_norm", "final_layer_norm"):
            affine(f"{inside}.{norm}", dim)
        affine(f"{inside}.conv_module.layer_norm", dim)
        affine(f"{inside}.conv_module.conv_block.4.1", dim)
        for ffn in ("ffn1", "ffn2"):
            affine(f"{inside}.{ffn}.w_1", wide, dim)
            affine(f"{inside}.{ffn}.w_2", dim, wide)
        for projection in ("query", "key", "value", "out"):
            affine(f"{inside}.attn.{projection}_proj", dim, dim)
        shapes[f"{inside}.conv_module.conv_block.1.weight"] = (2 * dim, dim, 1)
        shapes[f"{inside}.conv_module.conv_block.3.weight"] = (dim, 1, taps)
        shapes[f"{inside}.conv_module.conv_block.6.weight"] = (dim, dim, 1)
    return shapes


def random_weights(settings: dict[str, Any]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: torch.randn(shape, generator=generator) / math.sqrt(max(1, math.prod(shape[1:])))
        for name, shape in published_shapes(settings).items()
    }
    weights["feature_extractor.mel_std"] = weights["feature_extractor.mel_std"].abs() * 10 + 5
    weights["feature_extractor.mel_mean"] = weights["feature_extractor.mel_mean"] * 10 - 30
    return weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint in the published layout."""
    folder = tmp_path_factory.mktemp("mert2")
    (folder / "config.json").write_text(json.dumps(SMALL))
    save_file(random_weights(SMALL), folder / "model.safetensors")
    return folder


def reference(
    waveform: np.ndarray, weights: dict[str, np.ndarray], settings: dict[str, Any]
) -> list[np.ndarray]:
    """The states of all blocks of one clip, in NumPy and float64, from a description of the architecture."""
    w, n_fft, hop = weights, settings["n_fft"], settings["hop_length"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].reshape(len(w[f"{name}.weight"]), -1).T + w.get(f"{name}.bias", 0.0)

    def norm(x: np.ndarray, name: str, eps: float) -> np.ndarray:
        centred = x - x.mean(1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(1, keepdims=True) + eps)
        return centred * scale * w[f"{name}.weight"] + w[f"{name}.bias"]

    def gelu(x: np.ndarray) -> np.ndarray:
        return np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))(x)

    def depthwise(x: np.ndarray, name: str) -> np.ndarray:
        kernel = w[f"{name}.weight"][:, 0]
        margin = kernel.shape[1] // 2
        padded = np.pad(x, ((margin, margin), (0, 0)))
        taps = [padded[tap : tap + len(x)] * kernel[:, tap] for tap in range(kernel.shape[1])]
        return sum(taps) + w.get(f"{name}.bias", 0.0)

    # Power in triangles on the HTK scale, in decibels, each band by its own statistics.
    mirrored = np.pad(waveform, n_fft // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    frames = [mirrored[i : i + n_fft] * window for i in range(0, len(mirrored) - n_fft + 1, hop)][:-1]
    power = np.abs(np.fft.rfft(np.stack(frames), axis=1)) ** 2
    hertz = np.linspace(0, settings["sampling_rate"] / 2, n_fft // 2 + 1)
    top = 2595 * np.log10(1 + settings["sampling_rate"] / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, settings["num_mel_bins"] + 2) / 2595) - 1)
    bands = np.stack(
        [np.clip(np.minimum((hertz - a) / (b - a), (c - hertz) / (c - b)), 0, None)
         for a, b, c in zip(edges, edges[1:], edges[2:], strict=False)]
    )  # fmt: skip
    x = 10 * np.log10(np.maximum(power @ bands.T, 1e-10))
    x = (x - w["feature_extractor.mel_mean"]) / np.maximum(w["feature_extractor.mel_std"], 1e-5)

    for stage, depth in enumerate(settings["subsampling_depths"]):
        inside = f"subsampling_module.{stage}"
        if stage:
            x = norm(x, f"{inside}.resampling_layer.0", 1e-6)
            kernel = w[f"{inside}.resampling_layer.2.weight"]
            half = len(x) // 2
            x = x[: 2 * half : 2] @ kernel[:, :, 0].T + x[1 : 2 * half : 2] @ kernel[:, :, 1].T
            x = x + w[f"{inside}.resampling_layer.2.bias"]
        for block in range(depth):
            part = f"{inside}.convnext_layers.{block}"
            y = norm(depthwise(x, f"{part}.depthwise_block.1"), f"{part}.pointwise_block.0", 1e-6)
            y = gelu(linear(y, f"{part}.pointwise_block.1"))
            strength = np.sqrt((y**2).sum(0))
            scaled = y * strength / (strength.mean() + 1e-6)
            y = w[f"{part}.pointwise_block.3.weight"][0] * scaled + w[f"{part}.pointwise_block.3.bias"][0] + y
            x = x + linear(y, f"{part}.pointwise_block.4")

    states, n_heads = [], settings["num_attention_heads"]
    size = settings["hidden_size"] // n_heads
    angle = np.outer(np.arange(len(x)), 1 / 10_000 ** (np.arange(0, size, 2) / size))
    cos, sin = (np.concatenate([f(angle), f(angle)], 1) for f in (np.cos, np.sin))

    def turned(head: np.ndarray) -> np.ndarray:
        swapped = np.concatenate([-head[:, size // 2 :], head[:, : size // 2]], 1)
        return head * cos + swapped * sin

    for layer in range(settings["num_hidden_layers"]):
        part = f"layers.{layer}"
        eps = settings["layer_norm_eps"]
        y = norm(x, f"{part}.ffn1_layer_norm", eps)
        x = x + 0.5 * linear(gelu(linear(y, f"{part}.ffn1.w_1")), f"{part}.ffn1.w_2")
        y = norm(x, f"{part}.attn_layer_norm", eps)
        q, k, v = (linear(y, f"{part}.attn.{name}_proj") for name in ("query", "key", "value"))
        heads = []
        for start in range(0, settings["hidden_size"], size):
            of_head = slice(start, start + size)
            logits = turned(q[:, of_head]) @ turned(k[:, of_head]).T / math.sqrt(size)
            shares = np.exp(logits - logits.max(1, keepdims=True))
            heads.append(shares / shares.sum(1, keepdims=True) @ v[:, of_head])
        x = x + linear(np.concatenate(heads, 1), f"{part}.attn.out_proj")
        y = linear(norm(x, f"{part}.conv_module.layer_norm", eps), f"{part}.conv_module.conv_block.1")
        y = y[:, : y.shape[1] // 2] / (1 + np.exp(-y[:, y.shape[1] // 2 :]))
        y = depthwise(y, f"{part}.conv_module.conv_block.3")
        y = gelu(norm(y, f"{part}.conv_module.conv_block.4.1", eps))
        x = x + linear(y, f"{part}.conv_module.conv_block.6")
        y = norm(x, f"{part}.ffn2_layer_norm", eps)
        x = x + 0.5 * linear(gelu(linear(y, f"{part}.ffn2.w_1")), f"{part}.ffn2.w_2")
        x = norm(x, f"{part}.final_layer_norm", eps)
        states.append(x)
    return states


def test_the_full_size_model_has_the_published_names_shapes_and_number_of_parameters() -> None:
    with torch.device("meta"):
        model = build_encoder(mert2_config(PUBLISHED))
        published = {name: torch.empty(shape) for name, shape in published_shapes(PUBLISHED).items()}
    assert sum(p.numel() for p in model.parameters()) == 632_295_808
    assert sum(p.numel() for p in model.context.parameters()) == 24 * BLOCK
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {name: tuple(tensor.shape) for name, tensor in mert2_weights(published).items()} == wanted
    assert mert2_config(PUBLISHED) == MERT2Config()
    assert (model.sample_rate, model.frame_rate, model.n_layers, model.dim) == (24_000, 25.0, 24, 1024)


def test_every_layer_equals_the_second_implementation(folder: Path) -> None:
    model = solfa.load(folder)
    weights = {name: tensor.double().numpy() for name, tensor in random_weights(SMALL).items()}
    expected = reference(CLIP[0].double().numpy(), weights, SMALL)
    for clip, tolerance in ((CLIP, 1e-4), (CLIP.double(), 1e-5)):
        encoder = model if clip.dtype == torch.float32 else model.double()
        states = encoder(clip).states[1:]
        assert len(states) == len(expected)
        for state, known in zip(states, expected, strict=True):
            assert state[0].shape == known.shape
            off = (state[0].double() - torch.from_numpy(known)).abs().max() / np.abs(known).max()
            assert float(off) < tolerance


@pytest.mark.parametrize("n_samples", [1_025, 9_601, 25_999, 24_000])
def test_a_clip_has_the_states_that_it_has_alone(folder: Path, n_samples: int) -> None:
    model = solfa.load(folder)
    alone = model(CLIP[:, :n_samples]).layers
    padded = model(torch.cat([CLIP, CLIP.flip(1)]), [26_000, n_samples])
    beside = model(torch.cat([CLIP.flip(1), CLIP]), [26_000, n_samples])
    n_frames = n_samples // 960
    assert alone.shape[2] == n_frames and padded.n_frames.tolist() == [27, n_frames]
    own = beside.layers[:, 1:, :n_frames]
    assert float((own - alone).abs().max()) < 1e-4 * float(alone.abs().max().clamp(min=1))
    assert not beside.layers[:, 1, n_frames:].any()


def test_a_band_without_deviation_counts_as_one_with_the_least(folder: Path) -> None:
    statistics = solfa.load(folder).frontend.statistics
    statistics.mel_std[3] = 0.0
    decibels = torch.zeros(1, 2, 16)
    expected = -statistics.mel_mean / statistics.mel_std.clamp(min=1e-5)
    assert torch.allclose(statistics(decibels)[0, 0], expected) and float(statistics.mel_std[3]) == 0


def test_what_is_cut_from_a_clip_has_other_states_than_within_it(folder: Path) -> None:
    """Responses are normalised over the whole clip, as the docs say."""
    model = solfa.load(folder)
    whole, cut = model(CLIP).states[0][:, :5], model(CLIP[:, :24_000]).states[0][:, :5]
    assert float((whole - cut).abs().max()) > 1e-5


def test_too_short_a_clip_is_refused_with_the_cure(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"1024 samples is too short: at least 1025 samples .*Pad it"):
        solfa.load(folder)(CLIP[:, :1024])


def test_the_published_call_style(folder: Path) -> None:
    model = compat.MERT2Model.from_pretrained(folder)
    extractor = compat.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    assert (extractor.sampling_rate, extractor.do_normalize) == (24_000, False)
    inputs = extractor([CLIP[0].numpy(), CLIP[0, :12_000].numpy()], sampling_rate=24_000, padding=True)
    output = model(**inputs, output_hidden_states=True)
    assert isinstance(output, compat.MERT2Output)
    states = solfa.load(folder)(torch.as_tensor(inputs.input_values), [26_000, 12_000]).states
    assert len(output.hidden_states) == 3 and torch.equal(output.hidden_states[0], states[1])
    assert torch.equal(output["last_hidden_state"], states[-1])
    assert output.feature_attention_mask.sum(1).tolist() == [27, 12]
    plain = model(**inputs, return_dict=False)
    assert len(plain) == 2 and torch.equal(plain[0], output.last_hidden_state)
    only = model(inputs.input_values, layers=[1], output_hidden_states=True)
    assert torch.equal(only.last_hidden_state, model(inputs.input_values, output_hidden_states=True)[1][0])
    with pytest.raises(ModelError, match=r"is a MERT2, and solfa\.compat\.MERTModel holds a MERT"):
        compat.MERTModel.from_pretrained(folder)


def test_it_is_saved_and_loaded_and_trains(folder: Path, tmp_path: Path) -> None:
    model = solfa.load(folder)
    saved = model.save_pretrained(tmp_path / "saved")
    assert torch.equal(solfa.load(saved)(CLIP).last, model(CLIP).last)
    assert from_dict(MERT2Config, to_dict(model.config)) == model.config
    fresh = MERT2(model.config)
    fresh(CLIP).last.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fresh.parameters())


def test_silence_has_finite_states_and_gradients(folder: Path) -> None:
    model = solfa.load(folder).requires_grad_(True)
    silence = torch.zeros(1, 24_000, requires_grad=True)
    model(silence).last.sum().backward()
    assert silence.grad is not None and silence.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_tensors_that_no_published_file_has_are_named() -> None:
    with pytest.raises(ValueError, match=r"not of a MERT-v2 model: layers\.0\.attn\.pos_bias, lm_head"):
        mert2_weights({"layers.0.attn.pos_bias": torch.ones(1), "lm_head.weight": torch.ones(1)})


def test_each_published_name_has_one_of_ours() -> None:
    model = build_encoder(mert2_config(SMALL))
    there = renamed(model.state_dict(), inverted(NAMES), (), "solfa MERT2")
    known = published_shapes(SMALL)
    computed = {"feature_extractor.spectrogram.window", "feature_extractor.mel_scale.fb"}
    assert there.keys() == known.keys() - computed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_mel_bins": 64}, "begins with 64, n_mels, and ends with 1024, dim"),
        ({"subsampling_depths": [3, 4]}, "name the same stages"),
        ({"num_attention_heads": 7}, "1024 does not split into 7 heads"),
        ({"win_length": 1200}, "win_length is 1200, known: 2048"),
        ({"hop_length": None}, "hop_length"),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    settings = {name: value for name, value in (PUBLISHED | change).items() if value is not None}
    with pytest.raises((ConfigError, ValueError), match=message):
        mert2_config(settings)


def test_licence_and_layers_are_those_of_the_card() -> None:
    from solfa.models.published import CHECKPOINTS

    assert {CHECKPOINTS[f"m-a-p/MERT-v2-{name}"].licence for name in ("30s", "FullSong")} == {"CC-BY-NC-4.0"}
    with torch.device("meta"):
        model = build_encoder(MERT2Config())
    assert guided_layer(model, "m-a-p/MERT-v2-30s", "key").number == 4
    assert guided_layer(model, "m-a-p/MERT-v2-FullSong", "key").number == 23
    assert "30s or m-a-p/MERT-v2-FullSong" in guided_layer(model, None, "genre").reason
