"""MuQ's second iteration through the command line: every step reads the files of the one before it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import solfa
import synth
from solfa.cli.main import app
from solfa.targets import load_quantizer

QUICK = ("--workers", 0, "--device", "cpu")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Four melodies of six seconds."""
    folder = tmp_path / "music"
    folder.mkdir()
    for seed in range(4):
        rng = np.random.default_rng(seed)
        notes = [synth.tone(synth.pitch_hz(p), 0.2, n_partials=4) for p in rng.integers(40, 90, 30)]
        wave = np.concatenate(notes) + 0.01 * rng.standard_normal(30 * 4800)
        soundfile.write(folder / f"{seed}.flac", wave, 24_000)
    return folder


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.output


def settings(**values: object) -> list[str]:
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def test_hidden_states_become_codes_and_codes_an_encoder(music: Path, tiny_run: Path, tmp_path: Path) -> None:
    manifest, hidden, codes = tmp_path / "tracks.jsonl", tmp_path / "hidden", tmp_path / "codes"
    rvq, second = tmp_path / "hidden_rvq", tmp_path / "second"
    run("data", "prepare", music, "--out", manifest)
    layers = ("--frames", "--frame-layer", 1, "--frame-layer", 2)
    run("embed", manifest, "--model", tiny_run, *layers, "--out", hidden, "--device", "cpu")

    fit = {
        "data.manifest": manifest, "data.frames": hidden, "data.frames_layer": 1, "data.clips_per_step": 16,
        "objective.target.quantizer.dim": 16, "objective.target.quantizer.codebook_size": 32,
        "n_steps": 6, "log_every": 3, "checkpoint_every": 6,
    }  # fmt: skip
    said = run("train", "hidden_rvq", "--out", rvq, *QUICK, *settings(**fit))
    assert f"solfa data label {manifest} --target {rvq} --frames {hidden} --out codes" in said.replace(
        "\n", ""
    )
    assert load_quantizer(rvq).encode(torch.randn(1, 5, 16)).shape == (1, 8, 5)

    (music / "3.flac").rename(music / "3.away")  # hidden states need no audio
    label = (
        "data",
        "label",
        manifest,
        "--target",
        rvq,
        "--frames",
        hidden,
        "--out",
        codes,
        "--device",
        "cpu",
    )
    assert "4 tracks labelled, 0 had codes already" in run(*label).replace("\n", " ")
    assert "0 tracks labelled, 4 had codes already" in run(*label).replace("\n", " ")
    (music / "3.away").rename(music / "3.flac")

    learn = {
        "data.manifest": manifest, "data.codes": codes, "data.clip_seconds": 2, "data.clips_per_step": 4,
        "objective.predictions.0.target.codebook_size": 32, "objective.encoder.conformer.n_layers": 1,
        "objective.encoder.conformer.dim": 16, "objective.encoder.conformer.feed_forward_dim": 32,
        "n_steps": 2, "log_every": 1, "checkpoint_every": 2,
    }  # fmt: skip
    run("train", "muq_small_iter2", "--out", second, *QUICK, *settings(**learn))
    line = json.loads((second / "log.jsonl").read_text().splitlines()[-1])
    assert line["step"] == 2 and len(line["accuracy_by_codebook"]) == 8
    assert solfa.load(second).dim == 16


def test_a_track_without_hidden_states_gets_no_codes_and_the_others_do(
    music: Path, tiny_run: Path, tmp_path: Path
) -> None:
    manifest, hidden, rvq = tmp_path / "tracks.jsonl", tmp_path / "hidden", tmp_path / "hidden_rvq"
    run("data", "prepare", music, "--out", manifest)
    run("embed", manifest, "--model", tiny_run, "--frames", "--out", hidden, "--device", "cpu")
    fit = {
        "data.manifest": manifest, "data.frames": hidden, "data.clips_per_step": 16, "n_steps": 1,
        "objective.target.quantizer.dim": 16, "objective.target.quantizer.codebook_size": 32,
    }  # fmt: skip
    run("train", "hidden_rvq", "--out", rvq, *QUICK, *settings(**fit))
    next((hidden / "frames").iterdir()).unlink()
    said = run(
        "data", "label", manifest, "--target", rvq, "--frames", hidden, "--out", tmp_path / "codes",
        "--device", "cpu",
    )  # fmt: skip
    assert "3 tracks labelled" in said and "solfa embed" in said
    assert len((tmp_path / "codes" / "refused.jsonl").read_text().splitlines()) == 1
