"""Monitor: figures of statistics, joined over batches, and warnings of collapse."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from solfa.config import override
from solfa.models.encoder import HiddenStates
from solfa.objectives import PredictionConfig, StepOutput
from solfa.objectives.moments import MOST_DIMENSIONS, hidden_moments, moments_of_layers
from solfa.targets import CQTFramesConfig
from solfa.training import RunConfig
from solfa.training.monitor import (
    CollapseAlarms,
    Totals,
    hidden_figures,
    nats_below_frequencies,
    value_figures,
)
from training.conftest import CODES
from training.test_trainer import log_of, train

CPU = torch.device("cpu")

LEARNED = {"accuracy": 0.1, "unigram_accuracy": 0.02}
GUESSING = {"accuracy": 0.02, "unigram_accuracy": 0.02}


def states(n: int = 500, dim: int = 8, mean: float = 3.0, std: float = 2.0) -> torch.Tensor:
    return mean + std * torch.randn(n, dim, generator=torch.Generator().manual_seed(0))


def step_of(statistics: dict[str, torch.Tensor], count: int) -> StepOutput:
    return StepOutput(torch.zeros(()), torch.tensor(float(count)), {}, None, statistics)


def test_the_deviation_of_hidden_states_is_that_over_all_frames() -> None:
    figures = hidden_figures(hidden_moments(states()).double())
    expected = states().std(0, correction=0).mean()
    assert figures["hidden_std"] == pytest.approx(float(expected), rel=1e-4)
    assert figures["hidden_varying_share"] == pytest.approx(4 / (9 + 4), rel=0.1)


def test_hidden_states_on_a_line_have_rank_one_and_independent_ones_full_rank() -> None:
    line = torch.linspace(-1, 1, 200)[:, None] * torch.randn(1, 8) + 5
    ranks = [hidden_figures(hidden_moments(x).double())["hidden_rank"] for x in (line, states())]
    assert ranks == [pytest.approx(1, abs=0.01), pytest.approx(8, rel=0.05)]


def test_constant_hidden_states_are_figures_too() -> None:
    figures = hidden_figures(hidden_moments(torch.full((50, 4), 2.0)).double())
    assert figures["hidden_varying_share"] == pytest.approx(0, abs=1e-6)
    assert figures["hidden_rank"] <= 1


def test_wide_states_are_watched_in_some_of_their_dimensions() -> None:
    for dim in (3, 64, 65, 768, 1024):
        assert len(hidden_moments(torch.zeros(2, dim))) - 1 <= min(dim, MOST_DIMENSIONS)
        assert len(hidden_moments(torch.zeros(2, dim))) - 1 >= min(dim, MOST_DIMENSIONS // 2)


def test_statistics_of_parts_give_the_figures_of_the_whole() -> None:
    whole, parts = Totals(CPU), Totals(CPU)
    whole.add(step_of({"hidden_moments": hidden_moments(states())}, 500))
    for part in (states()[:30], states()[30:]):
        parts.add(step_of({"hidden_moments": hidden_moments(part)}, len(part)))
    one, other = whole.figures(), parts.figures()
    assert one.keys() == other.keys()
    assert all(one[name] == pytest.approx(other[name], rel=1e-5) for name in one)


def test_the_baseline_of_values_is_the_variance_of_each_around_its_mean() -> None:
    values = states(mean=1.0) * torch.arange(8)
    moments = torch.stack([values.sum(0), values.square().sum(0)]).double()
    expected = values.var(0, correction=0).mean()
    assert value_figures(moments, torch.tensor(500.0))["squared_error_of_mean"] == pytest.approx(
        float(expected), rel=1e-4
    )


def test_no_batch_gives_no_figures() -> None:
    assert Totals(CPU).figures() == {}


def test_every_prediction_has_figures_of_its_own(small_run: RunConfig, tmp_path: Path) -> None:
    other = override(CODES, {"quantizer.codebook_size": 16})
    cqt = override(CQTFramesConfig(), {"constant_q.hop_length": 960, "constant_q.n_bins": 84})
    predictions = tuple(PredictionConfig(target=target) for target in (CODES, other, cqt))
    objective = replace(small_run.objective, predictions=predictions)
    train(override(small_run, {"objective": objective, "n_steps": 1}), tmp_path)
    line = log_of(tmp_path)[0]
    assert line["unigram_loss"] <= math.log(32) and line["predictions.1.unigram_loss"] <= math.log(16)
    for name in ("accuracy", "unigram_accuracy", "perplexity_by_codebook"):
        assert line[f"predictions.1.{name}"] != line[name], name
        assert f"valid_predictions.1.{name}" in line
    assert "predictions.1.predicted_perplexity_by_codebook" in line
    assert {"squared_error", "squared_error_of_mean", "hidden_std", "hidden_rank"} <= line.keys()


def look(lines: list[dict[str, float]]) -> None:
    worries = CollapseAlarms()
    for step, line in enumerate(lines):
        worries.look({"step": step, **line})


def test_states_that_are_the_same_everywhere_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    look([{"hidden_varying_share": 0.009}])  # as in a healthy training that answers with frequencies
    assert not caplog.records
    look([{"hidden_varying_share": 0.0009}] * 2)
    assert len(caplog.records) == 1
    assert "same vector everywhere" in caplog.text and "lower optim.lr" in caplog.text


@pytest.mark.parametrize(("name", "high", "low"), [
    ("hidden_varying_share", 0.4, 0.02), ("predicted_perplexity_by_codebook", [200.0, 100.0], [20.0, 10.0]),
])  # fmt: skip
def test_a_fall_from_what_was_learned_is_warned_of_once(
    name: str, high: float, low: float, caplog: pytest.LogCaptureFixture
) -> None:
    look([{name: high, **GUESSING}, {name: low, **GUESSING}])  # the start of every training
    assert not caplog.records
    look([{name: high, **LEARNED}, {name: low, **GUESSING}, {name: low, **GUESSING}])
    assert len(caplog.records) == 1
    assert "a collapse" in caplog.text and "earlier checkpoint" in caplog.text


def test_layers_say_in_how_many_directions_frames_and_clips_vary() -> None:
    """Clips that all lie on one line, and frames that turn everywhere around them."""
    torch.manual_seed(0)
    clip = torch.randn(60, 1, 1) * torch.randn(64)
    frames = torch.randn(60, 50, 64)
    turning = clip + 3 * (frames - frames.mean(1, keepdim=True))
    nothing = torch.zeros(60, 50, 64)
    hidden = HiddenStates.of((nothing, turning, frames), None)
    totals = Totals(torch.device("cpu"))
    totals.add(step_of(moments_of_layers(hidden, (1, 2)), 1))
    figures = totals.figures()
    assert figures["layers.1.pooled_rank"] < 1.5 and figures["layers.1.frame_rank"] > 30
    assert figures["layers.2.pooled_rank"] > 15


def test_codes_that_cost_less_than_their_frequencies_were_learned() -> None:
    uses = torch.tensor([[8, 8, 8, 8], [32, 0, 0, 0]])
    losses = 32 * torch.tensor([math.log(4) - 0.5, 0.25])
    totals = Totals(torch.device("cpu"))
    totals.add(StepOutput(torch.zeros(()), torch.tensor(32.0), {"loss_by_codebook": losses}, uses))
    figures = totals.figures()
    assert figures["nats_below_frequencies_by_codebook"] == pytest.approx([0.5, -0.25], abs=1e-4)
    assert figures["nats_below_frequencies"] == pytest.approx(0.125, abs=1e-4)


def test_nats_of_a_second_prediction_are_its_own() -> None:
    figures = nats_below_frequencies(
        {
            "predictions.1.loss_by_codebook": [1.0],
            "predictions.1.perplexity_by_codebook": [math.e**2],
            "loss_by_codebook": [3.0],
        }
    )
    assert figures == {
        "predictions.1.nats_below_frequencies_by_codebook": pytest.approx([1.0]),
        "predictions.1.nats_below_frequencies": pytest.approx(1.0),
    }
