from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import solfa
from golden_data import GOLDEN
from music_and_words import write_pairs
from solfa.data.manifest import read_manifest
from solfa.data.prepare import Refused
from solfa.embedding.tagging import Tagged
from solfa.models import MuLan
from solfa.retrieval.zero_shot import ZeroShotTagger, score_retrieval, score_task
from solfa.tasks import Item, TaskError, task


@pytest.fixture(scope="module")
def mulan() -> MuLan:
    model = solfa.load(GOLDEN / "muq_mulan")
    assert isinstance(model, MuLan)
    return model


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), 4, seconds=5.0)


def test_the_vector_of_a_tag_is_the_mean_over_its_prompts(mulan: MuLan) -> None:
    tagger = ZeroShotTagger(mulan, ["piano", " low "], ["{}", "the sound of {}"])
    assert tagger.labels == ("piano", "low")
    mean = mulan.embed_text(["low", "the sound of low"]).mean(0)
    torch.testing.assert_close(tagger.vectors[1], mean / mean.norm(), rtol=0, atol=1e-6)


def test_a_track_is_tagged_as_a_whole_and_along_time(mulan: MuLan, pairs: Path) -> None:
    tagger, path = ZeroShotTagger(mulan, ["piano", "low"]), read_manifest(pairs)[0].path
    tagged = tagger.tag(path)
    # clips of 2 s in 5 s: the last one ends with the track
    assert [(part.start, part.end) for part in tagged.spans] == [(0, 2), (2, 4), (3, 5)]
    waveform = torch.from_numpy(solfa_read(path))
    alone = tagger.scores(mulan.embed_clips(waveform[None, 72_000:]))[0]
    torch.testing.assert_close(tagged.spans[2].answers, alone, rtol=0, atol=1e-5)
    vectors = mulan.embed_clips(torch.stack([waveform[s : s + 48_000] for s in (0, 48_000, 72_000)]))
    torch.testing.assert_close(tagged.answers, tagger.scores(vectors.mean(0)[None])[0], rtol=0, atol=1e-5)
    assert [part.end for part in tagger.tag(path, 7.0).spans] == [5]


def solfa_read(path: Path) -> np.ndarray:
    from solfa.data.audio import read_audio

    return read_audio(path, sample_rate=24_000)


def test_a_bad_file_does_not_stop_the_rest(mulan: MuLan, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("no music")
    outcomes = list(
        ZeroShotTagger(mulan, ["low"]).tag_files([tmp_path / "bad.wav", read_manifest(pairs)[0].path])
    )
    assert [type(outcome) for outcome in outcomes] == [Refused, Tagged]


@pytest.mark.parametrize(
    "tags, prompts", [([], ["{}"]), (["a", " "], ["{}"]), (["a"], ["music"]), (["a"], [])]
)
def test_nothing_to_ask_is_refused(mulan: MuLan, tags: list[str], prompts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"--tags 'piano,guitar'|one \{\} in the place of the tag"):
        ZeroShotTagger(mulan, tags, prompts)


def test_a_task_is_scored_by_its_test_tracks_alone(mulan: MuLan, pairs: Path) -> None:
    mtt, tracks = task("magnatagatune"), read_manifest(pairs)
    items = [
        Item(track.path, split, label, track=name, group="")
        for track, split, label, name in zip(
            tracks,
            ("train", "test", "test", "test"),
            ((0,), (1,), (2,), (1, 2)),
            ("a", "b", "c", "c"),
            strict=True,
        )
    ]
    areas = score_task(mulan, mtt, items)
    assert areas.n_tags == 1  # of two tracks, tag 1 both and tag 2 one has; of tag 0 there is none
    assert areas.roc_auc in (0.0, 1.0)
    with pytest.raises(TaskError, match=r"has no test tracks"):
        score_task(mulan, mtt, items[:1])
    with pytest.raises(TaskError, match=r"neither tags nor classes"):
        score_task(mulan, task("emomusic"), items)


def test_texts_are_ranked_against_all_tracks(mulan: MuLan, pairs: Path) -> None:
    tracks = read_manifest(pairs)
    found = score_retrieval(mulan, tracks, ["low", "high", "low fast", "high fast"])
    assert found.n_tracks == 4 and 1 <= found.median_rank <= 4 and found.recall_at_5 == 1
    # A stretch of a file is heard, not all of it.
    stretch = [replace(track, start_seconds=2.0, seconds=2.0) for track in tracks[:2]]
    assert score_retrieval(mulan, stretch, ["low", "high"]).n_tracks == 2
