"""Two gloo processes take the step of one process with the joined batch."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from solfa import checkpoint
from solfa.config import override, save_config
from solfa.data.clips import numbers_of_step
from solfa.objectives import TrackAgreementConfig
from solfa.recipes.codec import rvq_vae_tiny
from solfa.training import RunConfig
from training.one_rank import take_a_step
from training.ranks import command, run_ranks


def gradients(
    config: RunConfig, folder: Path, n_processes: int, clips_per_device: int = 4
) -> dict[str, Tensor]:
    """Gradients of the first step, before they are clipped away."""
    save_config(config, folder / "config.json")
    out = folder / f"{n_processes} processes, {clips_per_device} clips.safetensors"
    arguments = (folder / "config.json", out, clips_per_device)
    run_ranks(take_a_step, *arguments, n_processes=n_processes, folder=folder)
    return load_file(out)


def logs(folder: Path) -> list[dict[str, Any]]:
    """The line of the log that one process wrote, and that of two."""
    return [json.loads((folder / f"{n} processes, 4 clips.run" / "log.jsonl").read_text()) for n in (1, 2)]


@pytest.fixture
def one_step(small_run: RunConfig) -> RunConfig:
    return override(
        small_run,
        {
            "n_steps": 1,
            "objective.encoder.conformer.dropout": 0.0,
            "validate_every": 1,
            "data.valid_manifest": small_run.data.valid_manifest,
        },
    )


def assert_same(reference: dict[str, Tensor], estimated: dict[str, Tensor]) -> None:
    assert reference.keys() == estimated.keys()
    largest = max(float(value.abs().max()) for name, value in reference.items() if "buffer" not in name)
    for name, value in reference.items():
        if value.dtype == torch.bool:
            assert torch.equal(value, estimated[name]), name
            continue
        scale = float(value.abs().max()) if "buffer" in name else largest
        assert (value - estimated[name]).abs().max() <= 1e-5 * scale + 1e-9, name


def test_two_processes_give_the_gradients_of_one(one_step: RunConfig, tmp_path: Path) -> None:
    config = override(one_step, {"data.n_valid_clips": 1})  # the second process has none to wait for
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))
    one, two = logs(tmp_path)
    assert one["valid_loss"] == pytest.approx(two["valid_loss"], rel=1e-3)
    assert one.keys() == two.keys()


def test_clips_of_one_track_find_each_other_across_processes(one_step: RunConfig, tmp_path: Path) -> None:
    config = override(
        one_step, {"objective.agreement": TrackAgreementConfig(weight=5.0), "data.clips_per_track": 2}
    )
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))


def test_two_processes_log_what_one_logs(one_step: RunConfig, tmp_path: Path) -> None:
    gradients(one_step, tmp_path, 1)
    gradients(one_step, tmp_path, 2)
    one, two = logs(tmp_path)
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
    assert one["valid_loss"] == pytest.approx(two["valid_loss"], rel=1e-3)  # after a step of Adam, which
    # divides gradients by their size: where they are all rounding, so is the step
    assert one["unigram_loss"] == two["unigram_loss"]


@pytest.mark.slow
def test_two_processes_fit_a_quantizer_as_one_does(one_step: RunConfig, tmp_path: Path) -> None:
    from solfa.objectives import QuantizerFitConfig

    config = override(one_step, {"objective": QuantizerFitConfig()})
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))


@pytest.mark.slow
def test_two_processes_fit_a_codec_as_one_does(one_step: RunConfig, tmp_path: Path) -> None:
    config = override(
        one_step,
        {
            "objective": rvq_vae_tiny().objective,
            "objective.codec.quantizer.free_steps": 0,
            "objective.codec.quantizer.stale_steps": 1,
        },
    )
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))


def test_ranks_share_a_step_without_gap_or_repetition() -> None:
    for world in (1, 2, 4):
        shares = [numbers_of_step(3, 8, rank, world) for rank in range(world)]
        assert sorted(number for share in shares for number in share) == list(range(24, 32))
        assert torch.tensor([len(share) for share in shares]).unique().tolist() == [8 // world]


def n_unreadable(config: RunConfig, folder: Path, n_processes: int) -> int:
    """How many clips could not be read, as the checkpoint of a short training says."""
    folder.mkdir()
    save_config(config, folder / "config.json")
    words = ["train", folder / "config.json", "--out", folder / "run", "--device", "cpu", "--workers", "0"]
    run_ranks(command, list(map(str, words)), n_processes=n_processes, folder=folder)
    newest = checkpoint.step_folder(folder / "run", config.n_steps)
    return int(checkpoint.load_training(newest, torch.device("cpu"))["n_unreadable"])


def test_clips_that_cannot_be_read_are_counted_over_all_processes(
    small_run: RunConfig, tmp_path: Path
) -> None:
    shutil.copytree(Path(small_run.data.manifest).parent, tmp_path / "music")
    for number in (1, 3):
        (tmp_path / "music" / f"track {number}.wav").unlink()
    changes = {"data.manifest": str(tmp_path / "music" / "tracks.jsonl"), "data.valid_manifest": ""}
    config = override(small_run, changes | {"n_steps": 3})
    counts = [n_unreadable(config, tmp_path / str(n), n) for n in (1, 2)]
    assert counts[0] == counts[1] > 0
