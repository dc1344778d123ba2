"""Changes of stored spectra: what a louder, filtered or resampled waveform would have given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.config import override
from solfa.data import prepare_files
from solfa.data.augmenting import (
    STILL,
    Augmentation,
    AugmentationConfig,
    Warp,
    cqt_hz,
    frames_needed,
    interpolated,
    mel_hz,
    mel_places_of,
    raised,
    response,
)
from solfa.data.clips import ClipsConfig, RandomClips
from solfa.data.manifest import Track
from solfa.data.spectra import store_spectra
from solfa.data.stored_spectra import SpectraDescription
from solfa.errors import ArgumentError
from solfa.features import MelCQT, MelCQTFrames
from synth import chord

RATE = 24_000
DESCRIPTION = SpectraDescription()
NOTHING = AugmentationConfig(gain_db=0.0, equaliser_db=0.0, transposition_probability=0.0)
Write = Callable[[Path, np.ndarray], Path]
FEATURES = MelCQT(DESCRIPTION.spectra)


def augmentation(**changes: object) -> Augmentation:
    return Augmentation(override(NOTHING, changes), DESCRIPTION)


def of(waveform: np.ndarray) -> MelCQTFrames:
    return FEATURES(torch.from_numpy(waveform.astype(np.float32))[None])


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def test_gain_on_frames_is_gain_on_audio() -> None:
    quiet, loud = of(noise(2.0)), of(noise(2.0) * 10 ** (6 / 20))
    mel = raised(quiet.mel, np.full(128, 6.0, np.float32), -100.0)
    cqt = raised(quiet.cqt, np.full(252, 6.0, np.float32), -80.0)
    assert (mel - loud.mel).abs().max() < 1e-3
    heard = quiet.cqt > -80  # what was below the floor is not known
    assert heard.float().mean() > 0.98
    assert (cqt - loud.cqt)[heard].abs().max() < 0.02  # kernels leave 1e-5 of the loudest


def test_gains_are_drawn_evenly_and_are_the_same_in_both_halves() -> None:
    frames, changing = of(noise(1.0)), augmentation(gain_db=10.0)
    gains = []
    for number in range(200):
        changed = changing.coloured(frames, 0, number)
        by_db = (changed.cqt - frames.cqt)[0, 10].median()
        assert (changed.mel - frames.mel).median() == pytest.approx(float(by_db), abs=1e-3)
        gains.append(float(by_db))
    assert -10 <= min(gains) < -9 and 9 < max(gains) <= 10
    assert np.mean(gains) == pytest.approx(0, abs=1.5)


def test_the_floor_stays_the_floor() -> None:
    silence = DESCRIPTION.frames(np.zeros((50, 764), np.uint8))
    changing = augmentation(gain_db=10.0, equaliser_db=9.0)
    for number in range(20):
        changed = changing.coloured(silence, 0, number)
        assert changed.mel.unique().tolist() == [-100.0]
        assert changed.cqt.unique().tolist() == [-80.0]
        warped = changing.coloured(changing.warped(silence, Warp(2.5, 0.95), 25), 0, number)
        assert (warped.mel.unique().tolist(), warped.cqt.unique().tolist()) == ([-100.0], [-80.0])
    soft = torch.tensor([[[-99.0, -100.0]]])
    assert raised(soft, np.array([-5.0, 5.0], np.float32), -100.0).tolist() == [[[-100.0, -100.0]]]


def test_both_halves_go_through_one_equaliser() -> None:
    """A filter with the same response, on audio: tones come out as loud as frames say."""
    knots = np.array([6.0, -9.0, 3.0, 8.0])
    mel_db, cqt_db = (
        response(knots, hz(DESCRIPTION.spectra), DESCRIPTION.spectra) for hz in (mel_hz, cqt_hz)
    )
    mel, cqt = mel_hz(DESCRIPTION.spectra).numpy(), cqt_hz(DESCRIPTION.spectra).numpy()
    shared = (mel > cqt[0]) & (mel < cqt[-1])
    assert np.interp(np.log(mel[shared]), np.log(cqt), cqt_db) == pytest.approx(mel_db[shared], abs=0.02)
    assert max(np.abs(mel_db).max(), np.abs(cqt_db).max()) <= 9.0
    assert cqt_db[0] == pytest.approx(6.0, abs=1e-5)
    assert np.abs(np.diff(cqt_db)).max() < 0.5


def test_centres_of_bands_are_where_tones_peak() -> None:
    mel, cqt = mel_hz(DESCRIPTION.spectra), cqt_hz(DESCRIPTION.spectra)
    assert torch.allclose(mel_places_of(mel, DESCRIPTION.spectra), torch.arange(128, dtype=torch.float64))
    time = np.arange(RATE) / RATE
    for band, number in ((60, 150), (100, 200)):
        assert int(of(np.sin(2 * np.pi * float(mel[band]) * time)).mel[0, 50].argmax()) == band
        assert int(of(np.sin(2 * np.pi * float(cqt[number]) * time)).cqt[0, 12].argmax()) == number


@pytest.mark.parametrize("semitones", [-3.0, -1.0, 2.0])
def test_transposition_moves_constant_q_by_three_bins_a_semitone(semitones: float) -> None:
    stored = of(noise(4.0))
    warp = Warp(semitones, 2 ** (-semitones / 12))  # as long as it was
    assert warp.pace == pytest.approx(1.0)
    warped = augmentation().warped(stored, warp, 50)
    shift = round(3 * semitones)
    rolled = stored.cqt[:, :50].roll(shift, 2)
    edge = slice(None, shift) if shift > 0 else slice(shift, None)
    rolled[:, :, edge] = -80.0
    assert torch.allclose(warped.cqt, rolled, atol=1e-3)


@pytest.mark.parametrize("semitones", [-2.0, 1.0, 3.0])
def test_a_transposed_chord_is_that_of_the_resampled_audio(semitones: float) -> None:
    music = np.concatenate([chord(57, "maj", 1.0), chord(59, "min", 1.0)] * 3)
    warp = Warp(semitones)
    resampled = soxr.resample(music, RATE * warp.pace, RATE)
    n_frames = int(len(resampled) / 960) - 30
    expected = of(resampled).cut(n_frames)
    stored = of(music)
    needed = frames_needed(n_frames, warp)
    warped = augmentation().warped(stored.cut(needed), warp, n_frames)
    assert warped.mel.shape == expected.mel.shape
    inner = slice(30, n_frames - 10)
    for made, true, top, far_db in (
        (warped.cqt, expected.cqt, 230, 0.1),
        (warped.mel, expected.mel, 110, 1.5),
    ):
        ratio = made.shape[1] // n_frames
        made, true = (values[:, ratio * inner.start : ratio * inner.stop, :top] for values in (made, true))
        loud = true > true.max() - 15  # partials, and not what windows leak between them, which beats
        assert float((made - true)[loud].abs().median()) < far_db


@pytest.mark.parametrize("semitones", [-2.7, -0.5, 1.9])
def test_a_tone_is_transposed_by_any_interval(semitones: float) -> None:
    time = np.arange(3 * RATE) / RATE
    stored = of(np.sin(2 * np.pi * 440 * time)).cut(74)
    warped = augmentation().warped(stored, Warp(semitones), 50)
    wanted_hz = 440 * 2 ** (semitones / 12)
    for values, hz in ((warped.mel, mel_hz(DESCRIPTION.spectra)), (warped.cqt, cqt_hz(DESCRIPTION.spectra))):
        nearest = int((hz / wanted_hz).log2().abs().argmin())
        assert abs(int(values[0, 25].argmax()) - nearest) <= 1


def test_a_stretch_leaves_pitch_and_moves_time() -> None:
    time = np.arange(6 * RATE) / RATE
    clicks = (np.sin(2 * np.pi * 440 * time) * (time % 1 < 0.1)).astype(np.float32)  # one a second
    stored = of(clicks)
    warp = Warp(0.0, 1.25)
    warped = augmentation().warped(stored.cut(frames_needed(100, warp)), warp, 100)
    level = warped.mel[0].max(1).values
    onsets = [k for k in range(1, 400) if level[k] > 0 and level[k - 1] <= 0]
    assert np.diff(onsets) == pytest.approx(80, abs=2)  # every 0.8 s, in mel frames
    assert warped.cqt[0].max(0).values.argmax() == stored.cqt[0].max(0).values.argmax()


def test_rows_between_rows_are_linear() -> None:
    rows = torch.tensor([[0.0], [10.0], [30.0]])
    places = torch.tensor([0.0, 0.25, 1.5, 2.0], dtype=torch.float64)
    assert interpolated(rows, places)[:, 0].tolist() == [0.0, 2.5, 20.0, 30.0]


def test_a_track_has_one_warp_in_an_epoch() -> None:
    changing = augmentation(transposition_probability=0.5, stretch_probability=0.3)
    assert changing.warp_of("a", 0, 1) == changing.warp_of("a", 0, 1)
    warps = [changing.warp_of(str(track), 0, epoch) for track in range(100) for epoch in range(4)]
    assert np.mean([warp.semitones != 0 for warp in warps]) == pytest.approx(0.5, abs=0.08)
    assert np.mean([warp.speed != 1 for warp in warps]) == pytest.approx(0.3, abs=0.08)
    assert all(abs(warp.semitones) <= 3 and 0.9 <= 1 / warp.speed <= 1.1 for warp in warps)
    assert len({changing.warp_of("a", 0, epoch) for epoch in range(8)}) > 3
    assert augmentation().warp_of("a", 0, 0) == STILL


@pytest.fixture
def folder(tmp_path: Path, write_wav: Write) -> tuple[Path, list[Track]]:
    paths = [write_wav(tmp_path / f"{k}.wav", noise(seconds, k)) for k, seconds in enumerate((9.0, 6.0, 3.1))]
    tracks = prepare_files(paths).tracks
    store_spectra(tracks, tmp_path / "features")
    return tmp_path / "features", tracks


def clips_of(folder: Path, tracks: list[Track], numbers: list[int], **changes: object) -> MelCQTFrames:
    config = ClipsConfig(
        clip_seconds=3.0, spectra=str(folder), clips_per_track=2,
        augmentation=override(NOTHING, changes) if changes else None,
    )  # fmt: skip
    clips = RandomClips(tracks, config, RATE, 3)
    spectra = clips.join([clips[number] for number in numbers]).spectra
    assert spectra is not None
    return spectra


def test_changed_clips_are_the_same_whenever_they_are_made(folder: tuple[Path, list[Track]]) -> None:
    changes = {
        "gain_db": 10.0, "equaliser_db": 9.0, "transposition_probability": 1.0, "stretch_probability": 1.0,
    }  # fmt: skip
    first = clips_of(*folder, [4, 9, 17], **changes)
    again = clips_of(*folder, [17, 4], **changes)
    assert torch.equal(first.mel[[2, 0]], again.mel)
    assert torch.equal(first.cqt[[2, 0]], again.cqt)
    assert first.mel.shape == (3, 300, 128)
    plain = clips_of(*folder, [4, 9, 17])
    assert not any(torch.equal(a, b) for a, b in zip(first.mel, plain.mel, strict=True))


def test_clips_change_by_themselves_and_keep_their_place(folder: tuple[Path, list[Track]]) -> None:
    plain, louder = clips_of(*folder, [0, 1, 2]), clips_of(*folder, [0, 1, 2], gain_db=10.0)
    gains = [float(gain) for gain in (louder.cqt - plain.cqt).flatten(1).median(1).values]
    assert len({round(gain, 3) for gain in gains}) == 3
    for k, gain in enumerate(gains):
        kept = (plain.cqt[k] > -70) & (louder.cqt[k] > -80)
        assert torch.allclose(louder.cqt[k][kept], plain.cqt[k][kept] + gain, atol=1e-3)


def test_a_track_that_is_too_short_to_be_faster_stays_as_it_is(folder: tuple[Path, list[Track]]) -> None:
    path, tracks = folder
    short = [tracks[2]]  # 3.1 s, of which 3 s are wanted

    def made(**changes: object) -> Float[Tensor, "clip frame band"]:
        return clips_of(path, short, list(range(20)), **changes).mel

    changed, plain = made(transposition_probability=1.0), made(gain_db=0.0)
    kept = [bool(torch.equal(a, b)) for a, b in zip(changed, plain, strict=True)]
    assert any(kept) and not all(kept)


def test_augmentation_without_stored_spectra_is_refused() -> None:
    with pytest.raises(ArgumentError, match="solfa data features"):
        ClipsConfig(augmentation=NOTHING)


@pytest.mark.parametrize("changes", [{"min_knots": 1}, {"max_knots": 3}, {"transposition_semitones": 13.0}])
def test_what_cannot_be_drawn_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=r"data\.augmentation"):
        AugmentationConfig(**changes)
