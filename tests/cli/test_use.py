"""The commands that use an encoder: embed, index, similar, models, doctor; their output and exit codes."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import solfa
from golden_data import GOLDEN
from solfa.cli import doctor
from solfa.data.audio import AudioError
from solfa.embedding import SpaceError, read_frames, read_store
from solfa.models import AudioEncoder, load
from solfa.runs import weights_file
from synth import chord, melody, noise

WriteWav = Callable[[Path, np.ndarray], Path]


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A folder of three chords and a tune."""
    for root in (48, 60, 72):
        write_wav(tmp_path / "music" / f"chord {root}.wav", chord(root, "min", 2.0))
    write_wav(tmp_path / "music" / "tune.wav", melody(3.0, seed=3))
    return tmp_path / "music"


@pytest.mark.parametrize("command", ["embed", "index", "search", "similar", "models", "doctor"])
def test_help_ends_with_examples_on_lines_of_their_own(command: str) -> None:
    lines = [line.strip() for line in solfa(command, "--help").output.splitlines()]
    assert any(line.startswith(f"solfa {command}") for line in lines[lines.index("Examples:") :])


def test_embed_fills_a_folder(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    result = solfa("embed", music, "--model", tiny_run, "--out", tmp_path / "out")
    assert "4 tracks embedded, 0 were there already" in result.stdout
    tracks, vectors = read_store(tmp_path / "out")
    assert vectors.shape == (len(tracks), 16) == (4, 16)


def test_embed_goes_on_where_it_was(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    solfa("embed", music / "tune.wav", "--model", tiny_run, "--out", tmp_path / "out")
    result = solfa("embed", music, "--model", tiny_run, "--out", tmp_path / "out")
    assert "3 tracks embedded, 1 were there already" in result.stdout


def test_embed_keeps_the_hidden_states_of_chosen_layers(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    layers = ["--frame-layer", 0, "--frame-layer", 1]
    solfa("embed", music, "--model", tiny_run, "--out", tmp_path / "out", "--frames", *layers)
    track = read_store(tmp_path / "out")[0][0]
    assert read_frames(tmp_path / "out", track.content_hash).shape == (2, 50, 16)


def test_embed_pools_mean_and_deviation(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    solfa("embed", music, "--model", tiny_run, "--out", tmp_path / "out", "--pool", "mean+std", "--layer", 1)
    assert read_store(tmp_path / "out")[1].shape == (4, 32)


def test_embed_reports_a_bad_file_once_and_ends_with_1_if_that_is_asked_for(
    tiny_run: Path, music: Path, tmp_path: Path
) -> None:
    (music / "bad\n.mp3").write_text("words " * 99)
    command = ("embed", music, "--model", tiny_run, "--out", tmp_path / "out")
    result = solfa(*command)
    assert "4 tracks embedded" in result.stdout
    assert r"bad\n.mp3': not audio" in result.stdout
    assert json.loads((tmp_path / "out" / "refused.jsonl").read_text())["path"].endswith("bad\n.mp3")
    result = solfa(*command, "--strict", exit_code=1)
    assert "not audio" not in result.stdout and "1 of them are as they were before" in result.stdout
    assert "not audio" in solfa(*command, "--again").stdout


def test_embed_refuses_another_model(tiny_run: Path, other_run: Path, music: Path, tmp_path: Path) -> None:
    solfa("embed", music, "--model", tiny_run, "--out", tmp_path / "out")
    with pytest.raises(SpaceError, match="cannot be compared"):
        solfa("embed", music, "--model", other_run, "--out", tmp_path / "out")


def test_frame_layers_without_frames_are_a_usage_error(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = solfa("embed", music, "--model", tiny_run, "--out", out, "--frame-layer", 1, exit_code=2)
    assert "Add --frames" in result.stderr


def test_a_library_is_made_brought_up_to_date_and_searched(
    tiny_run: Path, music: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    library = tmp_path / "music.sqlite"
    made = solfa("index", music, "--library", library, "--model", tiny_run)
    assert "4 tracks (4 added, 0 changed, 0 moved, 0 removed, 0 as before, 0 refused)" in made.stdout
    (music / "chord 48.wav").rename(music / "low chord.wav")
    write_wav(music / "noise.wav", noise(2.0))
    renewed = solfa("index", music, "--library", library)
    assert "5 tracks (1 added, 0 changed, 1 moved, 0 removed, 3 as before, 0 refused)" in renewed.stdout
    query = write_wav(tmp_path / "query.wav", noise(3.0, seed=7))
    found = solfa("similar", query, "--library", library, "--n", 2).stdout.splitlines()
    assert len(found) == 2 and found[0].endswith("noise.wav")


def test_similar_prints_json(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    solfa("index", music, "--library", tmp_path / "library", "--model", tiny_run)
    result = solfa("similar", music / "tune.wav", "--library", tmp_path / "library", "--json", "--centred")
    found = json.loads(result.stdout)["matches"]
    assert {Path(match["path"]).name for match in found} == {"chord 48.wav", "chord 60.wav", "chord 72.wav"}
    keys = {"id", "path", "fit", "stands_out", "start", "end", "seconds", "tags", "damage"}
    assert found[0].keys() == keys
    assert not any(match["fit"] for match in found)  # four tracks are too few to compare with


def test_similar_in_a_library_of_one_says_what_to_do(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    solfa("index", music / "tune.wav", "--library", tmp_path / "library", "--model", tiny_run)
    result = solfa("similar", music / "tune.wav", "--library", tmp_path / "library")
    assert "Add tracks: solfa index MUSIC" in result.stdout


def test_a_library_refuses_another_layer_or_pooling(tiny_run: Path, music: Path, tmp_path: Path) -> None:
    solfa("index", music, "--library", tmp_path / "library", "--model", tiny_run)
    for option in (("--layer", 1), ("--pool", "mean+std")):
        with pytest.raises(SpaceError, match="instead of"):
            solfa("index", music, "--library", tmp_path / "library", *option)


def test_models_lists_runs_and_published_names(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "runs" / "mine")
    shutil.copytree(tiny_run, tmp_path / "runs" / "damaged")
    (tmp_path / "runs" / "damaged" / "config.json").write_text("{")
    lines = solfa("models", "--runs", tmp_path / "runs").stdout.splitlines()
    listed = json.loads(solfa("models", "--runs", tmp_path / "runs", "--json").stdout)["models"]
    assert [model["name"] for model in listed] == [line.split()[0] for line in lines[1:]]
    sizes = {Path(model["name"]).name: model["n_bytes"] for model in listed}
    assert sizes["damaged"] is None and sizes["mine"] == weights_file(tiny_run).stat().st_size
    assert any("mine" in line and "muq, 2 layers of 16" in line and "MB" in line for line in lines)
    assert any("damaged" in line and "cannot be loaded" in line for line in lines)
    assert any("OpenMuQ/MuQ-large-msd-iter" in line and "CC-BY-NC-4.0" in line for line in lines)


def test_models_without_runs_lists_what_is_published(tmp_path: Path) -> None:
    assert "OpenMuQ" in solfa("models", "--runs", tmp_path / "none").stdout


def test_doctor_decodes_every_format() -> None:
    output = solfa("doctor").stdout
    for name in ("wav", "flac", "ogg", "opus", "mp3", "m4a", "solfa-small", "solfa-mulan-small"):
        assert any(line.split()[:2] == [name, "ok"] for line in output.splitlines()), output
    assert "3 tracks made, indexed and found again" in output and "All is well." in output
    assert "PyTorch" in output and "free in this folder" in output


def test_doctor_tells_what_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, sample_rate: int) -> np.ndarray:
        raise AudioError("no decoder")

    monkeypatch.setattr(doctor, "read_audio", refuse)
    said = solfa("doctor", exit_code=1).stdout
    assert "FAILS  no decoder" in said and "Something FAILS" in said


def test_doctor_does_not_blame_the_decoder_for_what_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(soundfile, "write", fail)
    assert "not tried  this machine cannot make one" in solfa("doctor").stdout


def test_an_expected_error_is_one_message_and_exit_code_3(tmp_path: Path, tiny_encoder: AudioEncoder) -> None:
    command = [sys.executable, "-m", "solfa", "similar", "a.wav", "--library", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert "There is no library" in done.stderr and "Traceback" not in done.stderr


def test_export_bundle_joins_a_models_parts_in_one_folder(tmp_path: Path) -> None:
    result = solfa("export", "bundle", GOLDEN / "muq_mulan", "--out", tmp_path / "mulan")
    assert "Use it: solfa.load(" in result.stdout
    names = {str(path.relative_to(tmp_path / "mulan")) for path in (tmp_path / "mulan").rglob("*")}
    assert {"config.json", "model.safetensors", "README.md", "text/tokenizer.json"} <= names
    assert load(tmp_path / "mulan").embed_text(["calm piano"]).shape == (1, 16)


def test_export_bundle_takes_a_card_and_halves(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text('{"title": "Tones", "limits": "knows tones only"}')
    options = ("--half", "--card", card, "--license", "MIT")
    solfa("export", "bundle", GOLDEN / "muq_rvq_25hz", "--out", tmp_path / "bundle", *options)
    text = (tmp_path / "bundle" / "README.md").read_text()
    assert "# Tones" in text and "| limits | knows tones only |" in text and "license: mit" in text
    assert load(tmp_path / "bundle").license == "MIT"
    refused = ("export", "bundle", tmp_path / "bundle", "--out", tmp_path / "other", "--license", "CC0-1.0")
    assert "not yours to change" in solfa(*refused, exit_code=2).stderr
    card.write_text('{"headline": "Tones"}')
    refused = ("export", "bundle", GOLDEN / "muq_rvq_25hz", "--out", tmp_path / "other", "--card", card)
    assert "headline" in solfa(*refused, exit_code=2).stderr


def test_export_official_writes_what_the_official_program_reads(tmp_path: Path) -> None:
    result = solfa("export", "official", GOLDEN / "mert_95m_style", "--out", tmp_path / "mert")
    assert "in the official layout: 0.1 MB" in result.stdout
    names = {path.name for path in (tmp_path / "mert").iterdir()}
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"}
    assert 'AutoModel.from_pretrained("mert")' in (tmp_path / "mert" / "README.md").read_text()


def test_models_lists_saved_models_too(tmp_path: Path) -> None:
    for case in ("muq_mulan", "muq_rvq_25hz"):
        load(GOLDEN / case).save_pretrained(tmp_path / case)
    output = solfa("models", "--runs", tmp_path).output
    assert "mulan, music and text in 16 dimensions" in output and "muq, 2 layers of 32" in output
