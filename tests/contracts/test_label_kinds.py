"""What every kind of label does, whatever it is."""

from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch

from solfa.errors import ArgumentError
from solfa.models import LabelsConfig
from solfa.probing.scoring import METRICS
from solfa.tasks import TASKS
from solfa.tasks.kinds import (
    Classes,
    FrameClasses,
    FrameEvents,
    LabelKind,
    Numbers,
    Span,
    Stems,
    Tags,
)

NAMES = ("one", "two", "three")
TIMES = np.arange(20) * 0.1 + 0.05
LABELS: dict[type[LabelKind[Any]], list[Any]] = {
    Classes: [0, 2],
    Tags: [(), (0, 2)],
    Numbers: [(1.0, -2.0, 7.0), (0.1, 2.0, 7.0)],
    FrameClasses: [(Span(0.0, 0.5, 1), Span(1.0, 1.7, 2)), ()],
    FrameEvents: [((0.25, 1.25), (), (0.05,)), ((), (), ())],
    Stems: [(Path("a"), Path("b"), Path("c"))],
}
KINDS = [pytest.param(kind(NAMES), labels, id=kind.__name__) for kind, labels in LABELS.items()]
FITTED_BY_ROWS = [one for one in KINDS if one.values[0].head == "rows"]  # type: ignore[attr-defined, union-attr]


def test_every_kind_is_held_to_this_contract() -> None:
    assert set(LABELS) == set(LabelKind.__subclasses__())
    assert {type(task.kind) for task in TASKS.values()} <= set(LABELS)


@pytest.mark.parametrize(("kind", "labels"), FITTED_BY_ROWS)
def test_a_head_that_answers_the_targets_is_better_than_one_that_does_not(
    kind: LabelKind[Any], labels: list[Any]
) -> None:
    scale = kind.scale(labels)
    targets = torch.from_numpy(np.stack([kind.targets(label, TIMES, scale) for label in labels]))
    assert targets.shape[:2] == (len(labels), len(TIMES))
    torch.manual_seed(0)
    logits = torch.randn(len(labels), len(TIMES), len(NAMES), requires_grad=True)
    losses = kind.losses(logits, targets)
    assert losses.shape == (len(labels),) and bool(torch.isfinite(losses).all())
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    losses, better = losses.detach(), kind.losses(logits.detach() - gradient, targets)
    assert bool((better <= losses).all()) and float(better.sum()) < float(losses.sum())


@pytest.mark.parametrize(("kind", "labels"), FITTED_BY_ROWS)
def test_heads_side_by_side_have_the_losses_of_heads_alone(kind: LabelKind[Any], labels: list[Any]) -> None:
    target = torch.from_numpy(kind.targets(labels[0], TIMES, kind.scale(labels)))
    logits = torch.randn(4, len(TIMES), len(NAMES), generator=torch.Generator().manual_seed(1))
    together = kind.losses(logits, torch.stack([target] * 4))
    alone = torch.cat([kind.losses(one[None], target[None]) for one in logits])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(("kind", "labels"), FITTED_BY_ROWS)
def test_a_stretch_of_a_label_has_the_targets_of_that_stretch(
    kind: LabelKind[Any], labels: list[Any]
) -> None:
    if not kind.is_timed:
        assert all(kind.within(label, 0.5, 1.0) == label for label in labels)
        return
    for label in labels:
        part = kind.within(label, 0.0, 1.0)
        inside = TIMES < 0.9  # events of the rest reach two frames into the stretch
        np.testing.assert_array_equal(kind.targets(part, TIMES[inside]), kind.targets(label, TIMES)[inside])


@pytest.mark.parametrize(("kind", "labels"), KINDS)
def test_what_can_be_taught_can_be_written_and_read_again(kind: LabelKind[Any], labels: list[Any]) -> None:
    if not kind.taught_as:
        with pytest.raises(ArgumentError, match="Leave the task out"):
            kind.words(labels[0])
        return
    assert kind.taught_as in get_args(get_type_hints(LabelsConfig)["kind"])
    numbers = {"means": (0.0,) * 3, "deviations": (1.0,) * 3} if kind.taught_as == "numbers" else {}
    config = LabelsConfig(kind=kind.taught_as, names=NAMES, **numbers)
    expected = np.stack([config.encode([";".join(kind.words(label))])[0].numpy() for label in labels])
    as_targets = [kind.targets(label, TIMES[:1]) if not numbers else np.array([label]) for label in labels]
    if kind.taught_as == "classes":
        as_targets = [np.eye(len(NAMES))[target] for target in as_targets]
    np.testing.assert_allclose(expected, np.concatenate(as_targets), rtol=1e-6)


@pytest.mark.parametrize(("kind", "labels"), KINDS)
def test_the_metric_of_one_name_is_one_that_there_is(kind: LabelKind[Any], labels: list[Any]) -> None:
    assert not kind.metric_of_one or kind.metric_of_one in METRICS
    assert set(kind.unscored(labels)) <= set(NAMES)


def test_parts_of_a_mixture_are_no_rows() -> None:
    with pytest.raises(ArgumentError, match="cannot be probed"):
        Stems(NAMES).targets((Path("a"),), TIMES)
