"""Adapters learn words from facts and stored vectors, go on where they were stopped, and are loaded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import solfa
from conftest import save_tiny_run
from music_and_words import TINY, write_pairs
from solfa.config import override
from solfa.data.audio import read_audio
from solfa.data.manifest import read_manifest, write_manifest
from solfa.data.pooled_vectors import PooledVectors
from solfa.embedding.pooling import pool_tracks
from solfa.errors import ArgumentError
from solfa.models import MuLan, TextModel, load_encoder
from solfa.objectives import build_objective
from solfa.objectives.music_text import CLIPS_TO_STANDARDISE
from solfa.recipes import recipe
from solfa.recipes.resolve import with_towers
from solfa.training import Placement, RunConfig, Trainer


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_run(tmp_path_factory.mktemp("encoder") / "run")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, start: Path) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    manifest = write_pairs(folder, 16, seconds=1.0)
    encoder = load_encoder(start)
    pool_tracks(read_manifest(manifest), folder / "pooled", encoder, encoder.layer_numbers([0, -1]))
    return manifest


def run_config(pairs: Path, start: Path, **changes: object) -> RunConfig:
    kept = {
        k: v for k, v in TINY.items() if "encoder" not in k and "transformer" not in k and "reads" not in k
    }
    run = override(
        recipe("mulan_adapters"),
        kept | {
            "objective.start": str(start), "objective.mulan.audio.pooled.hidden_dim": 16,
            "objective.mulan.text.adapter.hidden_dim": 16, "objective.pairs_together": 8,
            "data.manifest": str(pairs), "data.valid_manifest": str(pairs), "data.n_valid_clips": 16,
            "data.pooled": str(pairs.parent / "pooled"), "data.clips_per_step": 8,
            "data.captions.fields": ["mood", "tempo"], "n_steps": 6, "checkpoint_every": 3, "log_every": 1,
            "validate_every": 3, "optim.warmup_steps": 1, **changes,
        },
    )  # fmt: skip
    return with_towers(run, Path("none"))


def train(config: RunConfig, run: Path, resume: bool = False) -> Path:
    place = Placement(run=run, device=torch.device("cpu"), clips_per_device=8, n_workers=0)
    return Trainer(config, place).train(resume)


def test_a_run_learns_logs_its_area_goes_on_to_the_bit_and_is_loaded(
    pairs: Path, start: Path, tmp_path: Path
) -> None:
    train(run_config(pairs, start), tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert 0 <= lines[-1]["valid_fitting_area"] <= 1 and np.isfinite(lines[-1]["loss"])
    mulan = solfa.load(tmp_path / "whole")
    assert isinstance(mulan, MuLan) and mulan.audio.pooled is not None
    with torch.no_grad():
        vectors = mulan.embed_audio(torch.randn(2, 24_000) * 0.1)
        assert vectors.shape == mulan.embed_text(["low", "a fast drum"]).shape == (2, 8)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_a_stopped_run_gives_the_weights_of_an_unstopped_one(
    pairs: Path, start: Path, tmp_path: Path
) -> None:
    config = run_config(pairs, start)
    train(config, tmp_path / "whole")
    train(config, tmp_path / "parts")
    for folder in (tmp_path / "parts").glob("step-*6"):
        shutil.rmtree(folder)
    train(config, tmp_path / "parts", resume=True)
    whole, parts = (solfa.load(tmp_path / name).state_dict() for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_from_audio_a_tower_gives_the_vectors_that_stored_ones_give(
    pairs: Path, start: Path, tmp_path: Path
) -> None:
    train(run_config(pairs, start), tmp_path / "run")
    mulan = solfa.load(tmp_path / "run")
    assert isinstance(mulan, MuLan)
    track = read_manifest(pairs)[3]
    wave = torch.from_numpy(np.asarray(read_audio(track.path, sample_rate=24_000)).reshape(1, -1))
    stored = torch.from_numpy(np.array(PooledVectors(pairs.parent / "pooled")[track]))[None]
    with torch.no_grad():
        torch.testing.assert_close(
            mulan.embed_clips(wave), mulan.audio.project_pooled(stored), rtol=1e-3, atol=1e-4
        )


def test_vectors_of_another_encoder_an_encoder_that_learns_and_long_tracks_are_refused(
    pairs: Path, start: Path, tmp_path: Path
) -> None:
    other = save_tiny_run(tmp_path / "other", seed=1)
    with pytest.raises(ArgumentError, match="solfa data pool"):
        train(run_config(pairs, other), tmp_path / "a")
    with pytest.raises(ArgumentError, match="audio_rate=0"):
        train(run_config(pairs, start, **{"objective.audio_rate": 0.1}), tmp_path / "b")
    long = tmp_path / "long.jsonl"
    write_manifest([replace(t, seconds=9.0) for t in read_manifest(pairs)], long)
    with pytest.raises(ValueError, match="solfa data hear"):
        train(run_config(long, start, **{"data.pooled": str(pairs.parent / "pooled")}), tmp_path / "c")


def test_a_tower_reads_some_of_the_layers_that_are_stored(pairs: Path, start: Path, tmp_path: Path) -> None:
    train(run_config(pairs, start, **{"objective.mulan.audio.pooled.layers": [-1]}), tmp_path / "last")
    mulan = solfa.load(tmp_path / "last")
    assert isinstance(mulan, MuLan) and mulan.audio.pooled is not None
    assert mulan.audio.pooled.pooled_dim == 2 * mulan.audio.encoder.dim
    rows = np.stack([PooledVectors(pairs.parent / "pooled")[track] for track in read_manifest(pairs)])
    last = rows[:, rows.shape[1] // 2 :][:8]  # as many as a step has; the first of the two layers comes first
    means = [torch.from_numpy(last).mean(0), torch.from_numpy(rows[:, : rows.shape[1] // 2]).mean(0)]
    near, far = ((mulan.audio.pooled.mean - mean).norm() for mean in means)
    assert near < 0.5 * far


def test_more_clips_than_a_pass_has_say_how_wide_dimensions_are(pairs: Path, start: Path) -> None:
    objective = build_objective(run_config(pairs, start).objective)
    assert objective.n_first_clips == CLIPS_TO_STANDARDISE > 8


def test_sentences_that_are_kept_are_not_read_again(
    pairs: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"objective.sentences": str(tmp_path / "sentences"), "objective.mulan.text.reads": "sentence"}
    train(run_config(pairs, start, **changes), tmp_path / "first")

    def fail(*_: object) -> None:
        raise AssertionError("a sentence was read again")

    monkeypatch.setattr(TextModel, "each", fail)
    train(run_config(pairs, start, **changes), tmp_path / "second")
    whole, parts = (solfa.load(tmp_path / name).state_dict() for name in ("first", "second"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_sentences_of_a_language_model_that_learns_are_not_kept(pairs: Path, start: Path) -> None:
    with pytest.raises(ValueError, match="of a language model that does not learn"):
        run_config(pairs, start, **{"objective.sentences": "s", "objective.text_rate": 0.1})
