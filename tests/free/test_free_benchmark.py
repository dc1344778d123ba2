"""solfa data render free, and solfa probe free: from small parts to a table."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("tinysoundfont")

from free.test_recordings import KITS, beep, build_drums
from sine_soundfont import write_sine_soundfont
from solfa.cli.main import app
from solfa_free import free_benchmark
from solfa_free.free_benchmark import PARTS
from solfa_free.soundfonts import Soundfont, fetch_soundfont
from tasks.free_replica import write_free

FAST = ("--seeds", 1, "--set", "hidden_dim=8", "--set", "lrs=[0.01]", "--set", "n_epochs=2")
pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")


def solfa(*arguments: object, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Soundfonts of a sine under the benchmark's names, and a package of drums with a kit for each split."""
    sine = fetch_soundfont(str(write_sine_soundfont(tmp_path / "sine.sf2", range(96))))

    def fetch(name: str, folder: Path | None) -> Soundfont:
        return replace(sine, name=name)

    kits = {"Audiophob": 300, "VariBreaks": 400, "ForzeeStereo": 500}
    sounds = {f"{KITS}/{kit}/kick{n}.wav": beep(hz + 20 * n) for kit, hz in kits.items() for n in range(3)}
    (tmp_path / "cache").mkdir()
    build_drums(tmp_path / "cache", sounds)
    parts = [
        replace(part, packages=("hydrogen-drumkits",)) if part.name == "drums" else part
        for part in PARTS
        if part.name in ("notes", "pop909", "drums")
    ]
    monkeypatch.setattr(free_benchmark, "PARTS", tuple(parts))
    monkeypatch.setattr(free_benchmark, "fetch_soundfont", fetch)
    return tmp_path / "cache"


def test_the_benchmark_is_made_counted_and_not_made_again(tmp_path: Path, cache: Path) -> None:
    command = ("data", "render", "free", "--out", tmp_path / "free", "--tracks", 2, "--workers", 1)
    said = solfa(*command, "--cache", cache).stdout.replace("\n", " ")
    assert "left out pop909" in said
    assert "--pop909" in said
    assert "Version " in said
    found = {path.parent.name for path in (tmp_path / "free").glob("*/labels.jsonl")}
    assert found == {"notes-musescore-lite", "notes-fluidr3", "notes-timgm6mb", "drums"}
    audio = {path: path.stat().st_mtime_ns for path in (tmp_path / "free").rglob("*.flac")}
    again = solfa(*command, "--cache", cache, "--strict", exit_code=1).stdout.replace("\n", " ")
    assert again == said
    assert {path: path.stat().st_mtime_ns for path in audio} == audio


def test_free_chooses_its_soundfonts_itself(tmp_path: Path) -> None:
    options = ("--out", tmp_path, "--soundfont", "fluidr3")
    assert "itself" in solfa("data", "render", "free", *options, exit_code=2).output


def test_a_soundfont_is_needed_for_one_corpus(tmp_path: Path) -> None:
    assert "timgm6mb" in solfa("data", "render", "notes", "--out", tmp_path, exit_code=2).output


def test_free_stands_for_the_tasks_that_are_there(tmp_path: Path, tiny_run: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_free(data / "free", 0.6)
    for path in (data / "free").glob("[pntm]*"):
        shutil.rmtree(path)
    said = solfa("probe", "free", "--model", tiny_run, "--data", data, "--out", out, *FAST).stdout
    assert "missing free_key" in said
    results = json.loads((out / "results.json").read_text())["results"]
    assert [result["task"] for result in results] == ["free_drums", "free_sounds"]
    (version,) = {result["data_version"] for result in results}
    table = (out / "table.md").read_text()
    assert version in table
    assert "halvings=[3, 5, 7]" in table
    assert all(result["probe"]["first_seed_chooses"] for result in results)


def test_the_free_benchmark_can_be_probed_as_marble_does(tmp_path: Path, tiny_run: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_free(data / "free", 0.6)
    changes = ("--set", "halvings=[]", "--set", "first_seed_chooses=false", "--set", "valid_frames=32768")
    solfa("probe", "free_drums", "--model", tiny_run, "--data", data, "--out", out, *FAST[:-2], *changes)
    [result] = json.loads((out / "results.json").read_text())["results"]
    assert (result["probe"]["halvings"], result["probe"]["first_seed_chooses"]) == ([], False)


def test_results_of_two_versions_are_told_apart(tmp_path: Path, tiny_run: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_free(data / "free", 0.6)
    options = ("--model", tiny_run, "--data", data, "--out", out, *FAST)
    solfa("probe", "free_drums", *options)
    assert "do not compare" not in (out / "table.md").read_text()
    shutil.rmtree(data / "free" / "neither")
    solfa("probe", "free_sounds", *options)
    assert "Rows of different versions do not compare" in (out / "table.md").read_text()


def test_the_list_tells_of_a_leak(tmp_path: Path) -> None:
    write_free(tmp_path / "free", 0.3)
    path = tmp_path / "free" / "drums" / "labels.jsonl"
    path.write_text(path.read_text().replace("package supertux-data", "package hedgewars-data"))
    assert "1 groups stand in two splits" in solfa("probe", "--list", "--data", tmp_path).stdout
