"""KMeansFit: clusters that are there are found, however a step is divided."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from solfa.config import override
from solfa.data.clips import Clips
from solfa.objectives import KMeansFit, KMeansFitConfig
from solfa.targets import ChromaFramesConfig, KMeansCodesConfig, TargetError
from synth import melody

DIM, N_BLOBS = 8, 6
MEANS = 10 * torch.randn(N_BLOBS, DIM, generator=torch.Generator().manual_seed(3))


class GivenFrames(nn.Module):
    """The samples of a clip are its frames."""

    def forward(self, waveform: Tensor) -> Tensor:
        return waveform.unflatten(1, (-1, DIM))


def fit_of_given_frames(n_clusters: int = N_BLOBS) -> KMeansFit:
    target = override(KMeansCodesConfig(), {"n_clusters": n_clusters, "features.mel.n_mels": DIM})
    objective = KMeansFit(KMeansFitConfig(targets=(target,)))
    objective.targets[0].features = GivenFrames()
    return objective.train()


def blobs(step: int, n_clips: int = 4, n_frames: int = 100) -> Clips:
    """Frames around a few means."""
    generator = torch.Generator().manual_seed(step)
    which = torch.randint(N_BLOBS, (n_clips, n_frames), generator=generator)
    frames = MEANS[which] + 0.1 * torch.randn(n_clips, n_frames, DIM, generator=generator)
    numbers = torch.arange(n_clips) + step * n_clips
    return Clips(frames.flatten(1), 24_000, numbers, torch.zeros(n_clips, dtype=torch.long))


def music(n: int) -> Clips:
    waveform = torch.stack([torch.from_numpy(melody(1.0, seed=seed)) for seed in range(n)])
    return Clips(waveform, 24_000, torch.arange(n), torch.zeros(n, dtype=torch.long))


def stepped(objective: KMeansFit, *passes: Clips) -> KMeansFit:
    for clips in passes:
        objective(clips)
    objective.finish_step()
    return objective


def state_of(objective: KMeansFit) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in objective.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_finds_the_clusters_that_are_there() -> None:
    objective = fit_of_given_frames()
    for step in range(5):
        stepped(objective, blobs(step))
    centres = objective.targets[0].centres
    assert torch.cdist(MEANS, centres).min(1).values.max() < 0.05
    assert torch.cdist(MEANS, centres).argmin(1).unique().numel() == N_BLOBS
    assert float(objective.targets[0].counts.sum()) == 5 * 400


def test_a_centre_is_the_mean_of_its_frames_over_all_steps() -> None:
    objective = fit_of_given_frames(n_clusters=1)
    given = [blobs(step) for step in range(3)]
    for clips in given:
        stepped(objective, clips)
    mean = torch.cat([clips.waveform.unflatten(1, (-1, DIM)).flatten(0, 1) for clips in given]).mean(0)
    torch.testing.assert_close(objective.targets[0].centres[0], mean, atol=1e-4, rtol=1e-4)


def test_a_step_is_the_same_in_one_pass_or_in_several_in_any_order() -> None:
    clips = music(4)
    parts = [
        replace(clips, waveform=clips.waveform[rows], numbers=clips.numbers[rows], tracks=clips.tracks[rows])
        for rows in ([1, 3], [0, 2])
    ]
    config = override(KMeansFitConfig(), {"targets.0.n_clusters": 20, "targets.1.n_clusters": 12})
    whole, divided = (stepped(KMeansFit(config).train(), *passes) for passes in ([clips], parts))
    assert equal(state_of(whole), state_of(divided))


def test_validation_moves_nothing() -> None:
    objective = stepped(fit_of_given_frames(), blobs(0))
    before = state_of(objective)
    objective.eval()(blobs(1))
    assert not objective.seen
    assert equal(before, state_of(objective))


def test_the_loss_is_the_squared_distance_and_has_no_gradient() -> None:
    objective = stepped(fit_of_given_frames(), blobs(0))
    clips = blobs(1)
    step = objective(clips)
    frames = clips.waveform.unflatten(1, (-1, DIM)).flatten(0, 1)
    nearest = torch.cdist(frames, objective.targets[0].centres).min(1).values.square()
    assert float(step.loss) == pytest.approx(float(nearest.sum()), rel=1e-3)
    assert float(step.count) == 400 and not step.loss.requires_grad


def test_nothing_is_explained_before_the_first_step_and_nearly_all_once_clusters_are_found() -> None:
    objective = fit_of_given_frames()
    before = objective(blobs(0))
    objective.finish_step()
    after = objective(blobs(1))
    assert float(before.sums["explained_variance"]) == 0
    assert 0.99 < float(after.sums["explained_variance"] / after.count) < 1


def test_a_centre_that_no_frame_is_near_starts_anew_at_a_frame() -> None:
    objective = stepped(fit_of_given_frames(), blobs(0))
    target = objective.targets[0]
    target.centres[2], target.counts[2] = 1e3, 0.5
    stepped(objective, blobs(1))
    assert float(torch.cdist(MEANS, target.centres[2:3]).min()) < 1


def test_the_uses_of_each_codebook_are_counted() -> None:
    config = override(KMeansFitConfig(), {"targets.0.n_clusters": 20, "targets.1.n_clusters": 12})
    objective = stepped(KMeansFit(config).train(), music(4))
    step = objective(music(4))
    uses = [step.statistics[name] for name in ("code_uses", "targets.1.code_uses")]
    assert [tuple(book.shape) for book in uses] == [(1, 20), (1, 12)]
    assert all(int(book.sum()) == step.count == 4 * 75 for book in uses)


def test_a_first_step_of_too_few_frames_is_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match=r"400 frames, too few for 401 .*Raise data\.clips_per_step"):
        stepped(fit_of_given_frames(n_clusters=401), blobs(0))


def test_targets_of_different_frame_rates_are_refused_with_the_cure() -> None:
    other = override(KMeansCodesConfig(features=ChromaFramesConfig()), {"features.chroma.hop_length": 640})
    with pytest.raises(TargetError, match=r"one frame rate.*same sample_rate and hop_length"):
        KMeansFit(KMeansFitConfig(targets=(KMeansCodesConfig(), other)))
