"""Separation: a head that is told which source sounds takes the mixture apart, through the whole path."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from probing_data import features_config, make_task, store
from solfa.models import AudioEncoder
from solfa.probing import ProbeConfig, probe, probe_features
from solfa.probing.features import Features
from solfa.probing.separation import SeparationConfig, SeparationData, SeparationHead, _begin, _loss, separate
from solfa.tasks import TASKS
from solfa.tasks.base import SPLITS, ClipRule, Item
from solfa.tasks.kinds import Stems
from tasks.replicas import REPLICAS, write_replica

SAMPLE_RATE, SECONDS = 24_000, 2.0
TASK = make_task(Stems(("low", "high")), ("sdr",), clips=ClipRule(seconds=1.0, min_ratio=0.8))
TINY = SeparationConfig(
    hidden_dim=16, n_layers=1, n_fft=512, hop_length=240, lr=3e-2, batch=4, n_epochs=30, stop_patience=30
)
CONFIG = ProbeConfig(seeds=(0,), n_resamples=5, separation=TINY)


def made_up(folder: Path, *, is_told: bool) -> tuple[Features, list[Item]]:
    """Two tones of one pitch range, of which the features say how loud each is; or noise."""
    random, items = np.random.default_rng(0), []
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        for n in range(6 if split == "train" else 3):
            gains = random.choice([0.1, 1.0], (50, 2))
            loudness = gains.repeat(960, 0).T
            stems = 0.1 * loudness * random.standard_normal((2, round(SAMPLE_RATE * SECONDS)))
            paths = [folder / f"{split}{n}-{name}.wav" for name in ("low", "high", "mixture")]
            for path, sound in zip(paths, (*stems, stems.sum(0)), strict=True):
                soundfile.write(path, sound, SAMPLE_RATE, subtype="FLOAT")
            name = f"{split}{n}"
            item = Item(paths[2], split, tuple(paths[:2]), track=name, group=name)
            held = gains if is_told else random.standard_normal((50, 2))
            items.append((item, np.stack([held, held], 1).astype(np.float32)))
    return store(folder / "features", items, features_config("frames", n_layers=2)), [i for i, _ in items]


def test_a_head_that_is_told_which_source_sounds_separates_better(tmp_path: Path) -> None:
    told, _ = made_up(tmp_path / "told", is_told=True)
    guessing, _ = made_up(tmp_path / "noise", is_told=False)
    knowing, blind = (probe_features(TASK, f, "toy", CONFIG, lambda n, note: None) for f in (told, guessing))
    assert [score.metric for score in knowing.scores] == ["sdr", "sdr_low", "sdr_high"]
    assert knowing.scores[0].mean > blind.scores[0].mean + 2.0
    assert (knowing.layer, knowing.n_items) == ("weighted", (6, 3, 3))


def test_masks_of_one_give_the_mixture_back(tmp_path: Path) -> None:
    """The mixture as an estimate of two sources of equal energy is 0 dB away from each."""
    features, _ = made_up(tmp_path, is_told=True)
    data = SeparationData(TASK, features, TINY)
    head = SeparationHead(2, 2, 2, TINY)
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.fill_(50.0)
    answers = separate(head, data, data.items("test"))
    for (item, _), ratios in zip(features.kept[-3:], answers.estimated, strict=True):
        mixture, low = (soundfile.read(path)[0][:SAMPLE_RATE] for path in (item.path, item.label[0]))
        expected = 10 * np.log10(np.square(low).sum() / np.square(mixture - low).sum())
        assert ratios.shape == (2, int(SECONDS))
        assert ratios[0, 0] == pytest.approx(expected, abs=0.01)


def test_a_step_of_training_happens_on_the_device_that_was_named(tmp_path: Path) -> None:
    meta = torch.device("meta")  # whose tensors hold nothing, and cannot be mixed with others
    features, _ = made_up(tmp_path, is_told=True)
    data = SeparationData(TASK, features, TINY, meta)
    [first, *_] = data.items("train")
    head = _begin(data, first[0], seed=0)
    loss = _loss(head, data, first)
    loss.backward()
    assert loss.device == meta and {p.grad.device for p in head.parameters()} == {meta}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_sources_are_separated_on_cuda_as_on_a_processor(tmp_path: Path) -> None:
    features, _ = made_up(tmp_path, is_told=True)
    config = replace(CONFIG, separation=replace(TINY, n_epochs=2))
    devices = torch.device("cpu"), torch.device("cuda", 0)
    cpu, cuda = (probe_features(TASK, features, "toy", config, lambda n, note: None, d) for d in devices)
    assert cuda.scores[0].mean == pytest.approx(cpu.scores[0].mean, abs=0.05)


def test_the_best_epoch_on_validation_is_kept_and_seeds_repeat(tmp_path: Path) -> None:
    features, _ = made_up(tmp_path, is_told=True)
    config = replace(CONFIG, separation=replace(TINY, n_epochs=2))
    first, second = (probe_features(TASK, features, "toy", config, lambda n, note: None) for _ in range(2))
    assert first.scores == second.scores
    assert first.epochs[0] in (1, 2)


def test_musdb18_runs_through_an_encoder(tmp_path: Path, tiny_encoder: AudioEncoder) -> None:
    [replica] = [one for one in REPLICAS if one.name == "musdb18"]
    items = TASKS["musdb18"].load(write_replica(replica, tmp_path, 1.5))
    config = replace(CONFIG, separation=replace(TINY, n_epochs=1))
    found = probe(TASKS["musdb18"], items, tiny_encoder, "tiny", tmp_path / "features", config)
    names = ["sdr", "sdr_vocals", "sdr_drums", "sdr_bass", "sdr_other"]
    assert [score.metric for score in found.scores] == names
    assert found.scores[0].mean == pytest.approx(np.mean([score.mean for score in found.scores[1:]]))
    assert np.isfinite(found.scores[0].mean)


def test_a_split_without_items_is_refused(tmp_path: Path) -> None:
    features, _ = made_up(tmp_path, is_told=True)
    kept = tuple((item, key) for item, key in features.kept if item.split != "valid")
    with pytest.raises(ValueError, match="no valid items"):
        probe_features(TASK, replace(features, kept=kept), "toy", CONFIG, lambda n, note: None)
