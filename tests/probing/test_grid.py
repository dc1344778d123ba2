"""The grid: heads side by side are heads alone, and validation alone chooses."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from probing_data import CONFIG, classes_task, write_features
from solfa.config import override
from solfa.probing.grid import (
    Course,
    ProbeConfig,
    Shape,
    _Running,
    _train_epoch,
    all_logits,
    best_rates,
    chosen,
    fit_grid,
    list_heads,
    restore,
    stack,
)
from solfa.probing.heads import CONCATENATED, WEIGHTED, Head, Heads, StackedAdam
from solfa.probing.probe import layer_scores
from solfa.probing.splits import Examples
from solfa.tasks.kinds import Classes, Numbers, Tags

N_LAYERS, DIM = 3, 5
KIND = Classes(("a", "b"))
SHAPE = Shape(tuple(range(N_LAYERS)), DIM, DIM, 2, KIND, "accuracy")


@pytest.fixture
def splits(tmp_path: Path) -> tuple[Examples, Examples]:
    """A task whose label stands, with noise, in layer 1."""
    task = classes_task(KIND.names)
    features = write_features(tmp_path, task, n_per_split=24, n_layers=N_LAYERS, dim=DIM, label_layer=1)
    return tuple(Examples(task, features, split, None, 1) for split in ("train", "valid"))  # type: ignore[return-value]


@pytest.mark.parametrize("layer", [1, WEIGHTED, CONCATENATED])
def test_a_head_in_the_grid_equals_the_same_head_alone(
    splits: tuple[Examples, Examples], layer: int | str
) -> None:
    config = ProbeConfig(**CONFIG, lrs=(1e-3, 1e-2), seeds=(0, 1), n_epochs=6, stop_patience=2)
    heads = list_heads(SHAPE.layers, config)
    together = {fit.head: fit for fit in fit_grid(heads, *splits, SHAPE, config)}
    weights = {}
    for lr in config.lrs:
        head = Head(layer, lr, 1)
        [alone] = fit_grid([head], *splits, SHAPE, config)
        assert (alone.score, alone.epoch) == (together[head].score, together[head].epoch)
        weights[lr] = alone.weights
    assert any(not torch.equal(weights[1e-3][n], weights[1e-2][n]) for n in weights[1e-3])
    best = [fit for fit in together.values() if fit.weights is not None and fit.head.layer == layer]
    for fit in best:
        [alone] = fit_grid([fit.head], *splits, SHAPE, config)
        for name, value in fit.weights.items():
            torch.testing.assert_close(value, alone.weights[name], atol=1e-5, rtol=1e-5)


def test_memory_changes_nothing(splits: tuple[Examples, Examples]) -> None:
    config = ProbeConfig(**CONFIG, lrs=(1e-3, 1e-2), seeds=(0, 1), n_epochs=4)
    little = ProbeConfig(**CONFIG, lrs=(1e-3, 1e-2), seeds=(0, 1), n_epochs=4, numbers_at_once=1)
    heads = list_heads(SHAPE.layers, config)
    at_once = fit_grid(heads, *splits, SHAPE, config)
    in_parts = fit_grid(heads, *splits, SHAPE, little)
    assert [(f.head, f.score, f.epoch) for f in at_once] == [(f.head, f.score, f.epoch) for f in in_parts]


def test_stacked_adam_equals_an_adam_for_each_head() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, 2, generator=generator)
    gradients = torch.randn(7, 3, 4, 2, generator=generator)
    rates = torch.tensor([1e-4, 1e-3, 1e-1])
    weights = {"w": start.clone().requires_grad_()}
    stacked = StackedAdam(weights)
    for gradient in gradients:
        weights["w"].grad = gradient.clone()
        stacked.step(weights, rates.tolist())
    for n, rate in enumerate(rates):
        single = torch.nn.Parameter(start[n].clone())
        adam = torch.optim.Adam([single], lr=float(rate))
        for gradient in gradients:
            single.grad = gradient[n].clone()
            adam.step()
        torch.testing.assert_close(weights["w"].detach()[n], single.detach(), atol=1e-6, rtol=1e-5)


def test_heads_that_go_on_alone_move_as_if_the_others_were_there() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, 2, generator=generator)
    gradients = torch.randn(6, 3, 4, 2, generator=generator)
    rates = [1e-4, 1e-3, 1e-1]
    all_of_them = {"w": start.clone().requires_grad_()}
    some = {"w": start.clone().requires_grad_()}
    reference, stacked = StackedAdam(all_of_them), StackedAdam(some)
    kept = torch.tensor([0, 2])
    for n, gradient in enumerate(gradients):
        all_of_them["w"].grad = gradient.clone()
        reference.step(all_of_them, rates)
        if n == 3:
            some = {"w": some["w"].detach()[kept].requires_grad_()}
            stacked.keep(kept, some)
        some["w"].grad = gradient.clone() if n < 3 else gradient[kept].clone()
        stacked.step(some, rates if n < 3 else [rates[0], rates[2]])
    assert torch.equal(some["w"], all_of_them["w"][kept])


def test_a_stacked_head_is_the_network_of_the_protocol() -> None:
    both = [Head(2, lr, 5) for lr in (1e-3, 1e-2)]
    heads = Heads(both, range(N_LAYERS), SHAPE.sizes(8), dropout=0.2)
    features = torch.randn(N_LAYERS, 6, DIM)
    weights = {name: value[1] for name, value in heads.weights.items()}
    hidden = F.relu(F.linear(features[2], weights["hidden"].T, weights["hidden_bias"]))
    expected = F.linear(hidden, weights["out"].T, weights["out_bias"])
    torch.testing.assert_close(heads.logits(features)[1], expected)


def test_validation_chooses_the_layer_that_holds_the_label(splits: tuple[Examples, Examples]) -> None:
    mixes = {"has_weighted_sum": False, "has_concatenation": False}
    config = ProbeConfig(**CONFIG, lrs=(1e-3, 1e-2), seeds=(0, 1), **mixes)
    fits = fit_grid(list_heads(SHAPE.layers, config), *splits, SHAPE, config)
    assert chosen(fits)[0] == 1
    scores = {entry.layer: entry.mean for entry in layer_scores(fits)}
    assert scores[1] > max(scores[0], scores[2])


def test_the_best_epoch_on_validation_is_kept(
    splits: tuple[Examples, Examples], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid = splits
    told = iter([0.1, 0.9, 0.2, 0.3, 0.4])
    monkeypatch.setattr("solfa.probing.grid.score_for_choice", lambda name, answers: next(told))
    config = ProbeConfig(**CONFIG, lrs=(1e-2,), seeds=(0,), n_epochs=5)
    [fit] = fit_grid([Head(1, 1e-2, 0)], train, valid, SHAPE, config)
    told = iter([0.1, 0.9])
    shorter = ProbeConfig(**CONFIG, lrs=(1e-2,), seeds=(0,), n_epochs=2)
    [until_then] = fit_grid([Head(1, 1e-2, 0)], train, valid, SHAPE, shorter)
    assert (fit.epoch, fit.score) == (2, 0.9)
    kept, expected = (all_logits(restore([f], SHAPE, config), valid) for f in (fit, until_then))
    np.testing.assert_array_equal(kept, expected)


def test_a_head_stops_after_its_patience_and_learns_slower_before(
    splits: tuple[Examples, Examples], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = StackedAdam.step

    def spy(self: StackedAdam, weights: dict, now: Sequence[float]) -> None:
        rates.append(now[0])
        step(self, weights, now)

    monkeypatch.setattr(StackedAdam, "step", spy)
    monkeypatch.setattr("solfa.probing.grid.score_for_choice", lambda name, answers: 0.5)
    config = ProbeConfig(**CONFIG, lrs=(1e-2,), seeds=(0,), n_epochs=50, lr_patience=1, stop_patience=4)
    fit_grid([Head(1, 1e-2, 0)], *splits, SHAPE, config)
    assert rates[::3] == pytest.approx([1e-2, 1e-2, 1e-2, 5e-3, 5e-3])  # three batches an epoch


@pytest.mark.parametrize(
    ("kind", "targets", "expected"),
    [
        (KIND, torch.tensor([[0, -1]]), F.cross_entropy(torch.tensor([[1.0, 2.0]]), torch.tensor([0]))),
        (Numbers(("x", "y")), torch.tensor([[[0.0, 0.0], [torch.nan] * 2]]), torch.tensor(2.5)),
        (
            Tags(("x", "y")),
            torch.tensor([[[1.0, 0.0], [torch.nan] * 2]]),
            F.binary_cross_entropy_with_logits(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0])),
        ),
    ],
)
def test_rows_without_a_target_do_not_count(
    kind: Classes, targets: torch.Tensor, expected: torch.Tensor
) -> None:
    logits = torch.tensor([[[1.0, 2.0], [7.0, -7.0]]])
    torch.testing.assert_close(kind.losses(logits, targets)[0], expected)


def test_a_head_that_diverges_does_not_spoil_its_neighbours(splits: tuple[Examples, Examples]) -> None:
    config = ProbeConfig(**CONFIG, lrs=(1e-2, 1e38), seeds=(0,), n_epochs=4)
    wild = fit_grid([Head(1, 1e-2, 0), Head(1, 1e38, 0)], *splits, SHAPE, config)
    [alone] = fit_grid([Head(1, 1e-2, 0)], *splits, SHAPE, config)
    assert wild[0].score == alone.score


def test_halving_goes_on_with_the_better_rates_of_each_layer(
    splits: tuple[Examples, Examples], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    see = Course.see

    def spy(self: Course, score: float, epoch: int, config: ProbeConfig) -> bool:
        seen.append(epoch)
        return see(self, self.head.lr + epoch / 100, epoch, config)

    monkeypatch.setattr(Course, "see", spy)
    config = ProbeConfig(**CONFIG, lrs=(0.1, 0.2, 0.3), seeds=(0, 1), n_epochs=4, halvings=(1, 3))
    fits = fit_grid(list_heads((0, 1), config), *splits, SHAPE, config)
    assert [seen.count(epoch) for epoch in range(1, 5)] == [24, 16, 16, 8]
    single = {fit.head.lr: fit.epoch for fit in fits if fit.head.layer == 1}
    assert single == {0.1: 1, 0.2: 3, 0.3: 4}


def test_the_first_seed_may_choose_the_rates_of_all(splits: tuple[Examples, Examples]) -> None:
    whole = ProbeConfig(**CONFIG, lrs=(1e-5, 1e-3, 1e-2), seeds=(3, 4, 5), n_epochs=6)
    fits = fit_grid(heads := list_heads(SHAPE.layers, whole), *splits, SHAPE, whole)
    cheap = override(whole, {"first_seed_chooses": True})
    told: list[int] = []
    chosen_first = fit_grid(heads, *splits, SHAPE, cheap, lambda n, note: told.append(n))
    rates = best_rates([fit for fit in fits if fit.head.seed == 3])
    assert len(rates) == len(SHAPE.layers) + 2
    expected = [fit for fit in fits if (fit.head.layer, fit.head.lr) in rates]
    assert [(f.head, f.epoch) for f in chosen_first] == [(f.head, f.epoch) for f in expected]
    assert [f.score for f in chosen_first] == pytest.approx([f.score for f in expected])
    assert told[-1] == len(heads)
    best = [fit.head for fit in chosen_first if fit.weights is not None]
    layer, lr = chosen(expected)
    assert best == [Head(layer, lr, seed) for seed in whole.seeds]


def test_an_epoch_of_frames_has_a_most_and_each_draws_others(
    splits: tuple[Examples, Examples], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid = splits
    taken: list[set[int]] = []
    take = Examples.take

    def spy(self: Examples, numbers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        taken.append(set(numbers.tolist()))
        return take(self, numbers)

    monkeypatch.setattr(Examples, "take", spy)
    monkeypatch.setattr(train, "is_timed", True)
    config = ProbeConfig(**CONFIG, lrs=(1e-3,), seeds=(0,), n_epochs=2, n_stretches=8)
    fit_grid([Head(1, 1e-3, 0)], train, valid, SHAPE, config)
    assert [len(numbers) for numbers in taken] == [8, 8]
    assert taken[0] != taken[1]


def test_a_grid_without_heads_is_refused() -> None:
    config = ProbeConfig(has_single_layers=False)
    only: Sequence[int] = (3,)
    with pytest.raises(ValueError, match="give several layers"):
        list_heads(only, config)


META = torch.device("meta")  # whose tensors hold nothing, and cannot be mixed with others


def test_an_epoch_of_training_happens_on_the_device_that_was_named(tmp_path: Path) -> None:
    task = classes_task(KIND.names)
    features = write_features(tmp_path, task, n_per_split=24, n_layers=N_LAYERS, dim=DIM, label_layer=1)
    train = Examples(task, features, "train", None, 1, device=META)
    shape, config = replace(SHAPE, device=META), ProbeConfig(**CONFIG, lrs=(1e-3, 1e-2), seeds=(0,))
    running = [_Running(heads, config) for heads in stack(list_heads(SHAPE.layers, config), shape, config)]
    _train_epoch(running, train, shape, {0: torch.Generator().manual_seed(0)}, 1)
    for one in running:
        means = [state["exp_avg"] for state in one.adam.optimizer.state.values()]
        assert means and {value.device for value in (*one.heads.weights.values(), *means)} == {META}
    assert {block.device for block in train.blocks()} == {META}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_heads_on_cuda_find_what_those_on_a_processor_do(tmp_path: Path) -> None:
    task = classes_task(KIND.names)
    features = write_features(tmp_path, task, n_per_split=24, n_layers=N_LAYERS, dim=DIM, label_layer=1)
    config = ProbeConfig(**CONFIG, lrs=(1e-2,), seeds=(0,), n_epochs=4, stop_patience=2)
    found = []
    for device in (torch.device("cpu"), torch.device("cuda", 0)):
        splits = [Examples(task, features, split, None, 1, device=device) for split in ("train", "valid")]
        shape = replace(SHAPE, device=device)
        fits = fit_grid(list_heads(SHAPE.layers, config), *splits, shape, config)
        found.append(all_logits(restore([fits[0]], shape, config), splits[1]))
        assert all(w.device == device for fit in fits if fit.weights for w in fit.weights.values())
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
