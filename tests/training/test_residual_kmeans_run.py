"""Centres are fitted by the trainer, to the bit when resumed, divided or shared; an encoder learns them."""

from pathlib import Path

import pytest
import torch

from solfa.config import override
from solfa.objectives import PredictionConfig
from solfa.recipes import recipe
from solfa.recipes.resolve import with_teachers
from solfa.targets import CQTRVQConfig, MelRVQConfig, TargetError, load_quantizer
from solfa.training import RunConfig
from training.test_kmeans_run import equal, weights
from training.test_trainer import log_of, stop_after, train
from training.test_two_processes import gradients


def fit_of(name: str, manifest: Path) -> RunConfig:
    return override(
        recipe(name),
        {
            "objective.target.quantizer.n_codebooks": 2,
            "objective.target.quantizer.codebook_size": 16,
            "data.manifest": str(manifest),
            "data.valid_manifest": str(manifest),
            "data.clip_seconds": 1.0,
            "data.clips_per_step": 4,
            "data.n_valid_clips": 3,
            "n_steps": 4,
            "validate_every": 2,
            "checkpoint_every": 2,
        },
    )


@pytest.fixture
def fit_run(manifest: Path) -> RunConfig:
    return fit_of("mel_rvq_small", manifest)


def test_four_steps_equal_three_saved_and_one_more(fit_run: RunConfig, tmp_path: Path) -> None:
    whole = train(fit_run, tmp_path / "whole")
    stop_after(fit_run, tmp_path / "broken", 3)
    broken = train(fit_run, tmp_path / "broken", resume=True)
    assert equal(weights(whole), weights(broken))


def test_accumulated_batches_change_nothing(fit_run: RunConfig, tmp_path: Path) -> None:
    a, b = (train(fit_run, tmp_path / str(n), clips_per_device=n) for n in (4, 3))
    assert equal(weights(a), weights(b))


def test_two_processes_find_what_one_does(fit_run: RunConfig, tmp_path: Path) -> None:
    config = override(fit_run, {"n_steps": 2, "validate_every": 1})
    one, two = (gradients(config, tmp_path, n) for n in (1, 2))
    assert one and equal(one, two)


@pytest.mark.parametrize("name", ["mel_rvq_small", "cqt_rvq_small"])
def test_the_fit_explains_held_out_frames(name: str, manifest: Path, tmp_path: Path) -> None:
    run = train(fit_of(name, manifest), tmp_path / "run").parent
    line = log_of(run)[-1]
    assert line["valid_explained_variance"] > 0.5
    assert line["perplexity_by_codebook"][0] > 4
    assert load_quantizer(run).config.kind == "kmeans_rvq"


def test_an_encoder_learns_both_kinds_of_codes_and_each_finds_its_own(
    small_run: RunConfig, manifest: Path, tmp_path: Path
) -> None:
    for name in ("mel_rvq_small", "cqt_rvq_small"):
        train(fit_of(name, manifest), tmp_path / name)
    predictions = (
        PredictionConfig(target=MelRVQConfig(fitted=str(tmp_path / "mel_rvq_small"))),
        PredictionConfig(target=CQTRVQConfig(fitted=str(tmp_path / "cqt_rvq_small"))),
    )
    both = override(small_run, {"objective.predictions": [to_values(p) for p in predictions], "n_steps": 2})
    config = with_teachers(both, tmp_path / "encoder", {})
    assert config.objective.predictions[0].target.frames.level == "removed"  # type: ignore[union-attr]
    train(config, tmp_path / "encoder")
    # Named as a teacher, the encoder's run gives to each target the quantizer of its kind.
    for prediction, dim in zip(predictions, (512, 252), strict=True):
        found = load_quantizer(tmp_path / "encoder", prediction.target.kind)
        first = load_quantizer(prediction.target.fitted)  # type: ignore[union-attr]
        assert found.config.dim == dim and torch.equal(found.codebooks, first.codebooks)  # type: ignore[union-attr]


def to_values(prediction: PredictionConfig) -> dict[str, object]:
    from solfa.config import to_dict

    return to_dict(prediction)


def test_a_quantizer_of_mel_frames_is_no_teacher_of_cqt_codes(
    fit_run: RunConfig, small_run: RunConfig, tmp_path: Path
) -> None:
    train(override(fit_run, {"n_steps": 1}), tmp_path / "mel")
    target = CQTRVQConfig(fitted=str(tmp_path / "mel"))
    config = override(small_run, {"objective.predictions": [to_values(PredictionConfig(target=target))]})
    with pytest.raises(TargetError, match="fitted for mel_rvq, and not for cqt_rvq"):
        with_teachers(config, tmp_path / "encoder", {})


def test_a_quantizer_of_frames_with_their_level_is_refused_for_frames_without(
    fit_run: RunConfig, small_run: RunConfig, tmp_path: Path
) -> None:
    kept = override(fit_run, {"objective.target.frames.level": "kept", "n_steps": 1})
    train(kept, tmp_path / "kept")
    target = override(fit_run, {"objective.target.fitted": str(tmp_path / "kept")}).objective.target  # type: ignore[union-attr]
    config = override(small_run, {"objective.predictions": [to_values(PredictionConfig(target=target))]})
    with pytest.raises(TargetError, match="frames to agree with it, or fit another"):
        train(config, tmp_path / "encoder")
