"""benchmarks/masked_nats.py: what is known of hidden codes without a model, and what a run is asked."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from solfa.data.clips import Clips
from solfa.objectives import MaskedPrediction, MaskedPredictionConfig, PredictionConfig, build_objective
from solfa.recipes import recipe
from solfa.targets import MelFramesConfig, MelRandomProjectionConfig
from solfa.targets.residual_kmeans import ResidualKMeans, ResidualKMeansConfig
from solfa.training.averaging import WeightAverage, WeightAverageConfig

SIZE, N_FRAMES = 8, 60


def load_benchmark() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "masked_nats.py"
    spec = importlib.util.spec_from_file_location("masked_nats", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["masked_nats"] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


nats = load_benchmark()


def quantizer() -> ResidualKMeans:
    """One codebook; frame (x, y) has the code of the entry nearest to it."""
    made = ResidualKMeans(ResidualKMeansConfig(dim=2, n_codebooks=1, codebook_size=SIZE))
    made.codebooks[0] = torch.stack([torch.arange(SIZE).float(), torch.zeros(SIZE)], 1)
    made.counts.fill_(1.0)
    return made


def questions(frames: torch.Tensor, mask: torch.Tensor) -> object:
    """What is asked about frames that are hidden in clips of one track each."""
    codes = quantizer().encode(frames)
    target = torch.nn.Module()
    target.config = type("Config", (), {"frames": None})()  # type: ignore[assignment]
    return nats._asked(codes, frames, mask, mask, torch.arange(len(frames)), target)


def masks(n_clips: int) -> torch.Tensor:
    """Of every twelve frames the middle eight are hidden."""
    return ((torch.arange(N_FRAMES) % 12 >= 2) & (torch.arange(N_FRAMES) % 12 < 10)).expand(n_clips, -1)


def clips_of_codes(codes: torch.Tensor) -> torch.Tensor:
    """Frames that have these codes (clip frame)."""
    return torch.stack([codes.float(), torch.zeros(codes.shape)], -1)


def costs(codes: torch.Tensor) -> dict[str, float]:
    """Mean nats of each baseline: fitted to the first half of the clips, asked about the other."""
    frames, n = clips_of_codes(codes), len(codes) // 2
    few, many = (questions(part, masks(len(part))) for part in (frames[:n], frames[n:]))
    counted = nats.Counted.of(codes[:n], SIZE)
    own = nats.Baselines(counted, quantizer(), few, 0)
    answers = own.answers(many)
    return {name: float(nats.cost(said, many.codes[:, 0]).mean()) for name, said in answers.items()}


def test_a_straight_line_is_found_again_and_ends_go_on() -> None:
    ramp = torch.arange(12.0).expand(1, -1)[..., None]
    mask = torch.zeros(1, 12, dtype=torch.bool)
    mask[0, [0, 4, 5, 6, 11]] = True
    expected = torch.arange(12.0)
    expected[0], expected[11] = 1.0, 10.0
    assert torch.equal(nats.interpolated(ramp, mask, 1)[0, :, 0], expected)
    stacked = torch.arange(24.0).view(1, 12, 2)  # two shorter frames side by side, one line through all
    assert torch.allclose(nats.interpolated(stacked, mask, 2)[0, 4:7], stacked[0, 4:7])


def test_codes_without_memory_are_known_by_their_frequencies_alone() -> None:
    shares = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(shares.expand(400, -1), N_FRAMES, replacement=True, generator=generator)
    entropy = float(-(shares * shares.log()).sum())
    for name, value in costs(drawn).items():
        assert value == pytest.approx(entropy, abs=0.03), name


def test_codes_that_stay_are_known_from_the_nearest_and_better_from_both_sides() -> None:
    generator = torch.Generator().manual_seed(0)
    moves = torch.rand(400, N_FRAMES, generator=generator) < 0.15
    fresh = torch.randint(SIZE, (400, N_FRAMES), generator=generator)
    last = torch.where(moves, torch.arange(N_FRAMES), 0).cummax(1).values
    found = costs(fresh.gather(1, last))
    assert found["nearest"] < 0.75 * found["frequencies"]
    assert found["both sides"] < 0.95 * found["nearest"]


def test_lines_are_known_by_interpolation() -> None:
    slopes = torch.rand(400, 1, generator=torch.Generator().manual_seed(0)) / 10
    frames = torch.stack([slopes * torch.arange(N_FRAMES), torch.zeros(400, N_FRAMES)], -1)
    codes = quantizer().encode(frames)[:, 0]
    few = questions(frames, masks(400))
    own = nats.Baselines(nats.Counted.of(codes, SIZE), quantizer(), few, 0)
    inner = few.distance < 5  # both ends of a clip are visible or hold their nearest frame
    assert (own.quantised(few) == few.codes[:, 0])[inner].float().mean() > 0.99
    answers = {
        name: float(nats.cost(said, few.codes[:, 0]).mean()) for name, said in own.answers(few).items()
    }
    assert answers["interpolated"] < min(answers["nearest"], answers["both sides"]) / 2


def test_baselines_are_probabilities() -> None:
    codes = torch.randint(SIZE, (20, N_FRAMES), generator=torch.Generator().manual_seed(0))
    asked = questions(clips_of_codes(codes), masks(20))
    answers = nats.Baselines(nats.Counted.of(codes, SIZE), quantizer(), asked, 0).answers(asked)
    assert set(answers) == {"frequencies", "nearest", "both sides", "interpolated"}
    for said in answers.values():
        assert torch.allclose(said.exp().sum(1), torch.ones(len(said)), atol=1e-5)


def test_a_run_is_asked_what_its_validation_asks() -> None:
    torch.manual_seed(0)
    codes = PredictionConfig(target=MelRandomProjectionConfig(), margin_seconds=0.08)
    values = PredictionConfig(target=MelFramesConfig())
    config = MaskedPredictionConfig(encoder=recipe("muq_tiny").objective.encoder, predictions=(values, codes))
    objective = build_objective(config).eval()
    assert isinstance(objective, MaskedPrediction)
    waveform = 0.1 * torch.randn(3, 48_000, generator=torch.Generator().manual_seed(1))
    clips = Clips(waveform, 24_000, torch.arange(3), torch.zeros(3, dtype=torch.long))
    with torch.no_grad():
        nothing, asked = nats.asked(objective, clips)
        (said,) = nats.said_by_run(objective, clips)
        step = objective(clips)
    assert nothing is None and asked.interpolated is None
    cost = nats.cost(said[:, 0], asked.codes[:, 0])
    expected = step.sums["loss_by_codebook"] / step.count
    assert float(cost.mean()) == pytest.approx(float(expected), rel=1e-5)


def test_joint_codes_of_teachers_are_interpolated_as_frames_that_hold_no_others() -> None:
    frames, mask = clips_of_codes(torch.arange(N_FRAMES).expand(2, -1) % SIZE), masks(2)
    target = torch.nn.Module()
    target.config = object()  # type: ignore[assignment]  # of teacher_codes: no spectrum stands in it
    asked = nats._asked(quantizer().encode(frames), frames, mask, mask, torch.arange(2), target)
    assert torch.equal(asked.interpolated, nats.interpolated(frames, mask, 1)[mask])


def test_a_run_is_measured_by_the_mean_of_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    learned, said = torch.nn.Linear(1, 1, bias=False), list[float]()
    average = WeightAverage(WeightAverageConfig(), learned)
    for value in (1.0, 3.0):
        learned.weight.data.fill_(value)
        average.follow()
    learned.targets = []  # type: ignore[assignment]
    monkeypatch.setattr(nats, "in_batches", lambda *_: iter(["clips"]))
    monkeypatch.setattr(nats, "_codes", lambda *_: [])
    monkeypatch.setattr(nats, "_questions", lambda *_: [])
    monkeypatch.setattr(nats, "said_by_run", lambda *_: said.append(learned.weight.item()) or [])
    nats.measured(SimpleNamespace(objective=learned, average=average, clips=0, valid_clips=0), 1, 1, 1)
    assert said == [pytest.approx(2.0, abs=0.01)] and learned.weight.item() == 3.0
