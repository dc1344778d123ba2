"""solfa_small is trained: two processes equal one, a resumed run goes on as it was, and it learns."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import solfa
from solfa.checkpoint import step_folder
from solfa.cli.main import app
from solfa.config import override, save_config, to_dict
from solfa.data.manifest import read_manifest, write_manifest
from solfa.data.spectra import store_spectra
from solfa.errors import ArgumentError
from solfa.objectives import (
    BlockMaskingConfig,
    MaskingConfig,
    PredictorConfig,
    SpreadSpanMaskingConfig,
    build_objective,
)
from solfa.recipes import recipe
from solfa.training import RunConfig
from training.conftest import CODES
from training.test_trainer import log_of, stop_after, train
from training.test_two_processes import assert_same, gradients

TINY: dict[str, Any] = {
    "objective.encoder.transformer.n_layers": 2,
    "objective.encoder.transformer.dim": 16,
    "objective.encoder.transformer.n_heads": 2,
    "objective.masking.span_seconds": [0.2, 0.4],
    "objective.masking.whole_share": 0.3,
    "data.clip_seconds": 2.0,
    "data.clips_per_step": 4,
    "data.n_valid_clips": 3,
    "optim.warmup_steps": 2,
    "n_steps": 6,
    "log_every": 1,
    "validate_every": 3,
    "checkpoint_every": 2,
}
PREDICTOR = {"objective.predictor.transformer.n_layers": 1, "objective.predictor.transformer.dim": 12}
TWO, ONE = "solfa_small", "solfa_small_one_step"
both = pytest.mark.parametrize("name", [TWO, ONE])


def small(name: str, manifest: Path, **changes: Any) -> RunConfig:
    prediction = to_dict(recipe(name).objective.predictions[0]) | {  # type: ignore[union-attr]
        "target": to_dict(CODES),
        "head": {"kind": "linear"},
    }
    return override(
        recipe(name),
        {
            **TINY,
            **(PREDICTOR if name == TWO else {}),
            "objective.predictions": [prediction],
            "data.manifest": str(manifest),
            "data.valid_manifest": str(manifest),
            **changes,
        },
    )


@both
def test_two_processes_give_the_gradients_of_one(name: str, manifest: Path, tmp_path: Path) -> None:
    config = small(name, manifest, n_steps=1)
    one = gradients(config, tmp_path, 1)
    assert_same(one, gradients(config, tmp_path, 2))
    logs = [log_of(tmp_path / f"{n} processes, 4 clips.run")[0] for n in (1, 2)]
    for figure in ("loss", "agreement_loss", "guard_loss", "transposition_loss", "unigram_loss"):
        assert logs[0][figure] == pytest.approx(logs[1][figure], rel=1e-5), figure


@pytest.mark.parametrize("masking", [BlockMaskingConfig(block_seconds=0.2), SpreadSpanMaskingConfig()])
def test_two_processes_train_muq_in_two_steps_as_one_does(
    masking: MaskingConfig, small_run: RunConfig, tmp_path: Path
) -> None:
    """Statistics of a batch are those of all visible frames on all ranks, whose numbers differ."""
    config = override(
        small_run,
        {
            "objective.masking": masking,
            "objective.predictor": PredictorConfig(),
            "objective.encoder.conformer.dropout": 0.0,
            "n_steps": 1,
        },
    )
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))


def test_a_process_may_have_whole_clips_only(manifest: Path, tmp_path: Path) -> None:
    """Of four clips some are whole; of two processes with two clips each, one has nothing to predict."""
    config = small(
        TWO, manifest, n_steps=1, **{"objective.masking.whole_share": 0.75, "data.n_valid_clips": 1}
    )
    for seed in range(20):
        config = override(config, {"seed": seed})
        hidden = [rank_hides(config, rank) for rank in (0, 1)]
        if sorted(hidden) == [False, True]:
            break
    else:
        pytest.fail("no such seed")
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))


def rank_hides(config: RunConfig, rank: int) -> bool:
    """Whether any clip that a rank of two has in the first step is not whole."""
    from solfa.data.clips import Clips, numbers_of_step
    from solfa.objectives import (
        build_objective,
    )

    numbers = torch.tensor(numbers_of_step(0, config.data.clips_per_step, rank, 2))
    clips = Clips(torch.zeros(len(numbers), 0), 24_000, numbers, numbers, config.seed)
    with torch.random.fork_rng():
        return bool(build_objective(config.objective).masking.sample(clips, 50).any())  # type: ignore[union-attr]


@both
def test_six_steps_equal_three_saved_and_three_more(name: str, manifest: Path, tmp_path: Path) -> None:
    config = small(name, manifest)
    whole = train(config, tmp_path / "whole")
    stop_after(config, tmp_path / "broken", 3)
    broken = train(config, tmp_path / "broken", resume=True)
    a, b = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "broken")


@pytest.mark.slow
@both
def test_a_run_that_is_killed_goes_on_to_the_bit(name: str, manifest: Path, tmp_path: Path) -> None:
    config = small(
        name, manifest, n_steps=40, checkpoint_every=1,
        **{"data.valid_manifest": "", "data.clips_per_step": 2, "optim.decay_share": 0.0},
    )  # fmt: skip
    save_config(config, tmp_path / "config.json")
    script = Path(__file__).with_name("killed_runs.py")
    command = [sys.executable, script, tmp_path / "config.json", tmp_path, "5"]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    assert output.returncode == 0, output.stderr
    a, b = (load_file(step_folder(tmp_path / run, 40) / "model.safetensors") for run in ("whole", "killed"))
    assert all(torch.equal(a[key], b[key]) for key in a)


@both
def test_stored_spectra_train_as_audio_does(name: str, manifest: Path, tmp_path: Path) -> None:
    """But for their rounding, and for clips that start on frames in both."""
    store_spectra(read_manifest(manifest), tmp_path / "spectra")
    config = small(name, manifest, n_steps=1, **{"data.start_samples": 960, "data.valid_manifest": ""})
    train(config, tmp_path / "audio")
    train(override(config, {"data.spectra": str(tmp_path / "spectra")}), tmp_path / "stored")
    (audio,), (stored,) = log_of(tmp_path / "audio"), log_of(tmp_path / "stored")
    assert stored["loss"] == pytest.approx(audio["loss"], rel=0.01)
    assert stored["agreement_loss"] == pytest.approx(audio["agreement_loss"], rel=0.05)


@pytest.mark.usefixtures("unchecked")
@both
def test_it_overfits_one_track(name: str, manifest: Path, tmp_path: Path) -> None:
    one_track = tmp_path / "one.jsonl"
    write_manifest(read_manifest(manifest)[:1], one_track)
    config = small(
        name, one_track, n_steps=60, validate_every=100, checkpoint_every=100,
        **{"objective.agreement": None, "objective.transposition": None, "objective.guard": None},
        **{"objective.masking.whole_share": 0.0, "optim.adam_lr": 1e-2},
    )  # fmt: skip
    train(config, tmp_path / "run")
    losses = [line["loss"] for line in log_of(tmp_path / "run")]
    unigram = log_of(tmp_path / "run")[-1]["unigram_loss"]
    assert sum(losses[-10:]) / 10 < 0.75 * losses[0]
    assert sum(losses[-10:]) / 10 < unigram  # more than the frequencies of codes is learned


@both
def test_validation_tells_the_ranks_of_layers_seen_whole(name: str, manifest: Path, tmp_path: Path) -> None:
    train(small(name, manifest, n_steps=3), tmp_path / "run")
    line = log_of(tmp_path / "run")[-1]
    for layer in (0, 1, 2):
        assert 1 < line[f"valid_layers.{layer}.frame_rank"] <= 16
        assert 1 <= line[f"valid_layers.{layer}.pooled_rank"] <= 3  # of three clips
    assert not any(key.startswith("layers.") for key in line)
    assert "valid_nats_below_frequencies" in line


@both
def test_a_process_whose_clips_are_none_of_them_transposed_learns_all_the_same(
    name: str, manifest: Path, tmp_path: Path
) -> None:
    config = small(name, manifest, n_steps=1, **{"objective.transposition.one_clip_in": 100})
    one, two = (gradients(config, tmp_path, n) for n in (1, 2))
    assert_same(one, two)
    assert any("transposition" in key and bool(value.any()) for key, value in two.items())  # of clip 0


def test_transposing_needs_a_constant_q_half(manifest: Path) -> None:
    transposition = {"objective.transposition": {}}
    for name in ("solfa_small_mel", "muq_tiny"):
        config = override(recipe(name), transposition)
        with pytest.raises(ArgumentError, match=r"set objective\.transposition to null"):
            build_objective(config.objective)


def test_the_published_encoders_may_agree_by_mean_and_deviation_and_be_guarded(
    small_run: RunConfig, tmp_path: Path
) -> None:
    changes = {"objective.agreement": {"kind": "pooled"}, "objective.guard": {}, "data.clips_per_track": 2}
    config = override(small_run, {**changes, "objective.watched_layers": [1], "n_steps": 3})
    train(config, tmp_path / "run")
    line = log_of(tmp_path / "run")[-1]
    assert line["agreement_loss"] != 0 and line["guard_loss"] > 0 and "valid_layers.1.frame_rank" in line


def test_mel_alone_learns_by_its_own_recipe(manifest: Path, tmp_path: Path) -> None:
    run = recipe("solfa_small_mel")
    assert run.objective.encoder.halves == ("mel",) and len(run.objective.predictions) == 1  # type: ignore[union-attr]
    for changes in ({}, {"objective.predictor": None}):
        config = small("solfa_small_mel", manifest, n_steps=1, **changes)
        folder = train(config, tmp_path / str(len(changes)))
        assert not any("cqt" in name for name in load_file(folder / "model.safetensors"))


def test_from_a_folder_of_audio_to_an_encoder_by_commands(manifest: Path, tmp_path: Path) -> None:
    """Both quantizers, then the encoder, killed by nobody; then it is loaded and used."""

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--device", "cpu", "--workers", "0"])
        assert result.exit_code == 0, result.output
        return result.output

    def settings(values: dict[str, Any]) -> list[str]:
        return [
            word for key, value in values.items() for word in ("--set", f"{key}={value}".replace("'", '"'))
        ]

    data = {"data.manifest": manifest, "data.clip_seconds": 2.0, "data.clips_per_step": 4}
    for name in ("mel_rvq_small", "cqt_rvq_small"):
        small_quantizer = {"objective.target.quantizer.codebook_size": 16, "n_steps": 1}
        run("train", name, "--out", str(tmp_path / name), *settings(data | small_quantizer))
    fitted = {
        "objective.predictions.0.target.fitted": tmp_path / "mel_rvq_small",
        "objective.predictions.1.target.fitted": tmp_path / "cqt_rvq_small",
    }
    changes = TINY | PREDICTOR | data | fitted | {"n_steps": 2}
    run("train", "solfa_small", "--out", str(tmp_path / "small"), *settings(changes))
    last = log_of(tmp_path / "small")[-1]
    assert last["loss"] > 0 and len(last["predictions.1.loss_by_codebook"]) == 4
    encoder = solfa.load(tmp_path / "small")
    assert encoder(torch.zeros(1, 24_000)).layers.shape == (3, 1, 25, 16)
