"""Spectra stored once: what the whole track gives, to half a step, and clips of them where audio is cut."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import synth
from solfa.cli.main import app
from solfa.config import ConfigError, override
from solfa.data import prepare_files
from solfa.data import spectra as making
from solfa.data.audio import read_audio
from solfa.data.clips import ClipsConfig, RandomClips
from solfa.data.manifest import Track, write_manifest
from solfa.data.spectra import SpectraOfTracks, store_spectra
from solfa.data.stored_frames import StoredFramesError
from solfa.data.stored_spectra import SpectraDescription, StoredSpectra
from solfa.features import MelCQT, MelCQTFrames
from solfa.files import FolderLock

RATE, HOP = 24_000, 960
DESCRIPTION = SpectraDescription()
Write = Callable[[Path, np.ndarray], Path]


def music(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise of changing loudness, and a tone: something in every bin."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (
        0.05 * noise * (1.2 + np.sin(2 * np.pi * time / 1.7)) + 0.3 * np.sin(2 * np.pi * 330 * time)
    ).astype(np.float32)


@pytest.fixture
def tracks(tmp_path: Path, write_wav: Write) -> list[Track]:
    """Three tracks of 9.5, 7 and 5.2 s."""
    paths = [write_wav(tmp_path / f"{k}.wav", music(s, k)) for k, s in enumerate((9.5, 7.0, 5.2))]
    return prepare_files(paths).tracks


def whole(track: Track) -> MelCQTFrames:
    return MelCQT(DESCRIPTION.spectra)(torch.from_numpy(read_audio(track.path, sample_rate=RATE))[None])


def test_frames_come_back_to_half_a_step() -> None:
    frames = MelCQT(DESCRIPTION.spectra)(torch.from_numpy(music(3.0))[None])
    back = DESCRIPTION.frames(DESCRIPTION.steps(frames))
    assert (back.mel - frames.mel).abs().max() <= 0.32 + 1e-4
    assert (back.cqt - frames.cqt).abs().max() <= 0.25 + 1e-4


def test_silence_is_the_floor_and_full_scale_has_room() -> None:
    features = MelCQT(DESCRIPTION.spectra)
    silent = DESCRIPTION.steps(features(torch.zeros(1, RATE)))
    assert silent.shape == (25, 764)
    assert silent.max() == 0
    back = DESCRIPTION.frames(silent)
    assert (back.mel.unique().tolist(), back.cqt.unique().tolist()) == ([-100.0], [-80.0])
    loud = features(torch.from_numpy(synth.tone(60, 1.0) * 0 + np.sign(synth.tone(60, 1.0)))[None])
    assert DESCRIPTION.steps(loud).max() < 255


def test_a_track_is_stored_as_all_of_it_sounds(tmp_path: Path, tracks: list[Track]) -> None:
    done = store_spectra(tracks, tmp_path / "features")
    assert (done.n_stored, done.n_known, done.refused) == (3, 0, [])
    stored = StoredSpectra(tmp_path / "features")
    for track in tracks:
        frames = whole(track)
        assert stored.n_frames(track.content_hash) == frames.n_frames
        assert np.array_equal(stored.rows(track.content_hash, 0, frames.n_frames), DESCRIPTION.steps(frames))
    assert sum(path.stat().st_size for path in (tmp_path / "features" / "frames").iterdir()) == sum(
        128 + 764 * int(track.seconds * 25) for track in tracks
    )


def test_blocks_do_not_show(tmp_path: Path, tracks: list[Track], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "BLOCK_SECONDS", 2.0)
    for track in tracks:
        steps = SpectraOfTracks(DESCRIPTION).steps(track)
        assert isinstance(steps, np.ndarray)
        difference = np.abs(steps.astype(int) - DESCRIPTION.steps(whole(track)).astype(int))
        assert difference.max() <= 1
        assert (difference == 0).mean() > 0.999


def test_what_is_there_is_not_computed_again(tmp_path: Path, tracks: list[Track]) -> None:
    store_spectra(tracks[:2], tmp_path / "features")
    (tmp_path / "features" / "frames" / ".x.npy.1-0.partial").write_bytes(b"half")
    done = store_spectra([*tracks, tracks[2]], tmp_path / "features")
    assert (done.n_stored, done.n_known) == (1, 3)
    names = {path.name for path in (tmp_path / "features" / "frames").iterdir() if path.suffix == ".npy"}
    assert names == {f"{track.content_hash}.npy" for track in tracks}
    sums = (tmp_path / "features" / "SHA256SUMS").read_text().splitlines()
    assert len(sums) == 3


@pytest.mark.slow
def test_processes_side_by_side_store_what_one_stores(tmp_path: Path, tracks: list[Track]) -> None:
    for n in (1, 2):
        store_spectra(tracks, tmp_path / str(n), n_workers=n)
    sums = [sorted((tmp_path / str(n) / "SHA256SUMS").read_text().splitlines()) for n in (1, 2)]
    assert sums[0] == sums[1]


def test_a_bad_file_is_reported_and_the_rest_goes_on(tmp_path: Path, tracks: list[Track]) -> None:
    tracks[1].path.write_bytes(b"RIFF no more")
    write_manifest(tracks, tmp_path / "tracks.jsonl")
    command = ["data", "features", str(tmp_path / "tracks.jsonl"), "--out", str(tmp_path / "features")]
    result = CliRunner().invoke(app, [*command, "--strict"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "2 tracks stored" in result.stdout.replace("\n", " ")
    [refused] = [
        json.loads(line) for line in (tmp_path / "features" / "refused.jsonl").read_text().splitlines()
    ]
    assert refused["path"] == str(tracks[1].path)
    with pytest.raises(StoredFramesError, match="solfa data features"):
        RandomClips(tracks, config(tmp_path), RATE, 0)


def test_other_spectra_are_not_mixed_in(tmp_path: Path, tracks: list[Track]) -> None:
    store_spectra(tracks[:1], tmp_path / "features")
    coarser = override(DESCRIPTION, {"mel_step_db": 1.0})
    with pytest.raises(StoredFramesError, match="another folder"):
        store_spectra(tracks, tmp_path / "features", description=coarser)


def test_two_commands_do_not_fill_one_folder(tmp_path: Path, tracks: list[Track]) -> None:
    with FolderLock(tmp_path / "features"), pytest.raises(BlockingIOError, match="another folder"):
        store_spectra(tracks, tmp_path / "features")


def test_damage_is_seen_by_its_sum(tmp_path: Path, tracks: list[Track]) -> None:
    store_spectra(tracks[:1], tmp_path / "features")
    path = tmp_path / "features" / "frames" / f"{tracks[0].content_hash}.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 8
    path.write_bytes(bytes(content))
    with pytest.raises(StoredFramesError, match="SHA-256"):
        StoredSpectra(tmp_path / "features").spectra(tracks[0].content_hash, 0, 5)


def test_a_folder_without_features_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(StoredFramesError, match="solfa data features"):
        StoredSpectra(tmp_path)


def config(folder: Path, **changes: object) -> ClipsConfig:
    return ClipsConfig(clip_seconds=3.0, spectra=str(folder / "features"), **changes)  # type: ignore[arg-type]


def test_clips_of_frames_are_cut_where_clips_of_audio_are(tmp_path: Path, tracks: list[Track]) -> None:
    store_spectra(tracks, tmp_path / "features")
    of_frames = RandomClips(tracks, config(tmp_path), RATE, 5)
    of_audio = RandomClips(tracks, ClipsConfig(clip_seconds=3.0, start_samples=HOP), RATE, 5)
    numbers = range(12)
    stored, heard = (clips.join([clips[n] for n in numbers]) for clips in (of_frames, of_audio))
    assert stored.spectra is not None
    assert stored.waveform.shape == (12, 0)
    assert stored.tracks.tolist() == heard.tracks.tolist()
    computed = MelCQT(DESCRIPTION.spectra)(heard.waveform)
    assert stored.spectra.mel.shape == computed.mel.shape == (12, 300, 128)
    # Away from the ends of a clip, beyond which audio alone hears nothing: half a window, half a kernel.
    inside = slice(5, -5)
    assert (stored.spectra.mel - computed.mel)[:, inside].abs().max() < 0.33
    inside = slice(21, -21)
    assert (stored.spectra.cqt - computed.cqt)[
        :, inside
    ].abs().max() < 0.4  # kernels leave 1e-5 of the loudest


def test_a_clip_is_the_same_whenever_it_is_made(tmp_path: Path, tracks: list[Track]) -> None:
    store_spectra(tracks, tmp_path / "features")
    first, again = (RandomClips(tracks, config(tmp_path), RATE, 5) for _ in range(2))
    clips = [
        source.join([source[n] for n in numbers]) for source, numbers in ((first, (3, 4, 5)), (again, (5, 4)))
    ]
    assert clips[0].spectra is not None and clips[1].spectra is not None
    assert torch.equal(clips[0].spectra.mel[2], clips[1].spectra.mel[0])
    assert torch.equal(clips[0].spectra.cqt[1], clips[1].spectra.cqt[1])


def test_a_clip_as_long_as_its_track_is_what_audio_gives(tmp_path: Path, tracks: list[Track]) -> None:
    store_spectra(tracks, tmp_path / "features")
    track = tracks[1]
    clips = RandomClips([track], override(config(tmp_path), {"clip_seconds": 7.0}), RATE, 0)
    made = clips.join([clips[0]]).spectra
    assert made is not None
    expected = whole(track)
    assert (made.mel - expected.mel).abs().max() <= 0.32 + 1e-4
    assert (made.cqt - expected.cqt).abs().max() <= 0.25 + 1e-4


def test_another_sample_rate_is_refused(tmp_path: Path, tracks: list[Track]) -> None:
    store_spectra(tracks, tmp_path / "features")
    with pytest.raises(StoredFramesError, match="24000 Hz"):
        RandomClips(tracks, config(tmp_path), 16_000, 0)


@pytest.mark.parametrize(
    "changes", [{"codes": "codes"}, {"frames": "hidden"}, {"channel": "random"}, {"context_seconds": 1.0}]
)
def test_what_does_not_go_with_spectra_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises((ValueError, ConfigError), match="spectra"):
        config(tmp_path, **changes)


def test_stretches_are_refused_and_do_not_pass_for_their_files(tmp_path: Path, tracks: list[Track]) -> None:
    """Frames lie by the content of files: of a stretch they would be those of the file's beginning."""
    first, later = (replace(tracks[0], start_seconds=start, seconds=3.0) for start in (0.0, 3.0))
    done = store_spectra([first, later], tmp_path / "features")
    assert done.n_stored == 1 and [one.path for one in done.refused] == [later.path]
    assert store_spectra([tracks[0], later], tmp_path / "features").n_stored == 1  # now all of it
    stored = StoredSpectra(tmp_path / "features")
    assert stored.n_frames(tracks[0].content_hash) == whole(tracks[0]).n_frames
    config = ClipsConfig(clip_seconds=2.0, spectra=str(tmp_path / "features"))
    assert RandomClips([first], config, RATE, seed=0)[0]
    with pytest.raises(StoredFramesError, match=r"stretch from 3 s on.*manifest of the whole files"):
        RandomClips([first, later], config, RATE, seed=0)
