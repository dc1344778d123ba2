"""solfa embed: options that choose layer and precision, and a model that is broken."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from golden_data import GOLDEN
from solfa.cli.main import app
from solfa.models import layer_guide
from solfa.models.published.format import Checkpoint, ProbedLayer
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A folder of two tunes."""
    for n in range(2):
        write_wav(tmp_path / "music" / f"{n}.wav", melody(1.0, seed=n))
    return tmp_path / "music"


def embed(*arguments: object, exit_code: int = 0) -> Result:
    words = ["embed", *map(str, arguments)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def test_a_task_chooses_the_layer_and_says_why(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = (ProbedLayer("key", 1, "a probe"),)
    known = {"owner/model": Checkpoint("MIT", 0, ("mert", 2, 32, 24_000), probed)}
    monkeypatch.setattr(layer_guide, "CHECKPOINTS", known)
    options = ("--model", GOLDEN / "mert_95m_style", "--task", "key", "--frames")
    result = embed(music, "--out", tmp_path / "out", *options)
    assert "layer 1 for key (a probe, with owner/model, whose architecture this model has)" in result.stdout
    said = json.loads((tmp_path / "out" / "store.json").read_text())
    assert (said["space"]["layer"], said["frame_layers"]) == (1, [1])


def test_a_task_without_a_known_layer_is_refused(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    with pytest.raises(layer_guide.LayerGuideError, match=r"a run of your own.*--layer N"):
        embed(music, "--model", tiny_run, "--out", tmp_path / "out", "--task", "key")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        (("--task", "key", "--layer", 1), "Leave one of them out"),
        (("--task", "tempo"), "'key'"),
        (("--precision", "float16", "--device", "cpu"), "Use float32"),
    ],
)
def test_options_that_cannot_be_are_usage_errors(
    tiny_run: Path, music: Path, tmp_path: Path, options: tuple[object, ...], cure: str
) -> None:
    out = tmp_path / "out"
    result = embed(music, "--model", tiny_run, "--out", out, *options, exit_code=2)
    assert cure in " ".join(result.stderr.replace("│", " ").split())
    assert not out.exists()


def test_a_broken_model_is_one_message_and_exit_code_3(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "broken"))
    path = next(run.rglob("model.safetensors"))
    weights = load_file(path)
    weights["encoder.context.layers.0.norm.bias"][0] = float("nan")
    save_file(weights, path)
    (path.parent / "SHA256SUMS").unlink()  # with it, the bytes alone would be refused
    command = ["embed", str(music), "--model", str(run), "--out", str(tmp_path / "out"), "--device", "cpu"]
    done = subprocess.run([sys.executable, "-m", "solfa", *command], capture_output=True, text=True)
    assert done.returncode == 3
    assert "layers.0.norm.bias" in done.stderr and "Copy it again" in done.stderr
    assert "Traceback" not in done.stderr
    assert "refused" not in done.stdout
