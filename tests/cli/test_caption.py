import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from golden_data import GOLDEN
from music_and_words import write_pairs
from solfa.cli.main import app
from solfa.data.manifest import Track, read_manifest, write_manifest
from solfa.retrieval.families import FAMILIES, SURE
from synth import melody


def solfa(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """A manifest beside labels, as 'solfa data render' writes them; one track has none."""
    common = {"seconds": 3.0, "sample_rate": 24_000, "n_channels": 1}
    tracks = [
        Track(path=tmp_path / f"audio/{n:03d}.flac", content_hash=str(n), **common)  # type: ignore[arg-type]
        for n in range(3)
    ]
    write_manifest(tracks, tmp_path / "tracks.jsonl")
    keys = (["C major"], ["E minor"])
    labels = [
        {"content_hash": str(n), "keys": [[0, 3, key]], "families": ["piano"], "tempo_bpm": 60}
        for n, (key,) in enumerate(keys)
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labels))
    return tmp_path / "tracks.jsonl"


def test_captions_are_made_of_the_labels_beside_a_manifest(rendered: Path, tmp_path: Path) -> None:
    result = solfa("data", "caption", rendered, "--out", tmp_path / "c.jsonl", "--without", "key")
    assert result.exit_code == 0, result.output
    assert "1 tracks are left out, of which nothing is known" in result.output
    tracks = read_manifest(tmp_path / "c.jsonl")
    assert len(tracks) == 2 and all(track.captions for track in tracks)
    told = {"instrument": "piano", "tempo": "slow", "drums": "no drums"}
    assert tracks[0].tags == told | {"without": "guitar; bass; strings; brass; organ"}
    text = " ".join(" ".join(track.captions) for track in tracks).lower()
    assert "major" not in text and "minor" not in text


def test_a_manifest_that_nothing_is_known_of_says_what_is_missing(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").unlink()
    result = solfa("data", "caption", rendered, "--out", tmp_path / "c.jsonl")
    assert isinstance(result.exception, ValueError) and "Give their files tags" in str(result.exception)


def test_any_words_tag_a_track_by_a_music_text_model(tmp_path: Path) -> None:
    (track, *_) = read_manifest(write_pairs(tmp_path, 1))
    tags = ("--tags", "piano, slow drum", "--out", tmp_path / "tags.jsonl")
    result = solfa("tag", track.path, "--model", GOLDEN / "muq_mulan", *tags)
    assert result.exit_code == 0, result.output
    (row,) = [json.loads(line) for line in (tmp_path / "tags.jsonl").read_text().splitlines()]
    assert row["labels"].keys() == {"piano", "slow drum"}
    assert all(-1 <= value <= 1 for value in row["labels"].values())


def test_a_music_text_model_without_words_gives_a_few_sure_tags_or_none(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.sin(0.1 * np.arange(24_000)) / 4, 24_000)
    result = solfa("tag", tmp_path / "a.flac", "--model", GOLDEN / "muq_mulan", "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["tracks"]
    assert set(row["labels"]) <= {tag for tags in FAMILIES.values() for tag in tags}
    assert len(row["labels"]) <= 5 and all(SURE <= value < 1 for value in row["labels"].values())
    assert "genre_of_file" not in row


def test_what_tag_says_can_be_read_by_programs(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.sin(0.1 * np.arange(24_000)) / 4, 24_000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(24_000), 24_000)
    (tmp_path / "notes.txt").write_text("no music")
    result = solfa("tag", tmp_path, "--model", GOLDEN / "muq_mulan", "--tags", "piano,drums", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [Path(row["path"]).name for row in said["tracks"]] == ["a.wav"]
    assert said["tracks"][0]["labels"].keys() == {"piano", "drums"}
    assert "silent from start to end" in said["refused"][0]["reason"]  # as solfa embed and index judge it
    assert said["passed_over"][0]["n"] == 1


def test_recordings_are_heard_and_captioned_without_their_names(tmp_path: Path) -> None:
    for number in range(3):
        waveform = 10 ** (-number) * melody(40.0, seed=number, tempo_bpm=60 + 40 * number)
        soundfile.write(tmp_path / f"secretname-{number}.wav", waveform, 24_000)
    manifest, out = tmp_path / "tracks.jsonl", tmp_path / "heard"
    assert solfa("data", "prepare", tmp_path, "--out", manifest).exit_code == 0
    result = solfa("data", "hear", manifest, "--out", out, "--seconds", 5, "--every", 5, "--no-tags")
    assert result.exit_code == 0 and "24 excerpts" in result.output, result.output
    chosen = ("--only", "loudness", "--only", "tempo")
    result = solfa("data", "caption", out / "excerpts.jsonl", "--out", tmp_path / "c.jsonl", *chosen)
    assert result.exit_code == 0, result.output
    captions = " ".join(c for t in read_manifest(tmp_path / "c.jsonl") for c in t.captions)
    assert "loud" in captions and "soft" in captions and "secretname" not in captions
