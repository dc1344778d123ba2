"""What was fitted or stored before brings its settings along: none is repeated by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from solfa import checkpoint
from solfa.cli.main import app
from solfa.config import Config, load_config, override, save_config, to_dict
from solfa.data.stored_frames import FRAMES, STORE, CodesDescription, StoredCodeFrames
from solfa.json_files import write_json
from solfa.models import ModelError, load
from solfa.objectives import CodecFitConfig, KMeansFitConfig, QuantizerFitConfig, build_objective
from solfa.recipes import recipe
from solfa.recipes.resolve import with_teachers
from solfa.targets import (
    ChromaFramesConfig,
    EMAResidualQuantizer,
    EMAResidualQuantizerConfig,
    HiddenRVQConfig,
    KMeansCodesConfig,
    LogMelFramesConfig,
    MelRVQConfig,
    ResidualVectorQuantizer,
    ResidualVectorQuantizerConfig,
    RVQVAECodesConfig,
    RVQVAEConfig,
    StackedMelConfig,
    StoredCodesConfig,
    TargetError,
    VectorQuantizerConfig,
    build_target,
    load_quantizer,
)
from solfa.training import RunConfig

TARGET = "objective.predictions.0.target"
CODEC = RVQVAEConfig(
    strides=(8, 5, 4, 2),
    n_channels=(4, 4, 8, 8),
    quantizer=EMAResidualQuantizerConfig(dim=16, n_codebooks=3, codebook_size=32),
)
TWO_STACKED = StackedMelConfig(n_stacked=2)
MEL = MelRVQConfig(frames=TWO_STACKED, quantizer=VectorQuantizerConfig(dim=TWO_STACKED.dim, codebook_size=64))
CLUSTERS = (
    KMeansCodesConfig(n_clusters=7, features=LogMelFramesConfig()),
    KMeansCodesConfig(n_clusters=5, features=ChromaFramesConfig()),
)


def run_of(objective: Any, folder: Path) -> Path:
    """The folder of a run with random weights."""
    checkpoint.save(folder, 1, build_objective(objective).state_dict(), {})
    save_config(RunConfig(objective=objective, n_steps=1), folder / checkpoint.CONFIG)
    return folder


def taught(run: RunConfig, target: Config, tmp_path: Path, **wanted: Any) -> Any:
    """The first target of ``run`` once its teacher has been asked, where ``target`` was set by hand."""
    by_hand = {TARGET: to_dict(target)} | {f"{TARGET}.{name}": value for name, value in wanted.items()}
    made = with_teachers(override(run, by_hand), tmp_path / "new", by_hand)
    return made.objective.predictions[0].target  # type: ignore[union-attr]


def test_a_codec_brings_its_settings(small_run: RunConfig, tmp_path: Path) -> None:
    run = run_of(CodecFitConfig(codec=CODEC), tmp_path / "codec")
    found = taught(small_run, RVQVAECodesConfig(fitted=str(run)), tmp_path)
    assert found == RVQVAECodesConfig(codec=CODEC, fitted=str(run))
    build_target(found).load_fitted()


def test_a_quantizer_brings_its_settings_and_the_frames_that_it_was_fitted_to(
    small_run: RunConfig, tmp_path: Path
) -> None:
    run = run_of(QuantizerFitConfig(target=MEL), tmp_path / "rvq")
    found = taught(small_run, MelRVQConfig(fitted=str(run)), tmp_path)
    assert (found.quantizer, found.frames) == (MEL.quantizer, TWO_STACKED)
    build_target(found).load_fitted()


def test_clusters_bring_their_number_by_the_kind_of_their_features(
    small_run: RunConfig, tmp_path: Path
) -> None:
    run = run_of(KMeansFitConfig(targets=CLUSTERS), tmp_path / "clusters")
    others = (KMeansCodesConfig(), KMeansCodesConfig(features=ChromaFramesConfig()))
    for wanted, there in zip(others, CLUSTERS, strict=True):
        found = taught(small_run, override(wanted, {"fitted": str(run)}), tmp_path)
        assert found == override(there, {"fitted": str(run)})
        build_target(found).load_fitted()


def test_stored_codes_bring_their_sizes(small_run: RunConfig, tmp_path: Path) -> None:
    sizes = {"n_codebooks": 3, "codebook_size": 50, "sample_rate": 24_000, "hop_length": 480}
    StoredCodeFrames.begin(tmp_path / "codes", CodesDescription(target="", target_id="", source="", **sizes))
    config = override(small_run, {"data.codes": str(tmp_path / "codes")})
    assert taught(config, StoredCodesConfig(), tmp_path) == StoredCodesConfig(**sizes)


@pytest.mark.parametrize(("license", "of_model"), [("CC-BY-NC-4.0", "CC-BY-NC-4.0"), ("MIT", ""), ("", "")])
def test_codes_of_an_encoder_bring_its_licence_if_it_is_not_free(
    license: str, of_model: str, small_run: RunConfig, tmp_path: Path
) -> None:
    described = CodesDescription(
        n_codebooks=3, codebook_size=50, sample_rate=24_000, hop_length=960, target="", target_id="",
        source="encoder abc layer 5", license=license,
    )  # fmt: skip
    StoredCodeFrames.begin(tmp_path / "codes", described)
    run = override(small_run, {"data.codes": str(tmp_path / "codes"), TARGET: to_dict(StoredCodesConfig())})
    assert with_teachers(run, tmp_path / "new", {}).objective.license == of_model  # type: ignore[union-attr]


def test_stored_hidden_states_bring_their_width_and_rate(small_run: RunConfig, tmp_path: Path) -> None:
    folder = tmp_path / "hidden"
    (folder / FRAMES).mkdir(parents=True)
    np.save(folder / FRAMES / "a.npy", np.zeros((5, 2, 24), np.float32))
    space = {"sample_rate": 24_000, "frame_rate": 75.0, "weights": "w"}
    write_json(folder / STORE, {"space": space, "frame_layers": [3, 5]})
    changes = {"data.frames": str(folder), "data.frames_layer": 5, "data.codes": ""}
    config = override(small_run, {"objective": QuantizerFitConfig(target=HiddenRVQConfig())} | changes)
    target = with_teachers(config, tmp_path / "new", {}).objective.target  # type: ignore[union-attr]
    assert (target.quantizer.dim, target.sample_rate, target.hop_length) == (24, 24_000, 320)


def test_what_was_set_by_hand_holds_and_what_does_not_fit_is_refused(
    small_run: RunConfig, tmp_path: Path
) -> None:
    codec = run_of(CodecFitConfig(codec=CODEC), tmp_path / "codec")
    found = taught(small_run, RVQVAECodesConfig(fitted=str(codec)), tmp_path, **{"codec.gain": 3.0})
    assert found.codec == override(CODEC, {"gain": 3.0})
    with pytest.raises(TargetError, match=r"target\.codec to agree with it"):
        build_target(found).load_fitted()
    rvq = run_of(QuantizerFitConfig(target=MEL), tmp_path / "rvq")
    other = taught(small_run, MelRVQConfig(fitted=str(rvq)), tmp_path, **{"frames.mel.mean_db": 1.0})
    with pytest.raises(TargetError, match=r"for frames 256 wide .*mean_db=6\.7.* would give .*mean_db=1\.0"):
        build_target(other).load_fitted()


def test_a_run_that_has_begun_is_left_alone(small_run: RunConfig, tmp_path: Path) -> None:
    config = override(small_run, {TARGET: to_dict(RVQVAECodesConfig(fitted="is no longer there"))})
    save_config(config, tmp_path / checkpoint.CONFIG)
    assert with_teachers(config, tmp_path, {}) == config


def test_a_codec_as_teacher_of_mel_frames_is_refused(small_run: RunConfig, tmp_path: Path) -> None:
    codec = run_of(CodecFitConfig(codec=CODEC), tmp_path / "codec")
    with pytest.raises(TargetError, match="of the kind ema_rvq, and was not fitted to mel frames"):
        taught(small_run, MelRVQConfig(fitted=str(codec)), tmp_path)


def test_a_command_on_the_run_of_another_codec_needs_its_name_alone(manifest: Path, tmp_path: Path) -> None:
    """And of its settings those that were made are in config.json."""
    codec = run_of(CodecFitConfig(codec=CODEC), tmp_path / "codec")
    target = json.dumps({"kind": "rvq_vae", "fitted": str(codec)})
    sets = {
        TARGET: target, "data.manifest": manifest, "n_steps": 1, "data.clip_seconds": 1.0,
        "data.clips_per_step": 2, "objective.encoder.transformer.n_layers": 1,
    }  # fmt: skip
    words = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    out = tmp_path / "mert"
    result = CliRunner().invoke(app, ["train", "mert_tiny", *words, "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    trained = load_config(RunConfig, out / checkpoint.CONFIG).objective
    assert trained.predictions[0].target.codec == CODEC  # type: ignore[union-attr]
    quantizer = load_quantizer(out)  # of the encoder that learned codes of a codec
    assert isinstance(quantizer, EMAResidualQuantizer)
    there = load_quantizer(codec).state_dict()
    assert all(torch.equal(value, there[name]) for name, value in quantizer.state_dict().items())


def test_the_quantizer_of_a_run_is_found_by_its_place(tmp_path: Path, small_run: RunConfig) -> None:
    """An EnCodec has one too, which is no part of the configuration."""
    quantizer = ResidualVectorQuantizerConfig(n_codebooks=2, codebook_size=16, codebook_dim=4)
    encodec = {"kind": "encodec", "n_filters": 4, "dim": 16, "n_codebooks": 3, "codebook_size": 64,
               "strides": [8, 5, 4, 6]}  # fmt: skip
    parts = [
        {"target": t, "head": {"kind": "linear"}}
        for t in (encodec, to_dict(MelRVQConfig(quantizer=quantizer)))
    ]
    run = run_of(override(small_run, {"objective.predictions": parts}).objective, tmp_path / "two")
    found = load_quantizer(run)
    assert isinstance(found, ResidualVectorQuantizer) and found.config == quantizer


@pytest.mark.parametrize(
    ("objective", "what"),
    [
        (CodecFitConfig(codec=CODEC), "a codec, for solfa codec"),
        (KMeansFitConfig(targets=CLUSTERS), "clusters of k-means, for 'fitted' of a kmeans target"),
        (QuantizerFitConfig(target=MEL), "a quantizer, for 'fitted' of a mel_rvq target"),
        (QuantizerFitConfig(target=HiddenRVQConfig()), "a quantizer, for solfa data label"),
    ],
)
def test_a_run_without_an_encoder_says_what_it_is_for(objective: Any, what: str, tmp_path: Path) -> None:
    run = run_of(objective, tmp_path / "runs" / "one")
    said = CliRunner().invoke(app, ["models", "--runs", str(tmp_path / "runs")])
    assert what in said.output
    with pytest.raises(ModelError, match=what):
        load(run)


def test_a_run_of_music_and_words_is_called_one(tmp_path: Path) -> None:
    config = recipe("mulan_small")
    save_config(config, tmp_path / "runs" / "one" / checkpoint.CONFIG)
    checkpoint.save(tmp_path / "runs" / "one", 1, {"a": torch.zeros(1)}, {})
    said = CliRunner().invoke(app, ["models", "--runs", str(tmp_path / "runs")]).output
    assert "mulan, music and text in" in said and "quantizer" not in said
