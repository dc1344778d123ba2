"""HiddenRVQ: every dimension counts alike, and hidden states of one layer are not taken for another's."""

from dataclasses import replace

import pytest
import torch

from solfa.data.clips import Clips
from solfa.data.stored_frames import ClipStates
from solfa.frames import FrameGrid
from solfa.objectives import QuantizerFit, QuantizerFitConfig
from solfa.targets import HiddenRVQ, HiddenRVQConfig, ResidualVectorQuantizerConfig, TargetError

GRID = FrameGrid(24_000, 960)
CONFIG = HiddenRVQConfig(
    quantizer=ResidualVectorQuantizerConfig(dim=6, n_codebooks=3, codebook_size=32, codebook_dim=4)
)


def clips(source: str = "encoder x layer 5", dim: int = 6) -> Clips:
    """Dimensions of very different loudness, the last of which never changes."""
    values = torch.randn(8, 50, dim, generator=torch.Generator().manual_seed(0))
    values = values * torch.tensor([1e3, 10, 1, 0.1, 1e-3, 0])[:dim] + torch.arange(dim)
    none = torch.zeros(8, dtype=torch.long)
    return Clips(torch.zeros(8, 0), 24_000, none, none, hidden=ClipStates(values, GRID, source))


def measured() -> HiddenRVQ:
    torch.manual_seed(0)
    target = HiddenRVQ(CONFIG).eval()
    target.fit_statistics(clips())
    return target


def test_every_dimension_counts_alike() -> None:
    frames = measured().frames_to_quantize(clips()).flatten(0, 1)
    torch.testing.assert_close(frames.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(frames.std(0), torch.tensor([1.0, 1, 1, 1, 1, 0]), atol=1e-3, rtol=0)


def test_what_was_measured_is_kept_in_the_weights() -> None:
    fresh = HiddenRVQ(CONFIG)
    fresh.load_state_dict(measured().state_dict())
    assert torch.equal(fresh(clips()).values, measured()(clips()).values)
    assert len(fresh(clips()).values.unique()) > 5


@pytest.mark.parametrize("source", ["encoder x layer 4", "encoder y layer 5"])
def test_hidden_states_of_another_layer_or_encoder_are_refused(source: str) -> None:
    with pytest.raises(TargetError, match=f"{source}.*another encoder or layer.*solfa train hidden_rvq"):
        measured()(clips(source))


def test_hidden_states_of_another_width_are_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match=r"objective\.target\.quantizer\.dim=5"):
        measured()(clips(dim=5))


def test_clips_without_hidden_states_are_refused_with_the_cure() -> None:
    with pytest.raises(TargetError, match=r"solfa embed .*--frames.*data\.frames=HIDDEN"):
        QuantizerFit(QuantizerFitConfig(target=CONFIG)).start(replace(clips(), hidden=None))


def test_a_fit_explains_more_and_more_of_the_frames() -> None:
    torch.manual_seed(0)
    objective = QuantizerFit(QuantizerFitConfig(target=CONFIG))
    objective.start(clips())
    optimizer = torch.optim.Adam(objective.parameters(), 1e-2)
    explained = []
    for _ in range(60):
        step = objective(clips())
        (step.loss / step.count).backward()
        optimizer.step()
        optimizer.zero_grad()
        explained.append(float(step.sums["explained_variance"] / step.count))
    assert explained[-1] > 0.6 > 0.2 > explained[0]
