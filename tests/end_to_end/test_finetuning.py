"""From a table of labels to tags, through the command line."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import synth
from solfa.cli.main import app

SECONDS = 1.5


@pytest.fixture
def table(tmp_path: Path, write_wav: object) -> Path:
    """Twenty sounds, low tones and noises, and the table of their labels."""
    rows = ["path,label"]
    for number in range(10):
        sounds = {"low": synth.tone(100 + 10 * number, SECONDS), "hiss": synth.noise(SECONDS, seed=number)}
        for label, waveform in sounds.items():
            write_wav(tmp_path / "known" / f"{label}{number}.wav", waveform)  # type: ignore[operator]
            rows.append(f"known/{label}{number}.wav,{label}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "labels.csv"


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.output


def test_a_table_becomes_a_model_that_tags_other_sounds(
    table: Path, tiny_run: Path, tmp_path: Path, write_wav: object
) -> None:
    settings = {
        "data.labels": table, "objective.start": tiny_run, "data.clip_seconds": 1, "data.clips_per_step": 8,
        "n_steps": 30, "log_every": 10, "validate_every": 30, "optim.lr": 0.01,
    }  # fmt: skip
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    said = run("train", "finetune", *words, "--out", tmp_path / "run", "--workers", 0, "--device", "cpu")
    assert f"solfa tag MUSIC --model {tmp_path / 'run'}" in said

    music, out = tmp_path / "music", tmp_path / "tags.jsonl"
    write_wav(music / "a low one.wav", synth.tone(144, 3.2))  # type: ignore[operator]
    write_wav(music / "a hiss.wav", synth.noise(0.7, seed=99))  # type: ignore[operator]
    (music / "broken.wav").write_bytes(b"no music")
    said = run("tag", music, "--model", tmp_path / "run", "--top", 1, "--out", out)
    assert "refused" in said and "broken.wav" in said
    tagged = map(json.loads, out.read_text().splitlines())
    best = {Path(row["path"]).name: next(iter(row["labels"])) for row in tagged}
    assert best == {"a low one.wav": "low", "a hiss.wav": "hiss"}

    out = tmp_path / "tags.csv"
    run("tag", music / "a low one.wav", "--model", tmp_path / "run", "--over-time", 1, "--out", out)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = [(float(row["start"]), float(row["end"])) for row in rows if row["label"] == "low"]
    assert times == [
        (0.0, 1.0),
        (1.0, 2.0),
        (2.0, 3.0),
        (pytest.approx(2.2, abs=0.05), pytest.approx(3.2, abs=0.05)),
    ]
    assert sum(float(row["value"]) for row in rows) == pytest.approx(4, abs=0.01)


def test_a_model_without_labels_says_how_to_make_one(tiny_run: Path, table: Path) -> None:
    said = run("tag", table.parent / "known", "--model", tiny_run, code=2)
    assert "solfa train finetune" in " ".join(said.replace("│", " ").split())
