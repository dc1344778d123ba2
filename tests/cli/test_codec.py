from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import save_file
from typer.testing import CliRunner

from solfa.checkpoint import CONFIG, WEIGHTS
from solfa.cli.main import app
from solfa.config import save_config
from solfa.data.audio import AudioError
from solfa.objectives import build_objective
from solfa.recipes.codec import rvq_vae_tiny
from solfa.targets import TargetError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A codec that has learned nothing."""
    folder = tmp_path / "rvq_vae"
    (folder / "step-00000001").mkdir(parents=True)
    save_config(rvq_vae_tiny(), folder / CONFIG)
    save_file(build_objective(rvq_vae_tiny().objective).state_dict(), folder / "step-00000001" / WEIGHTS)
    return folder


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "in.wav"
    time = np.arange(44_100) / 44_100
    soundfile.write(path, np.stack([0.3 * np.sin(2 * np.pi * f * time) for f in (440, 660)], axis=1), 44_100)
    return path


def test_a_recording_comes_back_as_long_as_it_was(run: Path, song: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.flac"
    result = CliRunner().invoke(app, ["codec", "roundtrip", str(song), str(out), "--codec", str(run)])
    assert result.exit_code == 0, result.output
    info = soundfile.info(out)
    assert (info.samplerate, info.channels, info.frames) == (24_000, 1, 24_000)
    assert "3.6 kbit/s" in result.output  # 8 codebooks of 64 at 75 Hz
    assert "convergence" in result.output


def test_fewer_codebooks_take_fewer_bits(run: Path, song: Path, tmp_path: Path) -> None:
    arguments = ["codec", "roundtrip", str(song), str(tmp_path / "o.wav"), "--codec", str(run), "--codebooks"]
    assert "0.9 kbit/s" in CliRunner().invoke(app, [*arguments, "2"]).output


def test_a_format_that_cannot_be_written_is_refused_before_the_work(
    run: Path, song: Path, tmp_path: Path
) -> None:
    arguments = ["codec", "roundtrip", str(song), str(tmp_path / "out.xyz"), "--codec", str(run)]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, AudioError)
    assert ".wav" in str(result.exception)


def test_a_run_without_a_codec_is_refused(song: Path, tmp_path: Path) -> None:
    arguments = ["codec", "roundtrip", str(song), str(tmp_path / "out.wav"), "--codec", str(tmp_path / "no")]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, TargetError)
    assert "solfa train rvq_vae" in str(result.exception)
