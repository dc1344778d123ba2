"""The command as a whole: help without the rooms, exit codes, and a doctor who finds what is wrong."""

import ast
import inspect
import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

import solfa
from solfa.cli import main
from solfa.cli.main import COMMANDS, app
from solfa.errors import ArgumentError, SolfaError
from solfa.models import bundled

SOURCE = Path(solfa.__file__).parent
HEAVY = (
    "torch",
    "numpy",
    "scipy",
    "sklearn",
    "mir_eval",
    "matplotlib",
    "av",
    "huggingface_hub",
    "transformers",
)


def run(*words: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_of_a_command_what_its_own_help_says(name: str) -> None:
    module, attribute = COMMANDS[name][0].split(":")
    command = getattr(import_module(module), attribute)
    own = command.info.help if isinstance(command, typer.Typer) else inspect.getdoc(command).splitlines()[0]
    assert COMMANDS[name][1] == own
    assert name in run("--help").stdout


def imported_by(code: str) -> set[str]:
    """Which of the heavy packages a fresh process has imported at the end of some code."""
    code = f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--version"], ["--help"], []])
def test_help_and_version_import_no_room(words: list[str]) -> None:
    code = f"from solfa.cli.main import app\ntry:\n    app({words!r})\nexcept SystemExit:\n    pass"
    assert imported_by(code) == set()


def test_the_package_is_imported_when_it_is_asked_for() -> None:
    assert imported_by("import solfa") == set()
    assert "torch" in imported_by("import solfa\nsolfa.load")


def test_every_public_name_is_there() -> None:
    assert set(solfa.__all__) <= set(dir(solfa))
    assert all(getattr(solfa, name) is not None for name in solfa.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        solfa.lode  # noqa: B018


def test_a_command_that_is_not_there_gets_the_nearest() -> None:
    assert "No such command 'searches'" in run("searches", exit_code=2).output


@pytest.mark.parametrize(
    ("error", "is_foreseen"),
    [(ArgumentError("what to do"), True), (OSError("what to do"), True), (ImportError("what to do"), True),
     (ValueError("a bug"), False), (ArithmeticError("a bug"), False)],
)  # fmt: skip
def test_a_foreseen_error_is_a_message_and_a_fault_shows_where_it_is(
    error: Exception,
    is_foreseen: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    monkeypatch.setattr(sys, "argv", ["solfa", "index"])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 3
    said = capfd.readouterr().err
    assert str(error) in said
    assert ("Traceback" in said) is not is_foreseen


# These never leave the function that asked.
CAUGHT_INSIDE = {"_FramesError", "LengthUnknownError", "CutShortError"}
STANDS_ALONE = SOURCE / "onnx.py"  # copied into programs that have no solfa, and so none of its errors


def test_every_error_of_the_package_is_foreseen() -> None:
    for path in sorted(set(SOURCE.rglob("*.py")) - {STANDS_ALONE}):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                assert ast.unparse(node.exc.func) not in ("ValueError", "Exception"), (path, node.lineno)
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                module = import_module(".".join(("solfa", *path.relative_to(SOURCE).with_suffix("").parts)))
                is_foreseen = issubclass(getattr(module, node.name), SolfaError)
                assert is_foreseen is (node.name not in CAUGHT_INSIDE), node.name


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundled models, which the package takes for its own."""
    folder = tmp_path / "weights"
    shutil.copytree(bundled.WEIGHTS, folder)
    monkeypatch.setattr(bundled, "WEIGHTS", folder)
    return folder


def test_doctor_finds_damaged_weights(weights: Path) -> None:
    path = weights / "solfa-mulan-small" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    said = json.loads(run("doctor", "--json", exit_code=1).stdout)
    verdicts = {model["name"]: model["verdict"] for model in said["models"]}
    assert verdicts["solfa-small"] == "ok" and verdicts["solfa-mulan-small"] == "FAILS"
    assert verdicts["search with solfa-small"] == "ok"  # with what is whole
    assert "is damaged" in next(model["said"] for model in said["models"] if model["verdict"] == "FAILS")
    assert not said["is_well"]


def test_doctor_finds_a_missing_model(weights: Path) -> None:
    shutil.rmtree(weights)
    said = json.loads(run("doctor", "--json", exit_code=1).stdout)
    assert said["models"][0]["verdict"] == "FAILS" and "Install solfa again" in said["models"][0]["said"]


def test_doctor_names_the_command_for_what_an_extra_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    said = json.loads(run("doctor", "--json").stdout)
    lacking = next(model for model in said["models"] if model["name"] == "solfa-mulan-small")
    assert lacking["verdict"] == "not tried" and 'pip install "solfa[text]"' in lacking["said"]
    assert said["is_well"]


@pytest.mark.parametrize(
    "options", [("--threads", "9" * 30), ("--threads", -1), ("--device", ""), ("--device", "toaster")]
)
@pytest.mark.parametrize("command", ["embed", "tag", "index"])
def test_threads_and_devices_that_cannot_be_are_usage_errors(
    command: str, options: tuple[str, object], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", np.sin(0.1 * np.arange(24_000)) / 4, 24_000)
    place = () if command == "tag" else ("--library" if command == "index" else "--out", tmp_path / "out")
    result = CliRunner().invoke(app, [command, str(tmp_path), *map(str, place), *map(str, options)])
    assert result.exit_code == 2, result.output
    assert options[0] in result.output or "no device" in result.output
    assert not (tmp_path / "out").exists()
