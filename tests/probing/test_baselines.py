"""Baselines: what they compute, that neither padding nor neighbours matter, and that noise is chance."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from probing_data import CONFIG, make_task
from solfa.embedding import fingerprint
from solfa.features import LogMel, LogMelConfig
from solfa.models import AudioEncoder, ModelError, load_encoder
from solfa.probing import Baseline, ProbeConfig, extract, is_baseline, load_baseline, probe
from solfa.tasks.base import SPLITS, ClipRule, Item
from solfa.tasks.kinds import Classes, FrameClasses, Span
from synth import melody, tone

WriteWav = Callable[[Path, np.ndarray], Path]
TASK = make_task(Classes(("a", "b")), ("accuracy",), clips=ClipRule(seconds=1.0))
FIXED = ("log-mel", "log-cqt", "log-mel+cqt", "mfcc-chroma", "random")


def load(name: str) -> Baseline:
    baseline = load_baseline(name)
    assert isinstance(baseline, Baseline)
    return baseline


def items(tmp_path: Path, write_wav: WriteWav, n_per_split: int) -> list[Item]:
    """Low tones and high tones, of which no two are equal."""
    made = []
    for number, split in enumerate(SPLITS):
        for n in range(n_per_split):
            hertz = 200 + 10 * n + 3 * number + 900 * (n % 2)
            path = write_wav(tmp_path / f"{split}{n}.wav", tone(hertz, 0.5))
            made.append(Item(path, split, n % 2, track=path.stem, group=path.stem))
    return made


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("rows", ["clips", "frames"])
def test_a_clip_has_the_same_frames_alone_padded_and_in_a_batch(name: str, rows: str) -> None:
    encoder: AudioEncoder = getattr(load(name), rows)
    clips = [torch.from_numpy(melody(seconds, seed=n)) for n, seconds in enumerate((1.0, 0.7, 1.3))]
    waveform = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    together = encoder(waveform, torch.tensor([len(clip) for clip in clips]))
    for row, clip in enumerate(clips):
        alone = encoder(clip[None])
        n_frames = alone.last.shape[1]
        assert together.n_frames[row] == n_frames == encoder.frontend.n_frames(len(clip))
        torch.testing.assert_close(together.last[row, :n_frames], alone.last[0], atol=1e-3, rtol=1e-4)
        assert not together.last[row, n_frames:].any()


def test_log_mel_of_a_clip_is_mean_and_deviation_of_its_mel_frames(
    tmp_path: Path, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(1.0))
    items = [Item(path, "train", 0, "a", "a")]
    found = extract(TASK, items, load("log-mel"), tmp_path / "f", pool="mean+std")
    waveform, _ = soundfile.read(path, dtype="float32")
    frames = LogMel(LogMelConfig(hop_length=960))(torch.from_numpy(waveform)[None])[0]
    expected = torch.cat([frames.mean(0), frames.std(0, correction=0)])
    [row] = found.array(found.kept[0][1])
    np.testing.assert_allclose(row, expected[None], atol=1e-4)


def test_a_clip_longer_than_a_window_has_the_statistics_of_all_its_frames(
    tmp_path: Path, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(32.0))
    task = replace(TASK, clips=ClipRule(seconds=None))
    items = [Item(path, "train", 0, "a", "a")]
    found = extract(task, items, load("log-mel"), tmp_path / "f", pool="mean+std")
    waveform, _ = soundfile.read(path, dtype="float32")
    frames = LogMel(LogMelConfig(hop_length=960))(torch.from_numpy(waveform)[None])[0]
    [row] = found.array(found.kept[0][1])
    np.testing.assert_allclose(row[0, 128:], frames.std(0, correction=0), atol=1e-3)


def test_both_statistics_are_those_of_mel_bands_beside_those_of_constant_q_bins() -> None:
    waveform = torch.from_numpy(melody(1.0))[None]
    mel, cqt, both = (load(name).clips(waveform).last for name in ("log-mel", "log-cqt", "log-mel+cqt"))
    assert (mel.shape[2], cqt.shape[2]) == (128, 252)
    torch.testing.assert_close(both, torch.cat([mel, cqt], 2), atol=0, rtol=0)
    assert all(load(name).is_raw for name in ("log-mel", "log-cqt", "log-mel+cqt"))


def test_statistics_are_mel_bands_and_constant_q_bins() -> None:
    assert fingerprint(load("statistics").clips) == fingerprint(load("log-mel+cqt").clips)


def test_chroma_of_a_tone_is_its_pitch_class() -> None:
    chroma = load("mfcc-chroma").clips(torch.from_numpy(tone(440, 1.0))[None]).last[0, 5, -12:]
    assert int(chroma.argmax()) == 9


def test_noise_knows_the_samples_and_nothing_else() -> None:
    encoder, clip = load("random").clips, torch.from_numpy(melody(1.0))[None]
    first, again, other = (encoder(waveform).last for waveform in (clip, clip.clone(), clip * 1.001))
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert float(torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1]) < 0.1


def test_untrained_has_the_same_fresh_weights_each_time(other_run: Path) -> None:
    trained = load_encoder(other_run)
    first, again = (load_baseline(f"untrained:{other_run}") for _ in range(2))
    assert isinstance(first, AudioEncoder)
    assert isinstance(again, AudioEncoder)
    assert (first.config, first.training) == (trained.config, False)
    assert fingerprint(first) == fingerprint(again) != fingerprint(trained)


def test_clips_and_frames_of_a_baseline_are_one_model() -> None:
    for name in FIXED:
        assert fingerprint(load(name).clips) == fingerprint(load(name).frames)


def test_noise_is_at_chance_where_mel_bands_know(tmp_path: Path, write_wav: WriteWav) -> None:
    made = items(tmp_path, write_wav, n_per_split=24)
    config = ProbeConfig(seeds=(0, 1), lrs=(1e-3,), n_epochs=15, is_standardised=True, **CONFIG)
    known, chance = (
        probe(TASK, made, load(name), name, tmp_path / "f", config).scores[0].mean
        for name in ("log-mel", "random")
    )
    assert known > 0.95
    assert abs(chance - 0.5) < 0.25


def test_frames_of_a_baseline_go_through_a_probe(tmp_path: Path, write_wav: WriteWav) -> None:
    task = make_task(FrameClasses(("low", "high")), ("frame_accuracy",), clips=ClipRule(seconds=1.0))
    sound = np.concatenate([tone(220, 0.5), tone(1800, 0.5)])
    spans = (Span(0.0, 0.5, 0), Span(0.5, 1.0, 1))
    made = [
        Item(write_wav(tmp_path / f"{split}.wav", sound * level), split, spans, split, split)
        for split, level in zip(SPLITS, (1.0, 0.8, 0.6), strict=True)
    ]
    config = ProbeConfig(seeds=(0,), lrs=(1e-2,), n_epochs=30, **CONFIG)
    result = probe(task, made, load("mfcc-chroma"), "mfcc-chroma", tmp_path / "f", config)
    assert result.scores[0].mean > 0.8


def test_names_of_baselines_are_told_from_models() -> None:
    assert all(map(is_baseline, (*FIXED, "untrained:runs/a", "musicnn", "musicnn:a.whl")))
    assert not any(map(is_baseline, ("runs/log-mel", "m-a-p/MERT-v1-95M", "log-mel:x")))


def test_an_untrained_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="untrained:MODEL"):
        load_baseline("untrained:")
