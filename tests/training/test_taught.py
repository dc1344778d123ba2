"""solfa_small_taught is trained: it learns what stored teachers say, resumes, and may have two processes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import solfa
from solfa.checkpoint import CONFIG
from solfa.config import load_config, override, save_config, to_dict
from solfa.data.stored_teachers import ColumnsConfig, StoredTeacher, TeacherDescription
from solfa.errors import ArgumentError
from solfa.objectives import TaughtPredictionConfig, build_objective
from solfa.recipes import recipe
from solfa.recipes.resolve import resolved
from solfa.training import RunConfig
from training.conftest import CODES
from training.test_small_run import PREDICTOR, TINY
from training.test_trainer import log_of, stop_after, train
from training.test_two_processes import assert_same, gradients

LESSONS: list[dict[str, Any]] = [
    {"kind": "clip_vector", "teachers": ["tagger"], "column": "vector", "width": 6, "layer": 2},
    {"kind": "clip_tags", "teachers": ["tagger"], "column": "tags", "width": 3, "layer": -1},
    {"kind": "frame_tags", "teachers": ["labels"], "column": "beats", "width": 1, "layer": 1,
     "softened_frames": 1},
    {"kind": "clip_class", "teachers": ["labels"], "column": "key", "width": 4, "layer": 1},
]  # fmt: skip
JOINT = {
    "target": {
        "kind": "teacher_codes",
        "parts": [
            {"teacher": "tagger", "column": "vector", "width": 6, "n_directions": 4},
            {"teacher": "tagger", "column": "tags", "width": 3, "n_directions": 2, "weight": 0.5},
        ],
        "quantizer": {"dim": 6, "codebook_size": 16, "n_codebooks": 2},
    },
    "head": {"kind": "linear"},
}


def taught(manifest: Path, store: Path, run: Path, **changes: Any) -> RunConfig:
    """A small run, complete."""
    codes = to_dict(recipe("solfa_small").objective.predictions[0]) | {  # type: ignore[union-attr]
        "target": to_dict(CODES), "head": {"kind": "linear"},
    }  # fmt: skip
    changes = {
        **TINY,
        **({} if "objective.predictor" in changes else PREDICTOR),
        "objective.masking.whole_share": 0.5,
        "objective.predictions": [codes, JOINT],
        "objective.lessons": LESSONS,
        "objective.watched_layers": [],
        "data.manifest": str(manifest),
        "data.teachers": str(store),
        **changes,
    }
    return resolved(override(recipe("solfa_small_taught"), changes), run, changes)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("steps", [{}, {"objective.predictor": None}], ids=["two steps", "one step"])
def test_lessons_and_joint_codes_are_learned(
    steps: dict[str, Any], manifest: Path, store: Path, tmp_path: Path
) -> None:
    config = taught(
        manifest, store, tmp_path / "run", n_steps=160, log_every=20, validate_every=200,
        **steps, **{"optim.adam_lr": 4e-3, "data.clips_per_step": 8, "checkpoint_every": 200},
    )  # fmt: skip
    train(config, tmp_path / "run")
    first, *_, last = log_of(tmp_path / "run")
    assert last["tagger tags loss"] < 0.6 * first["tagger tags loss"]
    assert last["tagger vector loss"] < 0.6 * first["tagger vector loss"]
    assert 0 < last["labels key loss"] < first["labels key loss"]
    assert solfa.load(str(tmp_path / "run")).n_layers == 2


def test_six_steps_equal_three_saved_and_three_more(manifest: Path, store: Path, tmp_path: Path) -> None:
    config = taught(manifest, store, tmp_path / "whole")
    whole = train(config, tmp_path / "whole")
    stop_after(config, tmp_path / "broken", 3)
    broken = train(load_config(RunConfig, tmp_path / "broken" / CONFIG), tmp_path / "broken", resume=True)
    a, b = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert bool(a["lessons.means"].all())
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "broken")


def test_two_processes_give_the_gradients_of_one(manifest: Path, store: Path, tmp_path: Path) -> None:
    config = taught(manifest, store, tmp_path / "run", n_steps=1)
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))
    one, two = (log_of(tmp_path / f"{n} processes, 4 clips.run")[0] for n in (1, 2))
    for figure in ("loss", "tagger tags loss", "tagger vector loss", "labels key loss"):
        assert one[figure] == pytest.approx(two[figure], rel=1e-5), figure


def test_running_means_are_those_of_all_processes(manifest: Path, store: Path, tmp_path: Path) -> None:
    config = taught(manifest, store, tmp_path / "run", n_steps=1)
    means = []
    for n in (1, 2):
        gradients(config, tmp_path, n)
        [folder] = (tmp_path / f"{n} processes, 4 clips.run").glob("step-*")
        means.append(load_file(folder / "model.safetensors")["lessons.means"])
    torch.testing.assert_close(means[0], means[1])


def test_who_taught_stands_in_the_run(manifest: Path, store: Path, tmp_path: Path) -> None:
    objective = taught(manifest, store, tmp_path / "run").objective
    assert isinstance(objective, TaughtPredictionConfig)
    assert objective.taught_by == "labels (exact), tagger (ISC)" and objective.license == ""


def test_masks_that_leave_no_clip_whole_are_refused(manifest: Path, store: Path, tmp_path: Path) -> None:
    config = taught(manifest, store, tmp_path / "run", **{"objective.masking.whole_share": 0.0})
    with pytest.raises(ArgumentError, match=r"whole_share above 0"):
        build_objective(config.objective)


def test_a_licence_that_binds_becomes_that_of_the_model(manifest: Path, store: Path, tmp_path: Path) -> None:
    bound = TeacherDescription(
        name="bound", license="CC-BY-NC-4.0", fingerprint="b", numbers="uint8",
        columns=(ColumnsConfig(name="tags", width=3, form="probability"),),
    )  # fmt: skip
    StoredTeacher.begin(store / "bound", bound)
    config = taught(manifest, store, tmp_path / "run", **{"data.restricted_teachers": True})
    assert isinstance(config.objective, TaughtPredictionConfig)
    assert config.objective.license == "CC-BY-NC-4.0" and "bound (CC-BY-NC-4.0)" in config.objective.taught_by


def test_a_run_that_goes_on_takes_no_teacher_whose_licence_it_does_not_state(
    manifest: Path, store: Path, tmp_path: Path
) -> None:
    config, run = taught(manifest, store, tmp_path / "run"), tmp_path / "run"
    save_config(config, run / CONFIG)
    assert resolved(config, run, {}) == config
    for name in ("bound", "bound too"):
        described = TeacherDescription(
            name=name, license="CC-BY-NC-4.0", fingerprint="b", numbers="uint8",
            columns=(ColumnsConfig(name="tags", width=3, form="probability"),),
        )  # fmt: skip
        StoredTeacher.begin(store / name, described)
    with pytest.raises(ArgumentError, match=r"licensed CC-BY-NC-4\.0, and this run began without it"):
        resolved(override(config, {"data.restricted_teachers": True}), run, {})
    fresh = taught(manifest, store, tmp_path / "other", **{"data.restricted_teachers": True})
    assert fresh.objective.license == "CC-BY-NC-4.0"  # type: ignore[union-attr]
    assert resolved(fresh, run, {}) == fresh
