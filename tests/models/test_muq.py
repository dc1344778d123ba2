"""MuQ: parity with the original program, and features that do not depend on the batch."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import solfa
from golden_data import GOLDEN, MUQ, config_of, io_of, relative_error, weights_of
from solfa.models import ConformerConfig, ConvStemConfig, ModelError, MuQ, MuQConfig, build_encoder
from solfa.models.encoder import check_waveform
from solfa.models.published.muq import muq_config, muq_weights
from solfa.objectives.masked import LinearCodeHead, LinearValueHead
from solfa.targets import Codes, MelFramesConfig, StackedMelConfig, Values, build_target


def tiny() -> MuQ:
    torch.manual_seed(0)
    conformer = ConformerConfig(n_layers=2, dim=32, feed_forward_dim=48, n_heads=4)
    return MuQ(MuQConfig(stem=ConvStemConfig(n_channels=4), conformer=conformer)).eval()


@pytest.mark.parametrize("case", MUQ)
def test_every_layer_equals_the_original(case: str) -> None:
    io = io_of(case)
    hidden = solfa.load(GOLDEN / case)(io["wav"])
    golden = [io[name] for name in sorted(io) if name.startswith("hidden_")]
    assert len(golden) == len(hidden.states)
    assert max(relative_error(g, h) for g, h in zip(golden, hidden.states, strict=True)) < 1e-4


@pytest.mark.parametrize("case", MUQ)
def test_logits_and_masked_loss_equal_the_original(case: str) -> None:
    io, weights = io_of(case), weights_of(case)
    n_codebooks = config_of(case)["rvq_n_codebooks"] if case.startswith("muq_rvq") else 1
    encoder = solfa.load(GOLDEN / case)
    head = LinearCodeHead(encoder.dim, n_codebooks, len(weights["model.linear.bias"]) // n_codebooks)
    head.linear.load_state_dict({name: weights[f"model.linear.{name}"] for name in ("weight", "bias")})

    logits = head(encoder(io["wav"]).last[:, :8].flatten(0, 1)).flatten(1)
    assert relative_error(io["logits_first_8_frames"].flatten(0, 1), logits) < 1e-4

    hidden = encoder(io["masked_wav"]).last
    mask = torch.zeros(hidden.shape[:2], dtype=torch.bool)
    mask[io["mask_token_indices"][:, 0], io["mask_token_indices"][:, 1]] = True
    codes = Codes(io["target_tokens"].view(len(hidden), n_codebooks, -1), 1024)
    step = head.loss(hidden[mask], codes, mask)
    assert float(step.loss.detach() / step.count) == pytest.approx(float(io["masked_loss"]), rel=1e-5)
    accuracy = step.sums["accuracy_by_codebook"].mean() / step.count
    assert float(accuracy) == pytest.approx(float(io["masked_accuracy"]), abs=1e-7)


def test_reconstruction_loss_equals_the_original() -> None:
    case, ratio = "muq_random_25hz", 0.1
    io, weights = io_of(case), weights_of(case)
    encoder = solfa.load(GOLDEN / case)
    head = LinearValueHead(encoder.dim, 512)
    head.linear.load_state_dict({name: weights[f"model.recon_proj.{name}"] for name in ("weight", "bias")})
    hidden = encoder(io["masked_wav"]).last
    mask = torch.zeros(hidden.shape[:2], dtype=torch.bool)
    mask[io["mask_token_indices"][:, 0], io["mask_token_indices"][:, 1]] = True
    frames = build_target(MelFramesConfig(frames=StackedMelConfig())).frames(io["wav"])
    step = head.loss(hidden[mask], Values(frames), mask)
    assert ratio * float(step.loss.detach() / step.count) == pytest.approx(float(io["recon_loss"]), rel=1e-5)


def test_the_large_model_has_the_published_size() -> None:
    with torch.device("meta"):
        encoder = build_encoder(MuQConfig())
    published = 333_401_472
    besides = {"head": 1025 * 8192, "pos_conv_embed": 1024 * 64 * 128 + 128 + 1024, "cls_token": 1024}
    rvq = 8 * (512 * 16 + 16 + 16 + 16 * 512 + 512 + 512 + 1024 * 16)
    assert sum(p.numel() for p in encoder.parameters()) == published - sum(besides.values()) - rvq


def test_frame_rate_is_true() -> None:
    encoder = tiny()
    assert encoder(torch.zeros(1, 4 * 24_000)).last.shape[1] == 4 * encoder.frame_rate == 100


def test_layers_are_numbered_from_the_input_to_the_final_norm() -> None:
    encoder = tiny()
    hidden = encoder(torch.randn(2, 24_000))
    assert hidden.layers.shape == (encoder.n_layers + 1, 2, 25, encoder.dim)
    assert torch.equal(hidden.layers[-1], hidden.last)


@settings(max_examples=12, deadline=None)
@given(lengths=st.lists(st.integers(1_100, 30_000), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_clip_has_the_same_features_alone_and_padded_in_any_batch(lengths: list[int], seed: int) -> None:
    encoder, generator = tiny(), torch.Generator().manual_seed(seed)
    clips = [0.3 * torch.randn(1, n, generator=generator) for n in lengths]
    longest = max(lengths)
    batch = torch.cat(
        [torch.nn.functional.pad(clip, (0, longest - clip.shape[1]), value=0.9) for clip in clips]
    )
    together = encoder(batch, torch.tensor(lengths))
    for i, clip in enumerate(clips):
        alone = encoder(clip).layers[:, 0]
        n = int(together.n_frames[i])
        assert n == alone.shape[1]
        assert (together.layers[:, i, :n] - alone).abs().max() < 1e-5
        assert not together.layers[:, i, n:].any()


@pytest.mark.parametrize(
    ("waveform", "cure"),
    [
        (torch.zeros(24_000), r"waveform\[None\]"),
        (torch.zeros(1, 24_000, dtype=torch.int16), "Divide integers"),
        (torch.full((1, 24_000), float("nan")), "Leave such clips out"),
    ],
)
def test_a_waveform_without_meaning_is_refused_with_the_cure(waveform: torch.Tensor, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        check_waveform(waveform, None)


def test_a_clip_too_short_for_the_front_end_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match="Pad it"):
        tiny()(torch.zeros(1, 500))


def test_lengths_beyond_the_waveform_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 24000 samples"):
        tiny()(torch.zeros(1, 24_000), torch.tensor([24_001]))


def official_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "official"
    shutil.copytree(GOLDEN / "muq_vq_25hz", folder)
    return folder


def test_weights_that_do_not_fit_are_reported_name_by_name(tmp_path: Path) -> None:
    folder = official_folder(tmp_path)
    weights = weights_of("muq_vq_25hz")
    del weights["model.conv.linear.bias"]
    weights["model.conv.linear.weight"] = weights["model.conv.linear.weight"][:, :-1].contiguous()
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"missing: .*projection\.bias") as error:
        solfa.load(folder)
    assert "(32, 127) instead of (32, 128)" in str(error.value)


def test_a_name_that_no_muq_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not of a MuQ model: model\.strange"):
        muq_weights({"model.strange": torch.zeros(1)})


def test_a_published_setting_that_we_do_not_build_is_refused() -> None:
    published = config_of("muq_vq_25hz")
    published["w2v2_config"]["position_embeddings_type"] = "relative"
    with pytest.raises(ValueError, match="rotary"):
        muq_config(published)


@pytest.mark.parametrize("name", ["no-such-model", "./nowhere", "/nowhere/at/all"])
def test_an_unknown_model_is_refused_with_the_cure(name: str) -> None:
    with pytest.raises(ModelError, match="solfa models"):
        solfa.load(name)


def test_a_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = official_folder(tmp_path)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="no model known here"):
        solfa.load(folder)


def test_a_loaded_encoder_is_in_eval_mode_and_the_same_twice() -> None:
    wave = io_of("muq_vq_25hz")["wav"]
    first, second = solfa.load(GOLDEN / "muq_vq_25hz"), solfa.load(GOLDEN / "muq_vq_25hz")
    assert not first.training
    assert torch.equal(first(wave).last, second(wave).last)


def test_the_full_size_model_has_the_published_names_and_shapes() -> None:
    stored = json.loads((GOLDEN / "manifests" / "muq_large_12_layers.json").read_text())
    published = config_of(MUQ[0]) | {"conv_dim": 512, "encoder_dim": 1024, "encoder_depth": 12}
    published["w2v2_config"] |= {"intermediate_size": 4096, "num_attention_heads": 16}
    config = muq_config(published)
    with torch.device("meta"):
        encoder = build_encoder(config)
        expected = muq_weights({name: torch.empty(shape) for name, shape in stored.items()})
    assert {n: w.shape for n, w in encoder.state_dict().items()} == {n: w.shape for n, w in expected.items()}
    assert config == MuQConfig()


@pytest.mark.parametrize("name", ["a b/c d", "x/y.git", "owner/\u00fc", "owner/.."])
def test_a_name_that_no_hub_can_have_is_said_to_be_none(name: str) -> None:
    with pytest.raises(ModelError, match="No model can be called"):
        solfa.load(name)
