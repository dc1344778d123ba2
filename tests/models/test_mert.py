"""MERT: parity with the original program, and features that do not depend on the batch."""

import functools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import solfa
from golden_data import GOLDEN, MERT, config_of, io_of, relative_error, weights_of
from solfa import checkpoint
from solfa.config import override, save_config
from solfa.features import ConstantQConfig
from solfa.models import (
    AudioEncoder,
    MERTConfig,
    ModelError,
    TransformerConfig,
    WaveformConvolutionsConfig,
    build_encoder,
)
from solfa.models.layers import transformer
from solfa.models.layers import waveform as waveform_layer
from solfa.models.layers.transformer import TransformerLayer, relaxed_attention
from solfa.models.mert import standardize
from solfa.models.published import CHECKPOINTS
from solfa.models.published.mert import mert_config, mert_weights
from solfa.recipes import recipe

TINY = MERTConfig(
    convolutions=WaveformConvolutionsConfig(n_channels=8),
    transformer=TransformerConfig(
        n_layers=2, dim=16, feed_forward_dim=24, n_heads=2, position_kernel_frames=8, position_groups=2
    ),
)
V1_330M = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
V1_95M = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}


def tiny(**changes: Any) -> AudioEncoder:
    torch.manual_seed(0)
    return build_encoder(override(TINY, changes)).eval()


@functools.cache
def golden(case: str, normalize: bool = False) -> AudioEncoder:
    encoder = solfa.load(GOLDEN / case)
    if normalize:
        state, encoder = encoder.state_dict(), build_encoder(override(encoder.config, {"normalize": True}))
        encoder.load_state_dict(state)
    return encoder.eval().requires_grad_(False)


def official_folder(tmp_path: Path, case: str = "mert_95m_style") -> Path:
    folder = tmp_path / "official"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(GOLDEN / case / name, folder / name)
    return folder


@pytest.mark.parametrize("case", MERT)
def test_every_layer_equals_the_original(case: str) -> None:
    io, encoder = io_of(case), golden(case)
    convolved = encoder.frontend.convolutions(io["wav"])
    assert relative_error(io["conv_features"], convolved) < 1e-4
    hidden = encoder(io["wav"])
    original = [io[name] for name in sorted(io) if name.startswith("hidden_")]
    assert len(original) == len(hidden.states)
    assert max(relative_error(g, h) for g, h in zip(original, hidden.states, strict=True)) < 1e-4
    assert relative_error(io["last_hidden_state"], hidden.last) < 1e-4


@pytest.mark.parametrize(("size", "settings", "n_parameters"), [
    ("mert_95m", V1_95M, 94_371_712), ("mert_330m", V1_330M, 315_428_992),
])  # fmt: skip
def test_full_size_models_have_the_published_names_and_shapes(
    size: str, settings: dict[str, int], n_parameters: int
) -> None:
    stored = json.loads((GOLDEN / "manifests" / f"{size}.json").read_text())
    published = config_of("mert_330m_style" if size == "mert_330m" else "mert_95m_style") | settings
    published |= {"conv_dim": [512] * 7, "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16}
    config = mert_config(published)
    with torch.device("meta"):
        encoder = build_encoder(config)
        expected = mert_weights({name: torch.empty(shape) for name, shape in stored.items()})
    ours = encoder.state_dict()
    assert {n: w.shape for n, w in ours.items()} == {n: w.shape for n, w in expected.items()}
    hiding_vector = config.transformer.dim  # of training only
    assert sum(w.numel() for w in ours.values()) + hiding_vector == n_parameters
    if size == "mert_95m":
        assert config == MERTConfig()


@pytest.mark.parametrize("n_samples", [400, 719, 720, 24_000, 24_079, 24_080])
def test_frames_are_counted_as_the_convolutions_make_them(n_samples: int) -> None:
    encoder = tiny()
    hidden = encoder(torch.zeros(1, n_samples))
    assert hidden.last.shape[1] == encoder.frontend.n_frames(n_samples) == (n_samples - 80) // 320
    assert encoder(torch.zeros(1, 30_000), torch.tensor([n_samples])).n_frames.tolist() == [
        hidden.last.shape[1]
    ]


def test_frames_of_known_clips_are_as_many_as_published() -> None:
    convolutions = tiny().frontend.convolutions
    assert [convolutions.n_frames(n) for n in (120_000, 122_880, 720_000)] == [374, 383, 2249]
    assert (tiny().frame_rate, golden("mert_16khz_cqt_input").frame_rate) == (75.0, 50.0)


def test_layers_are_numbered_from_the_input_to_the_last() -> None:
    encoder = tiny(**{"transformer.norm": "before"})
    hidden = encoder(0.1 * torch.randn(2, 8_000))
    assert hidden.layers.shape == (encoder.n_layers + 1, 2, 24, encoder.dim)
    assert torch.equal(hidden.layers[-1], hidden.last)
    assert torch.allclose(hidden.last.mean(-1), torch.zeros(2, 24), atol=1e-5)  # only the last is normalised
    assert not torch.allclose(hidden.layers[1].mean(-1), torch.zeros(2, 24), atol=1e-5)


@settings(max_examples=16, deadline=None)
@given(
    case=st.sampled_from(MERT),
    normalize=st.booleans(),
    lengths=st.lists(st.integers(400, 16_000), min_size=1, max_size=4),
    padding=st.integers(0, 3_000),
    seed=st.integers(0, 99),
)
def test_a_clip_has_the_same_features_alone_and_padded_in_any_batch(
    case: str, normalize: bool, lengths: list[int], padding: int, seed: int
) -> None:
    encoder, generator = golden(case, normalize), torch.Generator().manual_seed(seed)
    clips = [0.3 * torch.randn(1, n, generator=generator) for n in lengths]
    longest = max(lengths) + padding
    batch = torch.cat([torch.nn.functional.pad(c, (0, longest - c.shape[1]), value=0.9) for c in clips])
    together = encoder(batch, torch.tensor(lengths))
    for i, clip in enumerate(clips):
        alone = encoder(clip).layers[:, 0]
        n = int(together.n_frames[i])
        assert n == alone.shape[1]
        assert (together.layers[:, i, :n] - alone).abs().max() < 1e-5
        assert not together.layers[:, i, n:].any()


def test_clips_in_another_order_and_in_smaller_parts_keep_their_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder, lengths = golden("mert_95m_style"), torch.tensor([9_000, 12_000, 5_000])
    waveform = torch.randn(3, 12_000, generator=torch.Generator().manual_seed(0))
    states = encoder(waveform, lengths).layers
    monkeypatch.setattr(waveform_layer, "SAMPLES_AT_ONCE", 1)
    order = torch.tensor([2, 0, 1])
    assert (encoder(waveform[order], lengths[order]).layers - states[:, order]).abs().max() < 1e-5


def test_silence_gives_finite_features() -> None:
    for case in MERT:
        assert torch.isfinite(golden(case, normalize=True)(torch.zeros(1, 8_000)).layers).all()


def test_a_standardized_clip_has_mean_0_and_variance_1_over_its_own_samples() -> None:
    waveform = 3 + 0.2 * torch.randn(2, 5_000, generator=torch.Generator().manual_seed(0))
    standard = standardize(waveform, torch.tensor([4_000, 5_000]))
    for clip, n in zip(standard, (4_000, 5_000), strict=True):
        assert float(clip[:n].mean()) == pytest.approx(0, abs=1e-5)
        assert float(clip[:n].var(correction=0)) == pytest.approx(1, abs=1e-4)
    assert not standard[0, 4_000:].any()


def test_a_clip_shorter_than_a_frame_is_refused_with_the_cure() -> None:
    for waveform, lengths in ((torch.zeros(1, 399), None), (torch.zeros(2, 800), torch.tensor([800, 399]))):
        with pytest.raises(ValueError, match=r"399 samples is too short: at least 400 samples.*Pad it"):
            tiny()(waveform, lengths)


def test_without_half_precision_no_matrix_of_relaxed_weights_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    plain = transformer.relaxed_attention
    monkeypatch.setattr(transformer, "relaxed_attention", lambda *given: made.append(1) or plain(*given))
    encoder, waveform = tiny(**{"transformer.attention_relax": 32.0}), 0.1 * torch.randn(1, 8_000)
    encoder(waveform)
    assert not made
    with torch.autocast("cpu", torch.bfloat16):
        encoder(waveform)
    assert made


def test_relaxed_attention_is_attention_that_does_not_overflow() -> None:
    waveform = torch.randn(1, 8_000, generator=torch.Generator().manual_seed(0))
    plain, relaxed = tiny(), tiny(**{"transformer.attention_relax": 32.0})
    lengths = torch.tensor([6_000])
    assert (relaxed(waveform, lengths).layers - plain(waveform, lengths).layers).abs().max() < 1e-5
    large = torch.full((1, 1, 2, 64), 100.0, dtype=torch.float16)  # their product is 640,000 > 65,504
    assert torch.isinf(large @ large.mT).all()
    assert torch.equal(relaxed_attention(large, large, None, 32.0), torch.full((1, 1, 2, 2), 0.5))


def test_deepnorm_weighs_the_residual_and_starts_smaller() -> None:
    torch.manual_seed(0)
    config = TransformerConfig(n_layers=8, dim=64, feed_forward_dim=64, n_heads=2, norm="deep")
    layer = TransformerLayer(config).eval()
    x = torch.randn(1, 5, 64)
    middle = layer.attention_norm(2 * x + layer.attention(x, None))  # (2 * 8) ** 0.25
    assert torch.equal(layer(x, None), layer.feed_forward_norm(2 * middle + layer.feed_forward(middle)))
    ratio = layer.attention.value.weight.detach().std() / layer.attention.query.weight.detach().std()
    assert float(ratio) == pytest.approx((8 * 8) ** -0.25, rel=0.1)


def test_both_spellings_of_weight_norm_load_alike(tmp_path: Path) -> None:
    folder = official_folder(tmp_path)
    renamed = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): w
        for name, w in weights_of("mert_95m_style").items()
    }
    save_file(renamed, folder / "model.safetensors")
    first, second = golden("mert_95m_style").state_dict(), solfa.load(folder).state_dict()
    assert all(torch.equal(w, second[name]) for name, w in first.items())


@pytest.mark.parametrize("stated", [{"do_normalize": True}, {"do_normalize": False}, {}])
def test_the_checkpoints_own_file_decides_whether_clips_are_standardised(
    tmp_path: Path, stated: dict[str, bool]
) -> None:
    folder = official_folder(tmp_path)
    assert not solfa.load(folder).config.normalize
    (folder / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 24_000} | stated))
    assert solfa.load(folder).config.normalize == stated.get("do_normalize", True)


def test_a_first_generation_file_takes_its_sample_rate_from_the_preprocessor() -> None:
    published = config_of("mert_95m_style") | {"model_type": "hubert"}
    del published["sample_rate"]
    assert mert_config(published, {"sampling_rate": 16_000, "do_normalize": True}).sample_rate == 16_000
    with pytest.raises(ValueError, match="Fetch the latter too"):
        mert_config(published)


def test_constant_q_frames_that_do_not_line_up_are_refused() -> None:
    with pytest.raises(ValueError, match="give both the same sample_rate and hop_length"):
        mert_config(config_of("mert_16khz_cqt_input") | {"sample_rate": 24_000})
    assert mert_config(config_of("mert_16khz_cqt_input")).constant_q == ConstantQConfig(sample_rate=16_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu', known: 'gelu'"),
        ({"conv_dim": [16, 32]}, "one width for all"),
        ({"do_stable_layer_norm": True, "deepnorm": True}, "known: one of them"),
    ],
)
def test_a_published_setting_that_we_do_not_build_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mert_config(config_of("mert_95m_style") | change)


def test_a_config_that_lacks_settings_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"lacks conv_dim, .*Fetch it again"):
        mert_config({"model_type": "mert_model"})


def test_weights_that_do_not_fit_are_reported_name_by_name(tmp_path: Path) -> None:
    folder, weights = official_folder(tmp_path), weights_of("mert_95m_style")
    del weights["encoder.layer_norm.bias"]
    weights["encoder.layers.7.layer_norm.bias"] = torch.zeros(32)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"missing: context\.norm\.bias") as error:
        solfa.load(folder)
    assert "unexpected: context.layers.7.attention_norm.bias" in str(error.value)


def test_known_names_beside_the_encoder_are_tolerated_and_others_are_refused() -> None:
    assert not mert_weights({"feature_extractor_cqt.cqt_kernels_real": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"not of a MERT model: encoder\.strange"):
        mert_weights({"encoder.strange": torch.zeros(1)})


def test_pickled_weights_load_like_safetensors(tmp_path: Path) -> None:
    folder = official_folder(tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    waveform = io_of("mert_95m_style")["wav"]
    assert torch.equal(solfa.load(folder)(waveform).last, golden("mert_95m_style")(waveform).last)


class Malicious:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    folder, trace = official_folder(tmp_path), tmp_path / "it ran"
    (folder / "model.safetensors").unlink()
    torch.save({"encoder.layer_norm.bias": Malicious(trace)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds code that would run(.|\n)*model\.safetensors instead"):
        solfa.load(folder)
    assert not trace.exists()


@pytest.mark.parametrize(("content", "cure"), [
    (b"not a pickle", "damaged"), (b"", "damaged"), (["a list"], "no table of tensors"),
])  # fmt: skip
def test_a_damaged_pickle_is_refused(tmp_path: Path, content: Any, cure: str) -> None:
    folder = official_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ModelError, match=cure):
        solfa.load(folder)


def test_a_run_with_this_encoder_loads(tmp_path: Path) -> None:
    encoder = tiny()
    checkpoint.save(tmp_path, 1, {f"encoder.{name}": w for name, w in encoder.state_dict().items()}, {})
    save_config(override(recipe("muq_tiny"), {"objective.encoder": TINY}), tmp_path / checkpoint.CONFIG)
    waveform = torch.randn(1, 8_000)
    assert torch.equal(solfa.load(tmp_path)(waveform).last, encoder(waveform).last)


def test_the_licence_of_every_published_checkpoint_is_known() -> None:
    names = ["MERT-v0", "MERT-v0-public", "MERT-v1-95M", "MERT-v1-330M"]
    assert {CHECKPOINTS[f"m-a-p/{name}"].licence for name in names} == {"CC-BY-NC-4.0"}
