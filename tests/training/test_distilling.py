"""solfa train distill: large encoders of any frame rate teach a small one, in one command."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import solfa
from golden_data import GOLDEN, MUQ
from solfa.checkpoint import CONFIG, step_folder
from solfa.cli.main import app
from solfa.config import load_config, override, save_config, to_dict
from solfa.data.clips import Clips, RandomClips
from solfa.data.companions import TeacherBeside
from solfa.data.manifest import read_manifest
from solfa.data.spectra import store_spectra
from solfa.errors import ArgumentError
from solfa.models import AudioEncoder, build_encoder
from solfa.objectives import Distillation, Teacher, build_objective, load_teacher
from solfa.recipes import recipe
from solfa.recipes.resolve import resolved
from solfa.targets import TargetError
from solfa.targets.labelling import load_target
from solfa.training import RunConfig
from training.test_small_run import PREDICTOR, TINY
from training.test_trainer import log_of, stop_after, train
from training.test_two_processes import assert_same, gradients

MUQ_SIZES: dict[str, Any] = {
    "stem.n_channels": 4, "conformer.n_layers": 4, "conformer.dim": 16, "conformer.feed_forward_dim": 32,
    "conformer.n_heads": 2,
}  # fmt: skip
MERT_SIZES: dict[str, Any] = {
    "convolutions.n_channels": 32, "transformer.n_layers": 2, "transformer.dim": 32,
    "transformer.feed_forward_dim": 64, "transformer.n_heads": 2,
}  # fmt: skip
CODES = "objective.predictions.0.target.quantizer"


def made_teacher(name: str, sizes: dict[str, Any], folder: Path, license: str) -> Path:
    """A published layout in small sizes, with random weights."""
    config = override(
        recipe(name), {f"objective.encoder.{key}": value for key, value in sizes.items()}
    ).objective.encoder  # type: ignore[union-attr]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = build_encoder(config, license)
    return encoder.eval().save_pretrained(folder)


@pytest.fixture(scope="module")
def muq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_teacher("muq_large", MUQ_SIZES, tmp_path_factory.mktemp("t") / "muq", "CC-BY-NC-4.0")


@pytest.fixture(scope="module")
def mert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_teacher("mert_330m", MERT_SIZES, tmp_path_factory.mktemp("t") / "mert", "MIT")


@pytest.fixture(params=["muq", "mert"])
def teacher(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def distilled(manifest: Path, run: Path, teacher: Path | str = "", **changes: Any) -> RunConfig:
    """A small run, complete: its teacher has been asked."""
    changes = {
        **TINY,
        **({} if "objective.predictor" in changes else PREDICTOR),
        f"{CODES}.codebook_size": 16,
        "objective.teacher": str(teacher),
        "data.manifest": str(manifest),
        "data.valid_manifest": str(manifest),
        **changes,
    }
    return resolved(override(recipe("distill"), changes), run, changes)


def hidden_of(folder: Path, teacher: Path, manifest: Path, *layers: int) -> Path:
    words = [word for layer in layers for word in ("--frame-layer", str(layer))]
    result = CliRunner().invoke(
        app, ["embed", str(manifest), "--model", str(teacher), "--frames", *words, "--out", str(folder),
              "--device", "cpu"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return folder


def test_a_teacher_decides_sizes_layers_and_licence(muq: Path, mert: Path, manifest: Path) -> None:
    run = distilled(manifest, Path("nowhere"), muq).objective
    assert run.teacher_layers == (2, 4) and run.taught_by == "muq" and run.license == "CC-BY-NC-4.0"  # type: ignore[union-attr]
    target = run.predictions[0].target  # type: ignore[union-attr]
    assert (target.n_layers, target.layer_dim, target.n_directions, target.quantizer.dim) == (2, 16, 16, 32)
    run = distilled(manifest, Path("nowhere"), mert, **{"objective.teacher_layers": [-1]}).objective
    assert run.teacher_layers == (2,) and run.license == ""  # type: ignore[union-attr]
    assert run.predictions[0].target.quantizer.dim == 32  # type: ignore[union-attr]
    published = distilled(manifest, Path("nowhere"), GOLDEN / MUQ[0]).objective  # whose folder states none
    assert published.license == "not stated"  # type: ignore[union-attr]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("steps", [{}, {"objective.predictor": None}], ids=["two steps", "one step"])
def test_loss_falls_below_the_frequencies_of_codes(
    teacher: Path, steps: dict[str, Any], manifest: Path, tmp_path: Path
) -> None:
    config = distilled(
        manifest, tmp_path / "run", teacher, n_steps=140, log_every=20, validate_every=200,
        **steps, **{"optim.adam_lr": 4e-3, "objective.predictions.0.target.n_directions": 8},
    )  # fmt: skip
    train(override(config, {"data.valid_manifest": "", "checkpoint_every": 200}), tmp_path / "run")
    first, *_, last = log_of(tmp_path / "run")
    assert last["nats_below_frequencies"] > 0.01 > 0 > first["nats_below_frequencies"]
    assert last["pooled_loss"] < 0.5 * first["pooled_loss"] and last["loss"] < 0.9 * first["loss"]


@pytest.mark.usefixtures("unchecked")
def test_a_trained_teacher_teaches(small_run: RunConfig, manifest: Path, tmp_path: Path) -> None:
    train(override(small_run, {"n_steps": 20, "data.valid_manifest": ""}), tmp_path / "teacher")
    config = distilled(
        manifest, tmp_path / "run", tmp_path / "teacher", n_steps=140, log_every=20, validate_every=140,
        **{"optim.adam_lr": 4e-3, "data.n_valid_clips": 16},
    )  # fmt: skip
    train(override(config, {"checkpoint_every": 200}), tmp_path / "run")
    first, *_, last = log_of(tmp_path / "run")
    assert last["nats_below_frequencies"] > 0.01 > 0 > first["nats_below_frequencies"]
    assert last["valid_loss"] < 0.9 * first["loss"]


def test_six_steps_equal_three_saved_and_three_more(teacher: Path, manifest: Path, tmp_path: Path) -> None:
    config = distilled(manifest, tmp_path / "whole", teacher)
    whole = train(config, tmp_path / "whole")
    stop_after(config, tmp_path / "broken", 3)
    broken = train(load_config(RunConfig, tmp_path / "broken" / CONFIG), tmp_path / "broken", resume=True)
    a, b = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "broken")
    assert not any("conformer" in key or "convolutions" in key for key in a)  # nothing of the teacher


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_bit(muq: Path, manifest: Path, tmp_path: Path) -> None:
    config = distilled(
        manifest, tmp_path / "run", muq, n_steps=40, checkpoint_every=1,
        **{"data.valid_manifest": "", "data.clips_per_step": 2, "optim.decay_share": 0.0},
    )  # fmt: skip
    save_config(config, tmp_path / "config.json")
    script = Path(__file__).with_name("killed_runs.py")
    command = [sys.executable, script, tmp_path / "config.json", tmp_path, "5"]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    assert output.returncode == 0, output.stderr
    a, b = (load_file(step_folder(tmp_path / run, 40) / "model.safetensors") for run in ("whole", "killed"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_two_processes_give_the_gradients_of_one(teacher: Path, manifest: Path, tmp_path: Path) -> None:
    config = distilled(manifest, tmp_path / "run", teacher, n_steps=1)
    assert_same(gradients(config, tmp_path, 1), gradients(config, tmp_path, 2))
    logs = [log_of(tmp_path / f"{n} processes, 4 clips.run")[0] for n in (1, 2)]
    for figure in ("loss", "pooled_loss", "unigram_loss"):
        assert logs[0][figure] == pytest.approx(logs[1][figure], rel=1e-5), figure


def codes_of(config: RunConfig, folder: Path, numbers: range) -> torch.Tensor:
    """What the run whose checkpoint is ``folder`` predicts of some clips, its teacher heard or stored."""
    objective = build_objective(config.objective)
    assert isinstance(objective, Distillation)
    objective.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    clips = RandomClips(read_manifest(Path(config.data.manifest)), config.data, 24_000, config.seed)
    joined = clips.join([clips[number] for number in numbers])
    return objective.codes[0].with_context(objective._taught(joined)).values


def test_stored_frames_teach_as_the_teacher_does(teacher: Path, manifest: Path, tmp_path: Path) -> None:
    """Where it hears the same: the whole track in one go. The source is the same, and so are the codes.

    MERT gives no frame of the last 40 ms, which a clip must do without, and normalises over what it hears.
    """
    layers = (2, 4) if teacher.name == "muq" else (1, 2)
    seconds = 7.0 if teacher.name == "muq" else 6.96  # the last frame of 75 a second is not whole
    hidden = hidden_of(tmp_path / "hidden", teacher, manifest, *layers)
    alike = {
        "n_steps": 1,
        "data.clip_seconds": seconds,
        "data.start_samples": 24_000,
        "data.context_seconds": 0.0,
    }
    heard = distilled(manifest, tmp_path / "heard", teacher, **alike)
    stored = distilled(manifest, tmp_path / "stored", **alike, **{"data.teacher": str(hidden)})
    assert stored.objective.license == heard.objective.license  # type: ignore[union-attr]
    assert stored.objective.taught_by == teacher.name and stored.data.teacher_layers == layers  # type: ignore[union-attr]
    folder = train(heard, tmp_path / "heard")
    a, b = (codes_of(config, folder, range(6)) for config in (heard, stored))
    same = float((a == b).float().mean())
    assert a.shape == b.shape and same > (0.999 if teacher.name == "muq" else 0.95)
    train(stored, tmp_path / "stored")
    (one,), (other,) = log_of(tmp_path / "heard"), log_of(tmp_path / "stored")
    assert one["loss"] == pytest.approx(other["loss"], rel=0.02)


def test_stored_frames_lie_where_the_teacher_hears_them(manifest: Path, tmp_path: Path) -> None:
    """Layer 0 of SolfaSmall hears the surroundings of a frame alone, and so a second of them is enough."""
    sizes = {"transformer.n_layers": 1, "transformer.dim": 16, "transformer.n_heads": 2}
    local = made_teacher("solfa_small", sizes, tmp_path / "local", "MIT")
    hidden = hidden_of(tmp_path / "hidden", local, manifest, 0)
    alike = {"n_steps": 1, "data.start_samples": 960, "data.context_seconds": 1.0}
    heard = distilled(manifest, tmp_path / "heard", local, **alike, **{"objective.teacher_layers": [0]})
    stored = distilled(manifest, tmp_path / "stored", **alike, **{"data.teacher": str(hidden)})
    folder = train(heard, tmp_path / "heard")
    a, b = (codes_of(config, folder, range(12)) for config in (heard, stored))
    assert len(a.unique()) == 16 and float((a == b).float().mean()) > 0.99


def test_stored_frames_are_what_the_teacher_gives(teacher: Path, manifest: Path, tmp_path: Path) -> None:
    hidden = hidden_of(tmp_path / "hidden", teacher, manifest, 1, 2)
    heard = Teacher(load_teacher(str(teacher), 24_000), (1, 2))
    alike = {"data.clip_seconds": 7.0, "data.context_seconds": 0.0}
    config = distilled(manifest, tmp_path / "run", teacher, **alike)
    clips = RandomClips(read_manifest(manifest), config.data, 24_000, 0)
    given = heard.hear(clips.join([clips[0]]))
    beside = TeacherBeside(hidden, ())
    content = clips.tracks[int(given.tracks)].content_hash
    rows = np.concatenate([layer.rows(content, 0, 170) for layer in beside.layers], axis=1)
    assert given.hidden is not None and given.hidden.source == beside.source
    torch.testing.assert_close(given.hidden.values[0, :170], torch.from_numpy(rows), atol=1e-5, rtol=1e-5)


def test_frames_and_spectra_both_stored_need_no_audio(muq: Path, manifest: Path, tmp_path: Path) -> None:
    hidden = hidden_of(tmp_path / "hidden", muq, manifest, 3)
    store_spectra(read_manifest(manifest), tmp_path / "spectra")
    changes = {"data.teacher": str(hidden), "data.spectra": str(tmp_path / "spectra")}
    config = distilled(manifest, tmp_path / "run", **changes, **{"data.context_seconds": 0.0})
    train(config, tmp_path / "run")
    assert log_of(tmp_path / "run")[-1]["valid_loss"] > 0


def test_one_command_makes_a_model_that_names_its_teacher(muq: Path, manifest: Path, tmp_path: Path) -> None:
    settings = {
        **TINY, **PREDICTOR, f"{CODES}.codebook_size": 16, "objective.teacher": muq,
        "data.manifest": manifest, "n_steps": 2,
    }  # fmt: skip
    words = [w for key, value in settings.items() for w in ("--set", f"{key}={value}".replace("'", '"'))]
    command = ["train", "distill", "--out", str(tmp_path / "mine"), "--device", "cpu", "--workers", "0"]
    result = CliRunner().invoke(app, [*command, *words])
    assert result.exit_code == 0, result.output
    encoder = solfa.load(tmp_path / "mine")
    assert isinstance(encoder, AudioEncoder) and encoder(torch.zeros(1, 24_000)).layers.shape == (
        3,
        1,
        25,
        16,
    )
    assert (encoder.license, encoder.taught_by) == ("CC-BY-NC-4.0", "muq")
    again = solfa.load(encoder.save_pretrained(tmp_path / "saved"))
    assert (again.license, again.taught_by) == ("CC-BY-NC-4.0", "muq")
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "| taught by | muq |" in card and "license: cc-by-nc-4.0" in card and str(muq) not in card
    with pytest.raises(TargetError, match=r"codes of a teacher.*hidden_rvq"):
        label(tmp_path / "mine", manifest, tmp_path / "codes")


def label(run: Path, manifest: Path, out: Path) -> None:
    from solfa.targets.labelling import label_tracks

    label_tracks(read_manifest(manifest), load_target(run), out)


def test_another_teacher_under_the_same_name_is_refused(muq: Path, manifest: Path, tmp_path: Path) -> None:
    place = muq.parent / "changing"
    made_teacher("muq_large", MUQ_SIZES, place, "MIT")
    config = distilled(manifest, tmp_path / "run", place, **{"data.valid_manifest": ""})
    stop_after(config, tmp_path / "run", 2)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        build_encoder(solfa.load(place).config).eval().save_pretrained(place)  # type: ignore[arg-type]
    with pytest.raises(TargetError, match=r"another encoder.*Name the same teacher again"):
        train(config, tmp_path / "run", resume=True)


def test_what_cannot_teach_is_refused_with_the_cure(muq: Path, manifest: Path, tmp_path: Path) -> None:
    mulan = "solfa-mulan-small"
    slow = made_teacher("mert_v0", MERT_SIZES, tmp_path / "slow", "")
    refused = {
        "No teacher is named.*objective.teacher=MODEL.*data.teacher=HIDDEN": {},
        "is a music-text model.*Name an encoder that gives frames": {"objective.teacher": mulan},
        "hears 16000 Hz.*Name a teacher that hears 24000 Hz": {"objective.teacher": str(slow)},
        "both named.*Leave one out": {"objective.teacher": str(muq), "data.teacher": str(tmp_path)},
    }
    for message, changes in refused.items():
        with pytest.raises((ArgumentError, ValueError), match=message):
            distilled(manifest, tmp_path / "run", **changes)


def test_one_frame_a_clip_and_a_context_that_cuts_frames_are_refused(mert: Path) -> None:
    heard, number = Teacher(load_teacher(str(mert), 24_000), (1, 2)), torch.zeros(1, dtype=torch.long)
    with pytest.raises(TargetError, match=r"gives one vector for a clip.*raise data\.clip_seconds"):
        heard.hear(Clips(torch.randn(1, 500), 24_000, number, number))
    odd = Clips(
        torch.zeros(1, 24_000), 24_000, number, number,
        surroundings=torch.randn(1, 24_200), context_samples=100,
    )  # fmt: skip
    with pytest.raises(TargetError, match=r"Make it a multiple of 0\.0133"):
        heard.hear(odd)


def test_stored_spectra_leave_a_teacher_nothing_to_hear(muq: Path, manifest: Path, tmp_path: Path) -> None:
    store_spectra(read_manifest(manifest), tmp_path / "spectra")
    changes = {"data.spectra": str(tmp_path / "spectra"), "data.context_seconds": 0.0}
    with pytest.raises(ArgumentError, match=r"hears audio.*data\.teacher"):
        train(distilled(manifest, tmp_path / "run", muq, **changes), tmp_path / "run")


def test_vectors_without_frames_and_changed_spectra_are_refused(
    muq: Path, manifest: Path, tmp_path: Path
) -> None:
    vectors = tmp_path / "vectors"
    result = CliRunner().invoke(
        app, ["embed", str(manifest), "--model", str(muq), "--out", str(vectors), "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    with pytest.raises(ValueError, match=r"one vector for each track.*--frames --out HIDDEN"):
        distilled(manifest, tmp_path / "run", **{"data.teacher": str(vectors)})
    changed = {"teacher": "hidden", "spectra": "spectra", "context_seconds": 0.0, "augmentation": {}}
    with pytest.raises(ValueError, match=r"data\.augmentation go with them"):
        override(recipe("distill"), {"data": to_dict(recipe("distill").data) | changed})
