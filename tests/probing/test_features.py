"""Features: computed once, cut as the protocol says, and a bad file stops nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from probing_data import make_task
from solfa.embedding import WindowConfig
from solfa.embedding.windows import cut_waveform, cut_windows
from solfa.models import AudioEncoder
from solfa.probing import clip_features, load_baseline
from solfa.probing import features as module
from solfa.probing.clip_features import clip_starts
from solfa.probing.features import FeaturesError, extract
from solfa.tasks.base import ClipRule, Item, Task
from solfa.tasks.kinds import Classes, FrameClasses
from synth import melody, tone

WriteWav = Callable[[Path, np.ndarray], Path]
TASK = make_task(Classes(("a", "b")), ("accuracy",), clips=ClipRule(seconds=1.0, min_ratio=0.5))


def item(path: Path, **changes: float) -> Item:
    return Item(path, "train", 0, track=path.stem, group=path.stem, **changes)


@pytest.mark.parametrize(
    ("n_samples", "rule", "clips"),
    [
        (25, ClipRule(seconds=1.0, min_ratio=0.8), [(0, 10), (10, 20)]),
        (28, ClipRule(seconds=1.0, min_ratio=0.8), [(0, 10), (10, 20), (20, 28)]),
        (3, ClipRule(seconds=1.0, min_ratio=0.8), [(0, 3)]),
        (28, ClipRule(seconds=1.0, n_most=1), [(0, 10)]),
    ],
)
def test_items_are_cut_into_clips_as_the_rule_says(
    n_samples: int, rule: ClipRule, clips: list[tuple[int, int]]
) -> None:
    assert clip_starts(n_samples, 10, rule) == clips


def test_a_feature_is_the_mean_over_time_of_every_layer(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    waveform = melody(2.6)
    path = write_wav(tmp_path / "a.wav", waveform)
    found = extract(TASK, [item(path)], tiny_encoder, tmp_path / "features")
    rows = found.array(found.kept[0][1])
    samples, _ = soundfile.read(path, dtype="float32")
    for row, clip in zip(rows, np.split(samples, [24_000, 48_000]), strict=True):
        expected = tiny_encoder(torch.from_numpy(clip)[None]).layers[:, 0].mean(1)
        np.testing.assert_allclose(row, expected.detach().numpy(), atol=1e-5)


def test_a_second_run_computes_nothing(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [item(write_wav(tmp_path / f"{n}.wav", melody(1.0, seed=n))) for n in range(2)]
    first = extract(TASK, items, tiny_encoder, tmp_path / "features")
    monkeypatch.setattr("solfa.probing.clip_features.read_audio", None)
    monkeypatch.setattr(module, "hash_content", None)
    second = extract(TASK, items, tiny_encoder, tmp_path / "features")
    assert (first.n_computed, second.n_computed, second.kept) == (2, 0, first.kept)


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    items = [item(write_wav(tmp_path / f"{n}.wav", melody(1.0, seed=n))) for n in range(3)]
    whole = extract(TASK, items, tiny_encoder, tmp_path / "whole")

    def stop(done: int, note: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(TASK, items, tiny_encoder, tmp_path / "broken", progress=stop)
    rest = extract(TASK, items, tiny_encoder, tmp_path / "broken")
    assert rest.n_computed == 2
    for (_, key), (_, other) in zip(whole.kept, rest.kept, strict=True):
        np.testing.assert_array_equal(whole.array(key), rest.array(other))


def test_another_encoder_or_rule_has_features_of_its_own(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    items = [item(write_wav(tmp_path / "a.wav", melody(1.0)))]
    tasks: list[Task] = [TASK, replace(TASK, clips=ClipRule(seconds=0.5))]
    folders = {extract(task, items, tiny_encoder, tmp_path / "f").folder for task in tasks}
    folders.add(extract(TASK, items, tiny_encoder, tmp_path / "f", layers=[1]).folder)
    assert len(folders) == 3


def test_a_file_that_changed_is_computed_again(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(1.0))
    before = extract(TASK, [item(path)], tiny_encoder, tmp_path / "f")
    write_wav(path, melody(1.2, seed=5))
    after = extract(TASK, [item(path)], tiny_encoder, tmp_path / "f")
    assert after.n_computed == 1
    assert before.kept[0][1] != after.kept[0][1]


def test_bad_files_are_refused_with_reasons_and_the_rest_goes_on(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    good = write_wav(tmp_path / "good.wav", melody(1.0))
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no music")
    items = [item(broken), item(tmp_path / "gone.wav"), item(good), item(good, start=7.0)]
    found = extract(TASK, items, tiny_encoder, tmp_path / "f")
    assert [kept.path for kept, _ in found.kept] == [good]
    assert {refused.path.name for refused in found.refused} == {"broken.wav", "gone.wav", "good.wav"}
    assert any("no samples from 7 s on" in refused.reason for refused in found.refused)


def test_no_error_of_one_file_ends_a_probe(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = write_wav(tmp_path / "good.wav", melody(1.0))
    bad = write_wav(tmp_path / "bad.wav", melody(1.0, seed=5))
    read = clip_features.read_audio

    def fails_at_one(path: Path, **options: Any) -> Any:
        if path == bad:
            raise AttributeError("nobody foresaw this")
        return read(path, **options)

    monkeypatch.setattr(clip_features, "read_audio", fails_at_one)
    found = extract(TASK, [item(bad), item(good)], tiny_encoder, tmp_path / "f")
    assert [kept.path for kept, _ in found.kept] == [good]
    assert "nobody foresaw this (AttributeError in " in found.refused[0].reason


def test_an_encoder_in_training_mode_is_put_into_eval_mode(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    tiny_encoder.train()
    extract(TASK, [item(write_wav(tmp_path / "a.wav", melody(1.0)))], tiny_encoder, tmp_path / "f")
    assert not tiny_encoder.training


def test_the_rule_chooses_the_channel(tmp_path: Path, tiny_encoder: AudioEncoder) -> None:
    left, right = tone(440, 1.0), tone(3000, 1.0)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], 1), 24_000)
    soundfile.write(tmp_path / "left.wav", left, 24_000)
    items = [item(tmp_path / "stereo.wav"), item(tmp_path / "left.wav")]
    task = replace(TASK, clips=ClipRule(seconds=1.0, channel="first"))
    found = extract(task, items, tiny_encoder, tmp_path / "f")
    first, second = (found.array(key) for _, key in found.kept)
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_frames_lie_at_their_times_in_every_clip(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    task = replace(TASK, kind=FrameClasses(("a",)), clips=ClipRule(seconds=0.5, min_ratio=0.1))
    path = write_wav(tmp_path / "a.wav", melody(1.2))
    found = extract(task, [item(path)], tiny_encoder, tmp_path / "f")
    rows = found.array(found.kept[0][1])
    assert (rows.dtype, rows.shape[1:]) == (np.float16, (3, 16))
    times = found.frame_times(len(rows))
    per_clip = tiny_encoder.frontend.n_frames(12_000)
    assert times[per_clip] == pytest.approx(0.5)
    assert times[1] == pytest.approx(0.04)
    assert len(rows) == 2 * per_clip + 5  # half a frame more in each clip has no row: the next would be late
    samples, _ = soundfile.read(path, dtype="float32")
    second = tiny_encoder(torch.from_numpy(samples[None, 12_000:24_000])).layers[:, 0].transpose(0, 1)
    np.testing.assert_allclose(rows[per_clip : 2 * per_clip], second[:per_clip].detach(), atol=5e-3)


@pytest.mark.parametrize("seconds", [0.6, None])  # clips of 15 frames; windows of the whole
def test_frames_of_a_fast_encoder_are_averaged(
    seconds: float | None, tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    windows = WindowConfig(window_seconds=1.0, context_seconds=0.2)
    monkeypatch.setattr(module, "default_windows", lambda encoder: windows)
    items = [item(write_wav(tmp_path / "a.wav", melody(2.7)))]
    task = replace(TASK, kind=FrameClasses(("a",)), clips=ClipRule(seconds=seconds, min_ratio=0.1))
    slow = replace(task, clips=replace(task.clips, frame_rate=12.0))
    found, halved = (extract(one, items, tiny_encoder, tmp_path / "f") for one in (task, slow))
    rows, fewer = (one.array(one.kept[0][1]).astype(np.float32) for one in (found, halved))
    n_clip = found.config.frames_per_clip or len(rows)
    means = [
        rows[begin : min(begin + 2, end)].mean(0)
        for start in range(0, len(rows), n_clip)
        for end in [min(start + n_clip, len(rows))]
        for begin in range(start, end, 2)
    ]
    np.testing.assert_allclose(fewer, means, atol=2e-3)
    assert n_clip % 2 == 1 or seconds is None
    assert halved.frame_times(4)[1] == pytest.approx(0.08)
    if seconds:
        assert halved.frame_times(len(fewer))[-(-n_clip // 2)] == pytest.approx(seconds)


@pytest.mark.parametrize(("rate", "is_same"), [(None, True), (25.0, True), (13.0, True), (12.0, False)])
def test_frames_that_are_not_averaged_keep_their_features(
    rate: float | None, is_same: bool, tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    items = [item(write_wav(tmp_path / "a.wav", melody(1.0)))]
    task = replace(TASK, kind=FrameClasses(("a",)))
    before = extract(task, items, tiny_encoder, tmp_path / "f")
    again = extract(
        replace(task, clips=replace(task.clips, frame_rate=rate)), items, tiny_encoder, tmp_path / "f"
    )
    assert (again.config == before.config) is is_same
    assert extract(TASK, items, tiny_encoder, tmp_path / "f").n_computed == 0  # means are there in any case


def test_frames_leave_the_means_of_their_clips_for_other_tasks(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    items = [item(write_wav(tmp_path / f"{n}.wav", melody(2.6, seed=n))) for n in range(2)]
    extract(replace(TASK, kind=FrameClasses(("a",))), items, tiny_encoder, tmp_path / "f")
    left, alone = (extract(TASK, items, tiny_encoder, tmp_path / name) for name in ("f", "alone"))
    assert (left.n_computed, alone.n_computed) == (0, 2)
    assert left.config == alone.config
    for (_, key), (_, other) in zip(left.kept, alone.kept, strict=True):
        np.testing.assert_array_equal(left.array(key), alone.array(other))
    baseline = load_baseline("log-mel")
    extract(replace(TASK, kind=FrameClasses(("a",))), items, baseline, tmp_path / "f")
    assert extract(TASK, items, baseline, tmp_path / "f").n_computed == 0


def test_a_waveform_is_cut_into_the_windows_of_its_file(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(5.3))
    waveform, _ = soundfile.read(path, dtype="float32")
    config = WindowConfig(window_seconds=2.0, context_seconds=0.4)
    of_file = list(cut_windows(path, tiny_encoder.grid, config))
    of_waveform = list(cut_waveform(waveform, tiny_encoder.grid, config))
    assert len(of_file) > 2
    for one, other in zip(of_file, of_waveform, strict=True):
        np.testing.assert_array_equal(one.waveform, other.waveform)
        assert one.taken == other.taken


def test_damaged_features_are_named_with_the_cure(
    tmp_path: Path, write_wav: WriteWav, tiny_encoder: AudioEncoder
) -> None:
    found = extract(TASK, [item(write_wav(tmp_path / "a.wav", melody(1.0)))], tiny_encoder, tmp_path / "f")
    ((_, key),) = found.kept
    (path,) = found.folder.rglob("*.npy")
    path.write_bytes(b"cut")
    with pytest.raises(FeaturesError, match=r"is damaged.*Remove it, and probe again"):
        found.array(key)
