"""The whole way through the command line: from a folder of audio to a search result."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import solfa
from solfa import targets
from solfa.cli.main import app

TINY = {
    "data.clip_seconds": 2,
    "data.clips_per_step": 4,
    "n_steps": 4,
    "log_every": 2,
    "checkpoint_every": 2,
    "objective.encoder.conformer.n_layers": 1,
}


def piece(root: float, seed: int) -> np.ndarray:
    """Six seconds of a broken triad on ``root``, in a little noise."""
    time = np.arange(6 * 24_000) / 24_000
    pitch = root * np.array([1, 1.25, 1.5])[(time * 4).astype(int) % 3]
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / 24_000)
    return (0.4 * tone + 0.01 * np.random.default_rng(seed).standard_normal(len(time))).astype(np.float32)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for name, root, seed in (("low a", 110, 0), ("low b", 110, 1), ("high a", 880, 2), ("high b", 880, 3)):
        soundfile.write(folder / f"{name}.flac", piece(root, seed), 24_000)
    (folder / "broken.mp3").write_text("this is no music")
    return folder


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.output


def settings(**values: object) -> list[str]:
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def test_from_a_folder_of_music_to_a_search_result(music: Path, tmp_path: Path) -> None:
    manifest, rvq, muq = tmp_path / "tracks.jsonl", tmp_path / "rvq", tmp_path / "muq"
    quick = ("--workers", 0, "--device", "cpu")

    assert "broken.mp3" in run("data", "prepare", music, "--out", manifest)
    assert len(manifest.read_text().splitlines()) == 4

    common = {"data.manifest": manifest, "data.clip_seconds": 2, "data.clips_per_step": 4, "log_every": 2}
    run("train", "mel_rvq", "--out", rvq, *quick, *settings(**common, n_steps=4, checkpoint_every=4))
    assert isinstance(targets.load_quantizer(rvq), targets.ResidualVectorQuantizer)

    fitted = {"objective.predictions.0.target.fitted": rvq, "objective.encoder.conformer.n_layers": 1}
    said = run(
        "train",
        "muq_tiny",
        "--out",
        muq,
        *quick,
        *settings(**common, **fitted, n_steps=2, checkpoint_every=2),
    )
    assert f"solfa index MUSIC --model {muq}" in said.replace("\n", "")
    assert (muq / "curves.png").stat().st_size > 10_000
    said = run("train", "muq_tiny", "--out", muq, *quick, "--resume", *settings(n_steps=4))
    assert [json.loads(line)["step"] for line in (muq / "log.jsonl").read_text().splitlines()] == [2, 4]

    # The encoder's run knows its quantizer too: the same as the one it was trained on.
    frames = torch.randn(1, 5, 512)
    assert torch.equal(targets.load_quantizer(muq).encode(frames), targets.load_quantizer(rvq).encode(frames))

    vectors = solfa.embed(manifest, model=str(muq))
    assert vectors.shape == (4, 64) and bool(torch.isfinite(vectors).all())

    run("embed", music, "--model", muq, "--out", tmp_path / "vectors")
    run("index", music, "--model", muq, "--library", tmp_path / "library.sqlite")
    found = run("similar", music / "low a.flac", "--library", tmp_path / "library.sqlite", "--json")
    matches = json.loads(found)["matches"]
    assert len(matches) == 3
    assert Path(matches[0]["path"]).name == "low b.flac"


@pytest.mark.parametrize(
    ("words", "code", "cure"),
    [
        (["train", "muq_smal", "--out", "x"], 3, "Did you mean 'muq_small'"),
        (["train", "muq_small", "--out", "x"], 3, "solfa data prepare"),
        (["train", "muq_small", "--out", "x", "--set", "optim.lrr=3"], 3, "Did you mean 'lr'"),
        (["train", "nowhere.json", "--out", "x"], 3, "nowhere.json"),
        (["train", "muq_small"], 2, "--out"),
        (["data", "prepare", "nowhere"], 3, "Give a folder that holds music"),
    ],
)
def test_a_mistake_gets_one_message_with_the_cure(
    words: list[str],
    code: int,
    cure: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import sys

    from solfa.cli.main import run as main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["solfa", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = "".join(capfd.readouterr())
    assert ended.value.code == code
    assert cure in said.replace("\n", " ")
    assert "Traceback" not in said
    assert not (tmp_path / "x").exists()
