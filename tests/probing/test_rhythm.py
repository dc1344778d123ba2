"""mean+std+acf: a tempo that no mean has is read off, from the training side's directions alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from probing_data import CONFIG, features_config, make_task, store
from solfa.probing import ProbeConfig, probe_features
from solfa.probing.features import Features
from solfa.probing.rhythm import LAG_SECONDS, N_LAGS, RhythmFeatures, autocorrelation
from solfa.tasks.base import SPLITS, Item
from solfa.tasks.kinds import Numbers

RATE, N_FRAMES, DIM = 25.0, 250, 12
QUICK = ProbeConfig(**CONFIG | {"batch": 16}, lrs=(1e-2,), seeds=(0,), n_epochs=40, is_standardised=True)


def rhythms(folder: Path) -> Features:
    """Two layers of noise; in the second, frames swing with the period that is the label."""
    random, items = np.random.default_rng(0), []
    for split in SPLITS:
        for n in range(60 if split == "train" else 30):
            period = float(random.uniform(0.35, 0.7))
            times = np.arange(N_FRAMES) / RATE + random.uniform(0, 1)
            rows = 0.5 * random.standard_normal((N_FRAMES, 2, DIM))
            rows[:, 1, :3] += np.cos(2 * np.pi * times / period)[:, None]
            name = f"{split}{n}"
            items.append(
                (Item(Path(f"{name}.wav"), split, (period,), track=name, group=name), rows.astype("f2"))
            )
    config = features_config(
        "frames", n_layers=2, clip_seconds=10.0, frames_per_clip=N_FRAMES, pool="mean+std"
    )
    return store(folder, items, config)


def with_rhythm(features: Features) -> RhythmFeatures:
    return RhythmFeatures(features.folder, features.config, features.kept, features.refused, 0)


def test_the_autocorrelation_of_a_swing_peaks_at_its_period() -> None:
    times = np.arange(1000) / RATE
    changes = np.cos(2 * np.pi * times / 0.8)[None, :, None].repeat(2, 2).astype(np.float32)
    (found,) = autocorrelation(changes, RATE)
    lags = np.linspace(*LAG_SECONDS, N_LAGS)
    first = lags < 1.2
    assert lags[first][found[first].argmax()] == pytest.approx(0.8, abs=0.03)
    assert found[np.abs(lags - 0.4).argmin()] < -0.9
    assert not autocorrelation(changes[:, :1], RATE).any()
    assert not autocorrelation(np.zeros_like(changes), RATE).any()


def test_a_period_is_read_off_and_no_mean_has_it(tmp_path: Path) -> None:
    task, frames = make_task(Numbers(("period",)), ("r2",)), rhythms(tmp_path)
    rhythm = with_rhythm(frames)
    found = probe_features(task, rhythm, "toy", QUICK, lambda done, note: None)
    assert found.scores[0].mean > 0.6 and found.layer != 0
    means = [(item, rhythm.array(key)[..., : 2 * DIM]) for item, key in rhythm.kept]
    plain = store(tmp_path / "means", means, features_config(n_layers=2, pool="mean+std"))
    assert probe_features(task, plain, "toy", QUICK, lambda done, note: None).scores[0].mean < 0.3


def test_rows_have_mean_and_deviation_first_and_state_width_is_known(tmp_path: Path) -> None:
    rhythm = with_rhythm(rhythms(tmp_path))
    _, key = rhythm.kept[0]
    (row,) = rhythm.array(key)
    frames = np.load(tmp_path / "items" / f"{key}.npy").astype(np.float32)
    assert row.shape == (2, 2 * DIM + N_LAGS) and rhythm.state_dim(row.shape[1]) == DIM
    assert np.allclose(row[:, :DIM], frames.mean(0), atol=1e-5)
    assert np.allclose(row[:, DIM : 2 * DIM], frames.std(0), atol=1e-5)


def test_nothing_of_test_is_in_the_directions(tmp_path: Path) -> None:
    rhythm = with_rhythm(rhythms(tmp_path))
    training = tuple(one for one in rhythm.kept if one[0].split != "test")
    without = with_rhythm(replace(rhythm, kept=training))
    _, key = rhythm.kept[0]
    assert np.array_equal(rhythm.array(key), without.array(key))


def test_the_readout_has_a_name_of_its_own() -> None:
    assert ProbeConfig(pool="mean+std+acf", reach_frames=2).readout == "mean+std+acf ±2"
