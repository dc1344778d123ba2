"""What the version of 22 November 2026 (3ead15a) wrote is read, and gone on with, by this one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import solfa
from golden_data import GOLDEN
from solfa.config import load_config
from solfa.data import prepare_folder, read_manifest, write_manifest
from solfa.data.stored_frames import StoredCodeFrames
from solfa.embedding import EmbeddingStore, embed, read_frames, read_store
from solfa.embedding.store import read_description
from solfa.retrieval import Library
from solfa.retrieval.search import Searcher
from solfa.targets.labelling import label_tracks, load_target
from solfa.training import Placement, RunConfig, Trainer

OLDER = GOLDEN / "older_files"
MUSIC = OLDER / "music"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A copy, since what is gone on with is written to."""
    return shutil.copytree(OLDER, tmp_path / "older")


def test_the_encoder_of_an_older_run_answers_as_it_did() -> None:
    waveform = torch.from_numpy(soundfile.read(MUSIC / "0.flac", dtype="float32")[0])[None]
    expected = load_file(OLDER / "answers.safetensors")["hidden"]
    torch.testing.assert_close(solfa.load(OLDER / "run")(waveform).last, expected, atol=1e-5, rtol=0)


def test_an_older_run_goes_on_as_it_would_have(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(older)
    write_manifest(prepare_folder(MUSIC).tracks, Path("tracks.jsonl"))
    config = load_config(RunConfig, older / "run" / "config.json")
    place = Placement(run=older / "run", device=torch.device("cpu"), clips_per_device=4, n_workers=0)
    Trainer(config, place).train(resume=True)
    lines = [json.loads(line) for line in (older / "run" / "log.jsonl").read_text().splitlines()]
    # The losses that the older version had; it wrote them down itself.
    assert [line["loss"] for line in lines] == pytest.approx([3.77577, 3.77951, 3.51442, 3.20761], abs=2e-4)
    expected = load_file(OLDER / "finished" / "step-00000004" / "model.safetensors")
    weights = load_file(older / "run" / "step-00000004" / "model.safetensors")
    assert weights.keys() == expected.keys()
    # As a whole: Adam makes whole steps of gradients so small that processors round them differently.
    before = load_file(OLDER / "run" / "step-00000002" / "model.safetensors")
    names = [name for name in expected if name.startswith("encoder.") and "running_" not in name]
    moved, apart = (
        sum(float((one[name].double() - expected[name]).square().sum()) for name in names) ** 0.5
        for one in (before, weights)
    )
    assert moved > 0.1
    assert apart < 0.01 * moved


def test_an_older_store_is_read_and_nothing_of_it_is_made_again(older: Path) -> None:
    encoder = solfa.load(OLDER / "finished")
    tracks, vectors = read_store(older / "store")
    torch.testing.assert_close(
        vectors, embed([MUSIC / track.path.name for track in tracks], encoder), atol=1e-5, rtol=0
    )
    assert read_frames(older / "store", tracks[0].content_hash).shape[::2] == (1, 64)
    space, layers = read_description(older / "store")
    with EmbeddingStore(older / "store", space, layers) as store:
        done = store.extend(sorted(MUSIC.iterdir()), encoder)
    assert (done.n_embedded, done.n_known, done.refused) == (0, 3, [])


def test_older_codes_are_read_and_belong_to_their_target(older: Path) -> None:
    write_manifest(prepare_folder(MUSIC).tracks, older / "tracks.jsonl")
    tracks = read_manifest(older / "tracks.jsonl")
    target = load_target(OLDER / "finished")
    done = label_tracks(tracks, target, older / "codes")
    assert (done.n_labelled, done.n_known) == (0, 3)
    codes = StoredCodeFrames(older / "codes").rows(tracks[0].content_hash, 0, 60)
    label_tracks(tracks[:1], target, older / "again")
    again = StoredCodeFrames(older / "again").rows(tracks[0].content_hash, 0, 60)
    assert np.mean(codes == again) > 0.97  # a code at the border of two may fall otherwise elsewhere


def test_an_older_library_is_renewed_and_searched(older: Path) -> None:
    encoder = solfa.load(OLDER / "finished")
    with Library(older / "music.sqlite") as library:
        assert len(library) == 3
        changes = library.update([MUSIC], encoder)
        assert (changes.n_added, changes.refused) == (3, [])  # other paths with known contents
        assert len(library.tracks()) == 6
    with Searcher(older / "music.sqlite", encoder) as searcher:
        found = searcher.similar_to_file(MUSIC / "1.flac")
    assert {match.track.path.name for match in found} == {"0.flac", "2.flac"}
