"""KMeansCodes: the nearest centre, and centres out of run folders."""

from pathlib import Path

import pytest
import torch

from solfa import checkpoint
from solfa.config import override, save_config
from solfa.data.clips import Clips
from solfa.recipes import recipe
from solfa.targets import ChromaFramesConfig, KMeansCodes, KMeansCodesConfig, TargetError
from synth import pitch_hz, tone


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of kmeans_75hz with centres of its own."""
    config = recipe("kmeans_75hz")
    generator = torch.Generator().manual_seed(0)
    weights = {
        "targets.0.centres": torch.randn(300, 229, generator=generator),
        "targets.0.counts": torch.arange(300.0),
        "targets.1.centres": torch.randn(200, 264, generator=generator),
        "targets.1.counts": torch.arange(200.0),
    }
    checkpoint.save(tmp_path / "run", 1, weights, {})
    save_config(config, tmp_path / "run" / checkpoint.CONFIG)
    return tmp_path / "run"


def started(config: KMeansCodesConfig, run: Path) -> KMeansCodes:
    target = KMeansCodes(override(config, {"fitted": str(run)}))
    target.load_fitted()
    return target


CHROMA = KMeansCodesConfig(features=ChromaFramesConfig(), n_clusters=200)


def test_a_code_is_the_nearest_centre_by_euclidean_distance() -> None:
    target = KMeansCodes(KMeansCodesConfig(n_clusters=50))
    generator = torch.Generator().manual_seed(0)
    # Of different lengths: the largest product is not the nearest.
    target.centres.copy_(torch.randn(50, 229, generator=generator) * torch.linspace(0.1, 3, 50)[:, None])
    frames = torch.randn(2, 70, 229, generator=generator)
    expected = torch.cdist(frames.double(), target.centres.double()).argmin(-1)
    assert torch.equal(target.nearest(frames), expected)


def test_two_octaves_of_a_note_have_one_chroma_code_and_another_note_another() -> None:
    target = KMeansCodes(override(CHROMA, {"n_clusters": 12}))
    centres = torch.zeros(12, 264)
    for pitch_class in range(12):
        centres[pitch_class, torch.arange(-5, 6) + 22 * pitch_class] = 0.3
    target.centres.copy_(centres)
    waveform = torch.stack([torch.from_numpy(tone(pitch_hz(midi), 1.0)) for midi in (81, 93, 88)])
    clips = Clips(waveform, 24_000, torch.arange(3), torch.zeros(3, dtype=torch.long))
    assert target(clips).values[:, 0, 30].tolist() == [9, 9, 4]  # A5, A6, E6


@pytest.mark.parametrize("config", [KMeansCodesConfig(), CHROMA])
def test_its_place_in_a_run_is_found_by_its_features(config: KMeansCodesConfig, run: Path) -> None:
    target = started(config, run)
    assert target.centres.shape == (config.n_clusters, config.features.dim)
    assert torch.equal(target.counts, torch.arange(float(config.n_clusters)))


def test_centres_of_an_encoder_taught_by_them_serve_too(run: Path) -> None:
    centres = started(CHROMA, run).centres
    config = override(recipe("mert_small"), {"objective.predictions.1.target": CHROMA})
    weights = {"targets.1.centres": centres, "targets.1.counts": torch.zeros(200)}
    checkpoint.save(run.parent / "encoder", 1, weights, {})
    save_config(config, run.parent / "encoder" / checkpoint.CONFIG)
    assert torch.equal(started(CHROMA, run.parent / "encoder").centres, centres)


def test_a_target_without_a_fit_is_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match=r"solfa train kmeans_75hz.*target\.fitted=RUN"):
        KMeansCodes(KMeansCodesConfig()).load_fitted()


def test_a_folder_that_is_not_there_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"No centres at .*none\. Fit them with: solfa train"):
        started(KMeansCodesConfig(), tmp_path / "none")


@pytest.mark.parametrize("changes", [{"n_clusters": 299}, {"features.mel.sample_rate": 16_000}])
def test_a_run_without_such_clusters_is_refused_and_says_what_it_has(
    changes: dict[str, object], run: Path
) -> None:
    with pytest.raises(TargetError, match=r"It has: 300 clusters of .*; 200 clusters of .*agree with it"):
        started(override(KMeansCodesConfig(), changes), run)
