"""Clusters are fitted by the trainer, to the bit when resumed, divided or shared; an encoder learns them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from solfa.config import override, to_dict
from solfa.objectives import CosineCodeHeadConfig, KMeansFitConfig, PredictionConfig
from solfa.recipes import recipe
from solfa.targets import TargetError
from solfa.training import RunConfig
from training.test_trainer import log_of, stop_after, train
from training.test_two_processes import gradients


@pytest.fixture
def fit_run(manifest: Path) -> RunConfig:
    """20 clusters of log-mel and 12 of chroma."""
    return override(
        recipe("kmeans_75hz"),
        {
            "objective.targets.0.n_clusters": 20,
            "objective.targets.1.n_clusters": 12,
            "data.manifest": str(manifest),
            "data.valid_manifest": str(manifest),
            "data.clip_seconds": 1.0,
            "data.clips_per_step": 4,
            "data.n_valid_clips": 3,
            "n_steps": 6,
            "log_every": 1,
            "validate_every": 3,
            "checkpoint_every": 2,
        },
    )


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_six_steps_equal_three_saved_and_three_more(fit_run: RunConfig, tmp_path: Path) -> None:
    whole = train(fit_run, tmp_path / "whole")
    stop_after(fit_run, tmp_path / "broken", 3)
    broken = train(fit_run, tmp_path / "broken", resume=True)
    assert equal(weights(whole), weights(broken))
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "broken")


def test_accumulated_batches_change_nothing(fit_run: RunConfig, tmp_path: Path) -> None:
    config = override(fit_run, {"n_steps": 3})
    a, b = (train(config, tmp_path / str(n), clips_per_device=n) for n in (4, 3))
    assert equal(weights(a), weights(b))


def test_two_processes_find_what_one_does(fit_run: RunConfig, tmp_path: Path) -> None:
    config = override(fit_run, {"n_steps": 2, "validate_every": 1})
    one, two = (gradients(config, tmp_path, n) for n in (1, 2))
    assert one and equal(one, two)
    logs = [log_of(tmp_path / f"{n} processes, 4 clips.run")[1] for n in (1, 2)]
    for name in ("loss", "valid_loss", "unigram_loss"):
        assert logs[0][name] == pytest.approx(logs[1][name], rel=1e-5), name


def test_the_fit_explains_held_out_frames(fit_run: RunConfig, tmp_path: Path) -> None:
    train(fit_run, tmp_path / "run")
    line = log_of(tmp_path / "run")[-1]
    assert min(line["valid_explained_variance_by_target"]) > 0.5
    assert line["perplexity_by_codebook"][0] > 4 and line["targets.1.perplexity_by_codebook"][0] > 4


def test_an_encoder_learns_both_codebooks_and_refuses_them_unfitted(
    fit_run: RunConfig, tmp_path: Path
) -> None:
    train(fit_run, tmp_path / "clusters")
    assert isinstance(fit_run.objective, KMeansFitConfig)
    codes = [PredictionConfig(target=t, head=CosineCodeHeadConfig(dim=8)) for t in fit_run.objective.targets]
    config = override(
        recipe("mert_tiny"),
        {
            "objective.predictions": [to_dict(prediction) for prediction in codes],
            "data": fit_run.data,
            "n_steps": 2,
            "log_every": 1,
        },
    )
    with pytest.raises(TargetError, match="need fitted centres"):
        train(config, tmp_path / "unfitted")
    fitted = {f"objective.predictions.{i}.target.fitted": str(tmp_path / "clusters") for i in (0, 1)}
    folder = train(override(config, fitted), tmp_path / "run")
    taught_by = weights(tmp_path / "clusters" / "step-00000006")
    assert torch.equal(weights(folder)["targets.1.centres"], taught_by["targets.1.centres"])
    assert "predictions.1.accuracy_by_codebook" in log_of(tmp_path / "run")[-1]
