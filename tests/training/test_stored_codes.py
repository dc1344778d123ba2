"""A teacher that runs along and its stored codes give the same training, to the bit."""

import json
from pathlib import Path

import pytest
import torch

from solfa import checkpoint
from solfa.config import override, save_config
from solfa.data.manifest import read_manifest
from solfa.data.stored_frames import StoredFramesError
from solfa.objectives import QuantizerFitConfig, build_objective
from solfa.recipes import recipe
from solfa.recipes.mert import MEL_75HZ
from solfa.targets import (
    MelRVQConfig,
    ResidualVectorQuantizerConfig,
    StackedMelConfig,
    StoredCodesConfig,
    TargetError,
)
from solfa.targets.labelling import label_tracks, load_target
from solfa.training import Placement, RunConfig, Trainer

CPU = torch.device("cpu")
PREDICTED = "objective.predictions.0.target"


def teacher(folder: Path, frames: StackedMelConfig) -> MelRVQConfig:
    """A quantizer with random weights, in the run folder that fitted it."""
    quantizer = ResidualVectorQuantizerConfig(dim=frames.dim, n_codebooks=2, codebook_size=64, codebook_dim=4)
    config = QuantizerFitConfig(target=MelRVQConfig(frames=frames, quantizer=quantizer))
    torch.manual_seed(5)
    checkpoint.save(folder, 1, build_objective(config).state_dict(), {})
    save_config(RunConfig(objective=config, n_steps=1), folder / checkpoint.CONFIG)
    return MelRVQConfig(frames=frames, quantizer=quantizer, fitted=str(folder))


def losses(config: RunConfig, out: Path, clips_per_device: int = 4) -> list[dict[str, object]]:
    """What a training logs, but for its speed."""
    place = Placement(run=out, device=CPU, clips_per_device=clips_per_device, n_workers=0)
    Trainer(config, place).train()
    slow = ("audio_hours_per_hour", "waiting_share", "seconds")
    lines = [json.loads(line) for line in (out / checkpoint.LOG).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in slow} for line in lines]


def mert(run: RunConfig) -> RunConfig:
    """``run`` with MERT for an encoder, mixing, and constant-Q besides the codes."""
    tiny = recipe("mert_tiny")
    return override(run, {"objective": tiny.objective, "objective.encoder.transformer.n_layers": 1})


@pytest.mark.parametrize("family", ["muq", "mert"])
def test_stored_codes_train_as_the_teacher_that_made_them_does(
    family: str, small_run: RunConfig, manifest: Path, tmp_path: Path
) -> None:
    frames, run = (StackedMelConfig(), small_run) if family == "muq" else (MEL_75HZ, mert(small_run))
    online = teacher(tmp_path / "rvq", frames)
    hop, n_steps = frames.grid.hop_length, {"n_steps": 3}
    label_tracks(read_manifest(manifest), load_target(tmp_path / "rvq"), tmp_path / "codes")
    stored = StoredCodesConfig(n_codebooks=2, codebook_size=64, hop_length=hop)
    common = n_steps | {"data.context_seconds": 0.08, "data.start_samples": hop}
    hears = losses(override(run, {PREDICTED: online, **common}), tmp_path / "online")
    reads = losses(
        override(run, {PREDICTED: stored, "data.codes": str(tmp_path / "codes"), **common}),
        tmp_path / "stored",
    )
    assert hears == reads
    assert len({line["loss"] for line in reads}) == 3


def test_codes_without_context_are_those_of_a_teacher_with_it(
    small_run: RunConfig, manifest: Path, tmp_path: Path
) -> None:
    online = teacher(tmp_path / "rvq", StackedMelConfig())
    label_tracks(read_manifest(manifest), load_target(tmp_path / "rvq"), tmp_path / "codes")
    stored = {
        PREDICTED: StoredCodesConfig(n_codebooks=2, codebook_size=64),
        "data.codes": str(tmp_path / "codes"),
        "n_steps": 2,
    }
    on_frames = {PREDICTED: online, "data.start_samples": 960, "n_steps": 2}
    reads = losses(override(small_run, stored), tmp_path / "stored")
    with_context = override(small_run, on_frames | {"data.context_seconds": 0.08})
    assert losses(with_context, tmp_path / "with") == reads
    assert losses(override(small_run, on_frames), tmp_path / "without") != reads


def test_wrong_codes_stop_a_run_before_its_first_step(
    small_run: RunConfig, manifest: Path, tmp_path: Path
) -> None:
    teacher(tmp_path / "rvq", StackedMelConfig())
    tracks = read_manifest(manifest)
    label_tracks(tracks[1:], load_target(tmp_path / "rvq"), tmp_path / "codes")
    changes = {
        PREDICTED: StoredCodesConfig(n_codebooks=2, codebook_size=64),
        "data.codes": str(tmp_path / "codes"),
    }
    with pytest.raises(StoredFramesError, match="1 of 6 tracks"):
        losses(override(small_run, changes), tmp_path / "run")
    label_tracks(tracks, load_target(tmp_path / "rvq"), tmp_path / "codes")
    with pytest.raises(TargetError, match=r"codes\.json"):
        losses(override(small_run, changes | {f"{PREDICTED}.codebook_size": 32}), tmp_path / "run")
    with pytest.raises(TargetError, match="solfa data label"):
        losses(override(small_run, changes | {"data.codes": ""}), tmp_path / "run")
    assert not (tmp_path / "run" / checkpoint.LOG).exists()


def test_too_little_context_is_said_aloud(
    small_run: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    online = teacher(tmp_path / "rvq", StackedMelConfig())
    config = override(small_run, {PREDICTED: online, "data.context_seconds": 0.04, "n_steps": 1})
    losses(config, tmp_path / "run")
    assert "MelRVQ hears 1024 samples to each side, and data.context_seconds gives it 960" in caplog.text


def test_context_that_ends_inside_a_frame_is_refused_with_the_cure(
    small_run: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match=r"data\.context_seconds a multiple of 0\.04"):
        losses(override(small_run, {"data.context_seconds": 0.05}), tmp_path / "run")
