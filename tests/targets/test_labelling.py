"""Labelling: stored codes are those that the target gives in training, and no file stops the others."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import synth
from solfa import checkpoint
from solfa.config import save_config
from solfa.data.clips import ClipsConfig, RandomClips
from solfa.data.manifest import Track
from solfa.data.prepare import prepare_files
from solfa.data.stored_frames import StoredCodeFrames, StoredFramesError
from solfa.objectives import MaskedPredictionConfig, PredictionConfig, QuantizerFit, QuantizerFitConfig
from solfa.objectives import build_objective as built
from solfa.recipes import recipe
from solfa.targets import (
    HiddenRVQConfig,
    MelFramesConfig,
    MelRVQConfig,
    ResidualVectorQuantizerConfig,
    StoredCodesConfig,
    TargetError,
    labelling,
)
from solfa.targets.labelling import label_tracks, load_target
from solfa.training import RunConfig

SMALL = ResidualVectorQuantizerConfig(n_codebooks=3, codebook_size=64, codebook_dim=8)
MEL = MelRVQConfig(quantizer=SMALL)


def save_run(folder: Path, config: QuantizerFitConfig | MaskedPredictionConfig, seed: int = 0) -> Path:
    """A run folder with random weights."""
    torch.manual_seed(seed)
    checkpoint.save(folder, 1, built(config).state_dict(), {})
    save_config(RunConfig(objective=config, n_steps=1), folder / checkpoint.CONFIG)
    return folder


def melody(seconds: float, sample_rate: int, seed: int = 0) -> np.ndarray:
    """A note every tenth of a second, in noise that comes and goes."""
    rng = np.random.default_rng(seed)
    pitches = rng.integers(40, 90, round(seconds * 10) + 1)
    notes = [synth.tone(synth.pitch_hz(p), 0.1, sample_rate=sample_rate, n_partials=4) for p in pitches]
    wave = np.concatenate(notes)[: round(seconds * sample_rate)]
    return wave + 0.1 * np.linspace(-1, 1, len(wave)) ** 2 * rng.standard_normal(len(wave))


@pytest.fixture
def rvq(tmp_path: Path) -> Path:
    return save_run(tmp_path / "rvq", QuantizerFitConfig(target=MEL))


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[Track]:
    """Melodies in noise: 0.3, 2.7 and 4.03 seconds, the last at 44.1 kHz and in stereo."""
    folder = tmp_path_factory.mktemp("music")
    for name, seconds in (("a", 0.3), ("b", 2.7)):
        soundfile.write(folder / f"{name}.wav", melody(seconds, 24_000), 24_000)
    wide = np.stack([melody(4.03, 44_100, seed=1), melody(4.03, 44_100, seed=2)], axis=1)
    soundfile.write(folder / "c.wav", wide, 44_100)
    return prepare_files([folder / f"{name}.wav" for name in "abc"], min_seconds=0.0).tracks


def codes_of(out: Path, track: Track) -> np.ndarray:
    stored = StoredCodeFrames(out)
    return stored.rows(track.content_hash, 0, stored.n_frames(track.content_hash))


def test_every_whole_hop_of_a_track_gets_its_codes(tmp_path: Path, rvq: Path, tracks: list[Track]) -> None:
    done = label_tracks(tracks, load_target(rvq), tmp_path / "out")
    assert (done.n_labelled, done.n_known, done.refused) == (3, 0, [])
    assert [codes_of(tmp_path / "out", track).shape for track in tracks] == [(7, 3), (67, 3), (100, 3)]
    assert codes_of(tmp_path / "out", tracks[1]).dtype == np.int16
    description = StoredCodeFrames(tmp_path / "out").description
    assert (description.n_codebooks, description.codebook_size, description.source) == (3, 64, "audio")


def test_stored_codes_are_those_of_the_target_in_training(
    tmp_path: Path, rvq: Path, tracks: list[Track]
) -> None:
    fitted = load_target(rvq)
    label_tracks(tracks, fitted, tmp_path / "out")
    config = ClipsConfig(clip_seconds=0.8, context_seconds=0.08, codes=str(tmp_path / "out"))
    clips = RandomClips(tracks, config, 24_000, seed=0)
    batch = clips.join([clips[number] for number in range(16)])
    assert batch.codes is not None
    online = fitted.target.with_context(batch).values
    assert torch.equal(online, batch.codes.values[:, :, 2:-2]) and len(online.unique()) > 20


def test_without_context_codes_at_the_ends_of_clips_would_differ(
    tmp_path: Path, rvq: Path, tracks: list[Track]
) -> None:
    fitted = load_target(rvq)
    label_tracks(tracks, fitted, tmp_path / "out")
    clips = RandomClips(tracks, ClipsConfig(clip_seconds=0.8, codes=str(tmp_path / "out")), 24_000, seed=0)
    batch = clips.join([clips[number] for number in range(16)])
    assert batch.codes is not None
    is_equal = (fitted.target.with_context(batch).values == batch.codes.values).all(1).float().mean(0)
    assert float(is_equal[0]) < 1 and float(is_equal[2:-2].min()) == 1


@pytest.mark.parametrize("windows_at_once", [1, 2, 3, 8])
def test_codes_do_not_depend_on_windows_or_on_how_many_go_together(
    tmp_path: Path, rvq: Path, tracks: list[Track], windows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_tracks(tracks, load_target(rvq), tmp_path / "whole")
    monkeypatch.setattr(labelling, "WINDOW_SECONDS", 0.52)
    label_tracks(tracks, load_target(rvq), tmp_path / "cut", windows_at_once=windows_at_once)
    for track in tracks:
        assert np.array_equal(codes_of(tmp_path / "whole", track), codes_of(tmp_path / "cut", track))


def test_bad_files_are_refused_with_reasons_and_the_rest_goes_on(
    tmp_path: Path, rvq: Path, tracks: list[Track]
) -> None:
    broken, gone = tmp_path / "broken.wav", tmp_path / "gone.wav"
    broken.write_text("no music")
    bad = [
        replace(tracks[0], path=broken, content_hash="1"),
        replace(tracks[0], path=gone, content_hash="2"),
        replace(tracks[1], seconds=9.0, content_hash="3"),
        replace(tracks[1], seconds=0.01, content_hash="4"),
    ]
    done = label_tracks([*bad, tracks[1]], load_target(rvq), tmp_path / "out")
    assert done.n_labelled == 1 and len(done.refused) == 4
    report = (tmp_path / "out" / "refused.jsonl").read_text().splitlines()
    said = [json.loads(line)["reason"] for line in report]
    assert "No such file" in said[1] or "gone" in said[1]
    assert "samples early; prepare the manifest again" in said[2]
    assert "shorter than a frame" in said[3]
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 1


def test_no_error_of_one_file_ends_the_labelling(
    tmp_path: Path, rvq: Path, tracks: list[Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = labelling.read_padded

    def fails_at_one(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == tracks[0].path:
            raise AttributeError("nobody foresaw this")
        return read(path, *arguments, **options)

    monkeypatch.setattr(labelling, "read_padded", fails_at_one)
    done = label_tracks(tracks, load_target(rvq), tmp_path / "out")
    assert done.n_labelled == len(tracks) - 1
    assert "nobody foresaw this (AttributeError in " in done.refused[0].reason


def test_what_is_there_is_not_computed_again(
    tmp_path: Path, rvq: Path, tracks: list[Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    label_tracks(tracks[:2], load_target(rvq), tmp_path / "out")
    heard, pieces = list[Track](), labelling.AudioSource.pieces
    monkeypatch.setattr(
        labelling.AudioSource, "pieces", lambda self, track: heard.append(track) or pieces(self, track)
    )
    done = label_tracks(tracks, load_target(rvq), tmp_path / "out")
    assert (done.n_labelled, done.n_known) == (1, 2) and heard == [tracks[2]]


def test_stretches_are_refused_and_do_not_pass_for_their_files(
    tmp_path: Path, rvq: Path, tracks: list[Track]
) -> None:
    first, later = (replace(tracks[1], start_seconds=start, seconds=1.0) for start in (0.0, 1.0))
    fitted = load_target(rvq)
    done = label_tracks([first, later], fitted, tmp_path / "codes")
    assert done.n_labelled == 1 and "stretch of a file" in done.refused[0].reason
    assert label_tracks([tracks[1]], fitted, tmp_path / "codes").n_labelled == 1  # now all of it


def test_a_kill_loses_no_track_that_was_done(
    tmp_path: Path, rvq: Path, tracks: list[Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: object, track: Track) -> int:
        if track is tracks[2]:
            raise KeyboardInterrupt
        return 7 if track is tracks[0] else 67

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(labelling.AudioSource, "n_frames", killed)
        label_tracks(tracks, load_target(rvq), tmp_path / "out")
    done = label_tracks(tracks, load_target(rvq), tmp_path / "out")
    assert (done.n_labelled, done.n_known) == (1, 2)


def test_codes_of_another_fit_are_not_mixed_in(tmp_path: Path, rvq: Path, tracks: list[Track]) -> None:
    label_tracks(tracks[:1], load_target(rvq), tmp_path / "out")
    other = save_run(tmp_path / "other", QuantizerFitConfig(target=MEL), seed=1)
    with pytest.raises(StoredFramesError, match="holds codes of another target"):
        label_tracks(tracks, load_target(other), tmp_path / "out")


def test_an_encoder_has_the_target_that_it_learned_from(tmp_path: Path) -> None:
    encoder = recipe("muq_tiny").objective.encoder  # type: ignore[union-attr]
    predictions = (PredictionConfig(target=MelFramesConfig()), PredictionConfig(target=MEL))
    config = MaskedPredictionConfig(encoder=encoder, predictions=predictions)
    run = save_run(tmp_path / "muq", config)
    found = load_target(run)  # the first that gives codes
    torch.manual_seed(0)
    expected = built(config).targets[1].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.target.state_dict().items())
    assert found.shape.n_codebooks == 3


def test_the_weights_count_and_where_they_lie_does_not(tmp_path: Path, rvq: Path) -> None:
    fitted = QuantizerFitConfig(target=replace(MEL, fitted="elsewhere"))
    assert load_target(save_run(tmp_path / "same", fitted)).id == load_target(rvq).id
    assert load_target(save_run(tmp_path / "other", fitted, seed=1)).id != load_target(rvq).id


def test_a_run_without_codes_is_refused_with_the_cure(tmp_path: Path) -> None:
    encoder = recipe("muq_tiny").objective.encoder  # type: ignore[union-attr]
    for target in (MelFramesConfig(), StoredCodesConfig()):
        config = MaskedPredictionConfig(encoder=encoder, predictions=(PredictionConfig(target=target),))
        with pytest.raises(TargetError, match="Name a run of mel_rvq"):
            load_target(save_run(tmp_path / target.kind, config))
    with pytest.raises(TargetError, match=r"no run at .*Name a run of mel_rvq"):
        load_target(tmp_path / "nowhere")


def test_a_number_that_the_run_has_not_is_refused(rvq: Path) -> None:
    with pytest.raises(TargetError, match="has 1 targets, and number 1, counted from 0"):
        load_target(rvq, 1)


def test_hidden_states_and_audio_are_not_taken_for_each_other(
    tmp_path: Path, rvq: Path, tracks: list[Track]
) -> None:
    with pytest.raises(TargetError, match="Leave out --frames"):
        label_tracks(tracks, load_target(rvq), tmp_path / "out", frames=tmp_path)
    hidden = save_run(tmp_path / "hidden", QuantizerFitConfig(target=HiddenRVQConfig()))
    with pytest.raises(TargetError, match="Name their folder with --frames"):
        label_tracks(tracks, load_target(hidden), tmp_path / "out")


def test_the_run_of_a_fit_is_what_is_loaded(rvq: Path) -> None:
    torch.manual_seed(0)
    expected = QuantizerFit(QuantizerFitConfig(target=MEL)).target.state_dict()
    found = load_target(rvq).target.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
