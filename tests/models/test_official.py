"""A trained encoder in the official layout: nothing is lost on the way, and the official code reads it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import solfa
from golden_data import GOLDEN, MERT, MUQ, config_of, io_of, relative_error, weights_of
from solfa import checkpoint, runs
from solfa.config import override, save_config, to_dict
from solfa.features import ConstantQConfig
from solfa.models import LayoutError, MERTConfig, MuQConfig, save_official
from solfa.models.published.mert import mert_config, mert_preprocessor, mert_settings, published_mert_weights
from solfa.models.published.muq import muq_settings, published_muq_weights
from solfa.models.published.muq_training import besides_of_run, never_used
from solfa.objectives import LinearHeadConfig, PredictionConfig, build_objective
from solfa.recipes import recipe
from solfa.targets import MelFramesConfig, TargetError, load_quantizer
from solfa.training import RunConfig

ENCODER = "objective.encoder"
TINY_MUQ = {
    f"{ENCODER}.stem.n_channels": 4,
    f"{ENCODER}.conformer.dim": 24,  # 16 does not divide it
    f"{ENCODER}.conformer.feed_forward_dim": 32,
}
SEMITONES = ConstantQConfig(sample_rate=16_000, n_bins=84, bins_per_octave=12)
CONSTANT_Q = {f"{ENCODER}.sample_rate": 16_000, f"{ENCODER}.constant_q": SEMITONES}
PREDICTION = "objective.predictions"
OLD_SPELLING = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
CHANNELS = {f"{ENCODER}.convolutions.norm": "channels", f"{ENCODER}.convolutions.has_bias": True}
DEEP = {f"{ENCODER}.transformer.norm": "deep"}
OFFICIAL_MERTS = {
    "after": {f"{ENCODER}.transformer.norm": "after"},
    "before": {f"{ENCODER}.transformer.norm": "before"},
    "norm over channels": CHANNELS,
}

RELAXED = {"relaxed": {f"{ENCODER}.transformer.attention_relax": 32.0}}  # the same, but for rounding


def saved_run(folder: Path, config: RunConfig) -> Path:
    """The folder of a run whose weights and statistics are all random."""
    torch.manual_seed(0)
    objective = build_objective(config.objective)
    weights = {
        name: 0.5 + torch.rand_like(w) if w.is_floating_point() and w.ndim == 1 else w
        for name, w in objective.state_dict().items()
    }
    checkpoint.save(folder, 1, weights, {})
    save_config(config, folder / checkpoint.CONFIG)
    return folder


def muq_run(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    return saved_run(folder / "run", override(override(recipe("muq_tiny"), TINY_MUQ), changes or {}))


def mert_run(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    return saved_run(folder / "run", override(override(recipe("mert_tiny"), {PREDICTION: []}), changes or {}))


def newly_spelled(names: dict[str, Any]) -> dict[str, Any]:
    """By the spelling of weight normalisation that transformers has today."""
    positions = "encoder.pos_conv_embed.conv."
    old = {positions + ours: positions + theirs for ours, theirs in OLD_SPELLING.items()}
    return {old.get(name, name): value for name, value in names.items()}


def hidden_of(folder: Path) -> Tensor:
    encoder = solfa.load(folder)
    waveform = 0.3 * torch.randn(2, encoder.sample_rate, generator=torch.Generator().manual_seed(1))
    return encoder(waveform).layers


@pytest.mark.parametrize("changes", [
    {}, {f"{ENCODER}.stem.time_strides": [2, 1], f"{PREDICTION}.0.target.frames.n_stacked": 2,
         f"{PREDICTION}.0.target.quantizer.dim": 256}, {f"{ENCODER}.mel.mean_db": 1.5},
])  # fmt: skip
def test_a_muq_comes_back_to_the_bit(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = muq_run(tmp_path, changes)
    official = save_official(run, tmp_path / "official")
    assert torch.equal(hidden_of(official), hidden_of(run))


@pytest.mark.parametrize("changes", [
    *OFFICIAL_MERTS.values(), DEEP, {f"{ENCODER}.normalize": True}, CONSTANT_Q,
])  # fmt: skip
def test_a_mert_comes_back_to_the_bit(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = mert_run(tmp_path, changes)
    official = save_official(run, tmp_path / "official")
    assert torch.equal(hidden_of(official), hidden_of(run))


@pytest.mark.parametrize("case", [*MUQ, *MERT])
def test_an_official_folder_comes_back_with_the_same_names_and_tensors(case: str, tmp_path: Path) -> None:
    folder = save_official(GOLDEN / case, tmp_path / "official")
    written, original = load_file(folder / "model.safetensors"), newly_spelled(weights_of(case))
    assert written.keys() == original.keys()
    assert all(torch.equal(tensor, original[name]) for name, tensor in written.items())
    values, official = json.loads((folder / "config.json").read_text()), config_of(case)
    assert {name for name in official if values[name] != official[name]} <= {"model_type"}


def test_the_large_muq_has_the_official_names_and_shapes() -> None:
    stored = json.loads((GOLDEN / "manifests" / "muq_large_12_layers.json").read_text())
    config = recipe("muq_large").objective
    with torch.device("meta"):
        weights = build_objective(config).state_dict()
        besides = besides_of_run(config.encoder, to_dict(config), weights)  # type: ignore[union-attr]
    encoder = {n.removeprefix("encoder."): w for n, w in weights.items() if n.startswith("encoder.")}
    settings = muq_settings(MuQConfig()) | dict(besides.settings)
    written = {**never_used(MuQConfig(), settings), **besides.weights, **published_muq_weights(encoder)}
    assert {name: list(w.shape) for name, w in written.items()} == stored


@pytest.mark.parametrize("size", ["mert_95m", "mert_330m"])
def test_full_size_merts_have_the_official_names_and_shapes(size: str) -> None:
    stored = newly_spelled(json.loads((GOLDEN / "manifests" / f"{size}.json").read_text()))
    with torch.device("meta"):
        encoder = solfa.models.build_encoder(recipe(size).objective.encoder)  # type: ignore[union-attr]
    written = published_mert_weights(encoder.state_dict())
    hiding_vector = {"masked_spec_embed": [encoder.dim]}
    assert {name: list(w.shape) for name, w in written.items()} | hiding_vector == stored


@pytest.mark.parametrize("name", [*OFFICIAL_MERTS, *RELAXED])
def test_transformers_reads_a_mert_and_hears_the_same(tmp_path: Path, name: str) -> None:
    transformers = pytest.importorskip("transformers", reason="reads MERT; it comes with the extra 'text'")
    run = mert_run(tmp_path, (OFFICIAL_MERTS | RELAXED)[name])
    official = save_official(run, tmp_path / "official")
    model, report = transformers.AutoModel.from_pretrained(official, output_loading_info=True)
    assert type(model) is transformers.HubertModel
    assert not any(report.values()), report
    waveform = io_of("mert_95m_style")["wav"]
    theirs = model.eval()(waveform, output_hidden_states=True).hidden_states
    ours = solfa.load(run)(waveform).states
    assert len(theirs) == len(ours) == 3
    assert max(relative_error(t.detach(), o) for t, o in zip(theirs, ours, strict=True)) < 1e-5


def test_transformers_prepares_audio_as_the_mert_was_trained(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="reads MERT; it comes with the extra 'text'")
    official = save_official(mert_run(tmp_path, {f"{ENCODER}.normalize": True}), tmp_path / "official")
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(official)
    assert (extractor.do_normalize, extractor.sampling_rate) == (True, 24_000)


@pytest.mark.parametrize("changes", [DEEP, CONSTANT_Q])
def test_a_mert_that_is_no_hubert_does_not_call_itself_one(changes: dict[str, Any]) -> None:
    settings = mert_settings(override(recipe("mert_tiny"), changes).objective.encoder)  # type: ignore[union-attr]
    assert settings["model_type"] == "mert_model"


def test_the_vector_that_hides_frames_goes_along(tmp_path: Path) -> None:
    run = mert_run(tmp_path)
    official = save_official(run, tmp_path / "official")
    vector = load_file(runs.weights_file(run))["masking.vector"]
    assert torch.equal(load_file(official / "model.safetensors")["masked_spec_embed"], vector)
    assert json.loads((official / "config.json").read_text())["mask_time_prob"] > 0


def test_without_a_vector_that_hides_frames_none_is_announced(tmp_path: Path) -> None:
    bundle = solfa.load(mert_run(tmp_path)).save_pretrained(tmp_path / "bundle")
    official = save_official(bundle, tmp_path / "official")
    assert "masked_spec_embed" not in load_file(official / "model.safetensors")
    assert json.loads((official / "config.json").read_text())["mask_time_prob"] == 0


@pytest.mark.parametrize("target", [
    {"kind": "mel_rvq"},
    {"kind": "mel_rvq", "quantizer": {"kind": "vq"}},
    {"kind": "mel_random_projection", "quantizer": {"kind": "random_projection", "codebook_size": 64}},
])  # fmt: skip
def test_the_quantizer_of_a_muq_goes_along_and_gives_the_same_codes(
    tmp_path: Path, target: dict[str, Any]
) -> None:
    run = muq_run(tmp_path, {PREDICTION: [{"target": target, "head": {"kind": "linear"}}]})
    official = save_official(run, tmp_path / "official")
    frames = torch.randn(2, 40, 512, generator=torch.Generator().manual_seed(0))
    codes = load_quantizer(run).encode(frames)
    assert len(codes.unique()) > 10
    assert torch.equal(load_quantizer(official).encode(frames), codes)


def test_the_heads_and_the_masking_of_a_muq_go_along(tmp_path: Path) -> None:
    reconstruction = PredictionConfig(target=MelFramesConfig(), head=LinearHeadConfig(), weight=0.1)
    changes = {
        PREDICTION: [to_dict(PredictionConfig()), to_dict(reconstruction)],
        "objective.masking.block_seconds": 0.2,
    }
    run = muq_run(tmp_path, changes)
    official = save_official(run, tmp_path / "official")
    ours, written = load_file(runs.weights_file(run)), load_file(official / "model.safetensors")
    for number, name in enumerate(("model.linear", "model.recon_proj")):
        assert torch.equal(written[f"{name}.weight"], ours[f"heads.{number}.linear.weight"])
    values = json.loads((official / "config.json").read_text())
    assert (values["codebook_size"], values["recon_loss_ratio"], values["mask_hop"]) == (8192, 0.1, 0.2)


def test_a_head_of_values_of_a_kind_unheard_of_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    head = {"heads.0.linear.weight": torch.zeros(12, 16), "heads.0.linear.bias": torch.zeros(12)}
    target = {"kind": "pitch_classes", "chroma": {"n_bins": 12}}
    objective = {"predictions": [{"target": target, "head": {"kind": "linear"}, "weight": 1.0}]}
    besides = besides_of_run(MuQConfig(), objective, head)
    assert not besides.weights
    assert "no place for prediction 0 (pitch_classes): left out" in caplog.text


def test_a_quantizer_that_the_official_program_cannot_have_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = muq_run(tmp_path, {f"{PREDICTION}.0.target.quantizer.codebook_size": 32})
    official = save_official(run, tmp_path / "official")
    assert "no place for the quantizer of this run: codebook_size is 1024 there" in caplog.text
    with pytest.raises(TargetError, match="hold no quantizer"):
        load_quantizer(official)
    assert len(load_file(official / "model.safetensors")["model.linear.bias"]) == 8 * 32


@pytest.mark.parametrize(("changes", "message"), [
    ({f"{ENCODER}.mel.n_mels": 64}, "n_mels is 64, known: 128"),
    ({f"{ENCODER}.mel.hop_length": 480}, "hop_length is 480, known: 240"),
    ({f"{ENCODER}.conformer.norm_eps": 1e-6}, "layer_norm_eps is 1e-06, known: 1e-05"),
    ({f"{ENCODER}.mel.n_fft": 1024}, "mel.n_fft is 1024, and there it can only be 2048"),
    ({f"{ENCODER}.stem.time_strides": [1, 2]}, r"\[1, 2\], and there it can only be \[2, 1\]"),
])  # fmt: skip
def test_a_muq_that_the_official_program_would_not_follow_is_refused(
    tmp_path: Path, tiny_run: Path, changes: dict[str, Any], message: str
) -> None:
    config = override(override(recipe("muq_tiny"), TINY_MUQ), changes)
    encoder = solfa.models.build_encoder(config.objective.encoder)  # type: ignore[union-attr]
    bundle = encoder.save_pretrained(tmp_path / "bundle")
    with pytest.raises(LayoutError, match=f"{message}.*solfa export bundle"):
        save_official(bundle, tmp_path / "official")
    assert not (tmp_path / "official").exists()


def test_a_mert_whose_constant_q_is_not_the_official_one_is_refused(tmp_path: Path) -> None:
    changes = CONSTANT_Q | {f"{ENCODER}.constant_q": override(SEMITONES, {"f_min": 55.0})}
    with pytest.raises(LayoutError, match=r"constant_q.f_min is 55.0, and there it can only be 32.7"):
        save_official(mert_run(tmp_path, changes), tmp_path / "official")


def test_a_music_text_model_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="solfa export bundle"):
        save_official(GOLDEN / "muq_mulan", tmp_path / "official")


def test_a_folder_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(FileExistsError, match="Give a new folder"):
        save_official(GOLDEN / MUQ[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_the_licence_goes_along(tmp_path: Path) -> None:
    encoder = solfa.load(GOLDEN / MUQ[0])
    encoder.license = "CC-BY-NC-4.0"
    official = save_official(encoder.save_pretrained(tmp_path / "bundle"), tmp_path / "official")
    assert solfa.load(official).license == "CC-BY-NC-4.0"
    assert "license: cc-by-nc-4.0" in (official / "README.md").read_text()


@pytest.mark.parametrize("size", ["mert_95m", "mert_330m", "mert_small"])
def test_settings_of_a_mert_survive_the_way_to_official_ones_and_back(size: str) -> None:
    config: MERTConfig = recipe(size).objective.encoder  # type: ignore[union-attr, assignment]
    back = mert_config(mert_settings(config), mert_preprocessor(config))
    assert back == override(config, {"transformer.attention_relax": None})
