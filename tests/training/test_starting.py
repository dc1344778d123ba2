"""A run begins with the weights of another model: all of a run that fits, the encoder of a saved one."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import solfa
from solfa import runs
from solfa.checkpoint import CONFIG
from solfa.cli.main import app
from solfa.config import load_config, override, save_config, to_dict
from solfa.errors import ArgumentError
from solfa.models.fingerprint import fingerprint
from solfa.objectives import build_objective, starting_point
from solfa.objectives.starting import Taken
from solfa.recipes import recipe
from solfa.recipes.resolve import resolved
from solfa.recipes.starting import starting_from, with_start
from solfa.training import RunConfig, StartConfig
from training.test_small_run import TWO, small
from training.test_taught import LESSONS, taught
from training.test_trainer import log_of, train


@pytest.fixture(scope="module")
def before(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that others begin with."""
    run = tmp_path_factory.mktemp("before") / "run"
    train(small(TWO, manifest, n_steps=2, validate_every=100), run)
    return run


def begun(config: RunConfig, model: Path) -> tuple[dict[str, Tensor], Taken]:
    """Weights that a run begins with, and what of them is taken over."""
    objective = build_objective(config.objective)
    taken = starting_point(str(model)).begin(objective)
    return objective.state_dict(), taken


def test_all_that_fits_is_taken_of_a_run(manifest: Path, before: Path) -> None:
    torch.manual_seed(5)
    now, taken = begun(small(TWO, manifest), before)
    was = runs.Run(before).weights
    assert now.keys() == was.keys() and all(torch.equal(now[name], was[name]) for name in was)
    assert taken.taken == ("encoder", "predictor", "heads.0", "agreement", "transposition")
    assert str(taken).endswith("new: nothing")


def test_what_has_other_shapes_or_codes_is_new(manifest: Path, before: Path) -> None:
    _, narrow = begun(small(TWO, manifest, **{"objective.predictor.transformer.dim": 6}), before)
    assert narrow.new == {"predictor": "of other shapes there", "heads.0": "of other shapes there"}
    codes = {"objective.predictions.0.target.quantizer.seed": 7}
    _, other = begun(override(small(TWO, manifest), codes), before)
    assert other.new == {"heads.0": "of other codes there"} and "predictor" in other.taken


def test_a_bundle_in_half_precision_goes_on_elsewhere(
    manifest: Path, before: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As runs go on from one machine to another: by the command line, and by one folder."""
    bundle, run = tmp_path / "bundle", tmp_path / "run"
    solfa.load(before).save_pretrained(bundle, is_half=True)
    save_config(small(TWO, manifest, n_steps=1), tmp_path / CONFIG)
    call = ["train", str(tmp_path / CONFIG), "--start-from", str(bundle), "--out", str(run), "--workers", "0"]
    with caplog.at_level(logging.INFO):
        done = CliRunner().invoke(app, [*call, "--clips-per-device", "4"])
    assert done.exit_code == 0, done.output
    [said] = [line for line in caplog.messages if line.startswith("Begins with")]
    assert "taken over: encoder; new: predictor (not there); heads.0 (not there)" in said
    start = load_config(RunConfig, run / CONFIG).start_from
    assert start == StartConfig(model=str(bundle), fingerprint=fingerprint(solfa.load(bundle)))
    # The same command goes on with the run, without a look at what it began with.
    (bundle / CONFIG).unlink()
    more = CliRunner().invoke(app, [*call, "--resume", "--set", "n_steps=2"])
    assert more.exit_code == 0, more.output
    assert log_of(run)[-1]["step"] == 2 and load_config(RunConfig, run / CONFIG).start_from == start


def test_half_precision_rounds_the_encoder_and_nothing_else(
    manifest: Path, before: Path, tmp_path: Path
) -> None:
    solfa.load(before).save_pretrained(tmp_path / "bundle", is_half=True)
    (now, _), was = begun(small(TWO, manifest), tmp_path / "bundle"), runs.Run(before).weights
    encoder = [name for name in was if name.startswith("encoder.")]
    assert all(torch.equal(now[name], was[name].half().float()) for name in encoder)
    assert not torch.equal(now["predictor.vector"], was["predictor.vector"])


def test_another_encoder_is_refused_by_what_differs(manifest: Path, before: Path) -> None:
    deep = small(TWO, manifest, **{"objective.encoder.transformer.n_layers": 3})
    with pytest.raises(ArgumentError, match=r"transformer\.n_layers: 2 there, 3 here\n.*n_layers=2;"):
        begun(deep, before)
    begun(
        small(TWO, manifest, **{"objective.encoder.withheld_share": 0.0}), before
    )  # no weight depends on it


def test_another_kind_of_encoder_is_refused(small_run: RunConfig, before: Path) -> None:
    with pytest.raises(ArgumentError, match="is a solfa_small, and this run trains a muq"):
        begun(small_run, before)


def test_a_run_that_has_begun_keeps_what_it_began_with(manifest: Path, before: Path) -> None:
    with pytest.raises(ArgumentError, match=r"began with random weights.*Leave --start-from out"):
        starting_from(small(TWO, manifest), "another", before)


def test_settings_of_another_start_are_refused(manifest: Path, before: Path, tmp_path: Path) -> None:
    config = override(small(TWO, manifest), {"start_from": StartConfig(model=str(before), fingerprint="a1")})
    with pytest.raises(ArgumentError, match=r"its hash was a1, and now it is .*--start-from"):
        resolved(config, tmp_path / "run", {})


def test_trainings_of_no_encoder_name_their_own_way(before: Path) -> None:
    start = {"start_from": StartConfig(model=str(before))}
    with pytest.raises(ArgumentError, match=r"--set objective\.start="):
        with_start(override(recipe("finetune"), start))
    with pytest.raises(ArgumentError, match="Leave it out"):
        with_start(override(recipe("mel_rvq"), start))


def test_lessons_are_known_by_what_they_are(manifest: Path, store: Path, tmp_path: Path) -> None:
    quick = {"n_steps": 1, "validate_every": 100}
    train(taught(manifest, store, tmp_path / "first", **quick), tmp_path / "first")
    moved = [LESSONS[3] | {"weight": 0.5}, LESSONS[0] | {"layer": 1}]
    config = taught(manifest, store, tmp_path / "second", **{"objective.lessons": moved})
    now, taken = begun(config, tmp_path / "first")
    was = runs.Run(tmp_path / "first").weights
    assert torch.equal(now["lessons.lessons.0.linear.weight"], was["lessons.lessons.3.linear.weight"])
    assert taken.new["lessons.lessons.1"] == "not there"
    assert taken.new["heads.1"] == "of other codes there"  # fitted to the first clips of either run
    # A model that began with a taught one is taught, whatever it learns afterwards.
    later = resolved(starting_from(small(TWO, manifest), str(tmp_path / "first"), tmp_path / "third"),
                     tmp_path / "third", {})  # fmt: skip
    assert runs.taught_by(to_dict(later)) == "labels (exact), tagger (ISC)"


def test_licences_of_both_are_those_of_a_model_that_began_with_another() -> None:
    values = {
        "start_from": {"license": "CC-BY-SA-4.0", "taught_by": "a (MIT)"},
        "objective": {"license": "CC-BY-NC-4.0; CC-BY-SA-4.0", "taught_by": "b (ISC), a (MIT)"},
    }
    assert runs.licence(values) == "CC-BY-SA-4.0; CC-BY-NC-4.0"
    assert runs.taught_by(values) == "a (MIT), b (ISC)"
    assert runs.licence({"license": "MIT"}) == "MIT" and runs.taught_by({"start_from": None}) == ""
