"""Gradients of what is kept out of half precision are those of float32; no pass waits for its figures."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from solfa.config import override
from solfa.data.clips import Clips, RandomClips
from solfa.objectives import Objective, StepOutput, TrackAgreementConfig
from solfa.objectives.agreement import TrackAgreement
from solfa.objectives.heads import CosineCodeHead, CosineCodeHeadConfig
from solfa.targets import Codes
from solfa.training import Placement, RunConfig, Trainer, parallel, trainer
from solfa.training.monitor import Totals

CPU = torch.device("cpu")
DIM = 32


class Protected(Objective):
    """Losses that keep out of half precision, of states that come as they are."""

    sample_rate = 24_000

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.agreement = TrackAgreement(TrackAgreementConfig(), DIM)
        self.head = CosineCodeHead(CosineCodeHeadConfig(dim=DIM), DIM, 1, 16)
        nn.init.eye_(self.head.linear.weight)  # in half precision, by intent: it rounds nothing here
        nn.init.zeros_(self.head.linear.bias)

    @property
    def model(self) -> nn.Module:
        return self.agreement

    def forward(self, clips: Clips) -> StepOutput:
        states = clips.waveform[:, : 40 * DIM].unflatten(1, (40, DIM)).bfloat16().float()
        tracks = torch.tensor([0, 0, 1, 1])
        codes = Codes(torch.arange(160).view(4, 1, 40) % 16, 16)
        mask = torch.ones(4, 40, dtype=torch.bool)
        step = self.head.loss(states.flatten(0, 1), codes, mask)
        return StepOutput(step.loss + self.agreement(states, tracks).sum(), step.count)


def gradients_of_a_step(config: RunConfig, run: Path) -> dict[str, Tensor]:
    one = Trainer(config, Placement(run=run, device=CPU, clips_per_device=4, n_workers=0))
    found: dict[str, Tensor] = {}

    def keep(*_: Any) -> None:
        found.update({n: p.grad.clone() for n, p in one.objective.named_parameters() if p.grad is not None})

    one.optimizers[0].register_step_pre_hook(keep)
    one.train()
    return found


@pytest.fixture
def one_step(small_run: RunConfig) -> RunConfig:
    changes = {"n_steps": 1, "data.valid_manifest": "", "max_gradient_norm": None, "precision": "bfloat16"}
    return override(small_run, changes)


def test_what_is_protected_forward_is_protected_backward(
    one_step: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "build_objective", lambda config: Protected())
    plain = gradients_of_a_step(one_step, tmp_path / "float32")
    monkeypatch.setattr(parallel, "half_precision", lambda precision, device: torch.bfloat16)
    half = gradients_of_a_step(one_step, tmp_path / "bfloat16")
    assert plain.keys() == half.keys() and len(plain) == 5
    for name, gradient in plain.items():
        if "head.linear" in name:  # a product in half precision: so is its gradient
            close = 0.01 * float(gradient.abs().max())
            torch.testing.assert_close(half[name], gradient, rtol=0.05, atol=close)
        else:
            assert torch.equal(half[name], gradient), name


def test_no_pass_waits_for_its_figures() -> None:
    """On a device without values, asking for one is an error."""
    meta = torch.device("meta")
    totals = Totals(meta)
    for _ in range(2):
        two, uses = torch.zeros(2, device=meta), torch.zeros(1, 4, dtype=torch.long, device=meta)
        totals.add(StepOutput(two[0], two[1], {"figure": two}, uses, {"hidden_moments": two}))
    assert {value.device for value in totals.sums.values()} == {meta}
    assert {value.dtype for value in totals.sums.values()} == {torch.float64}


def test_waveforms_of_a_pass_are_forgotten_before_the_next(
    one_step: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[Tensor]] = []
    most = 0
    plain = RandomClips.join

    def join(self: RandomClips, clips: list[Any]) -> Clips:
        nonlocal most
        gc.collect()
        most = max(most, sum(one() is not None for one in alive))
        joined = plain(self, clips)
        alive.append(weakref.ref(joined.waveform))
        return joined

    monkeypatch.setattr(RandomClips, "join", join)
    one = Trainer(one_step, Placement(run=tmp_path / "run", device=CPU, clips_per_device=1, n_workers=0))
    one.train()
    assert len(alive) >= 5 and most <= 1


def test_clips_for_a_cuda_device_are_pinned(
    one_step: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    plain = trainer.batches

    def batches(*given: Any, is_pinned: bool) -> Any:
        asked.append(is_pinned)
        return plain(*given)

    monkeypatch.setattr(trainer, "batches", batches)
    one = Trainer(one_step, Placement(run=tmp_path, device=CPU, clips_per_device=4, n_workers=0))
    for device in (CPU, torch.device("cuda", 0)):
        one.place = Placement(run=tmp_path, device=device, clips_per_device=4, n_workers=0)
        one._batches(one.clips, iter([]), 0)
    assert asked == [False, True]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_step_on_cuda_goes_backward_outside_of_half_precision(
    one_step: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "build_objective", lambda config: Protected())
    seen: list[bool] = []
    place = Placement(run=tmp_path / "run", device=torch.device("cuda", 0), clips_per_device=4, n_workers=0)
    one = Trainer(one_step, place)
    one.objective.head.embeddings.register_hook(lambda _: seen.append(torch.is_autocast_enabled("cuda")))
    one.train()
    assert seen == [False]
