"""Margins: what lies near the edge of a hidden span is not asked for; weights mean the same."""

import pytest
import torch

from solfa.objectives import StepOutput
from solfa.objectives.scored import as_of_all, inner_frames


def row(drawn: str) -> torch.Tensor:
    return torch.tensor([[letter == "#" for letter in drawn]])


@pytest.mark.parametrize(
    ("mask", "margin", "inner"),
    [
        ("..#####..", 1, "...###..."),
        ("..#####..", 2, "....#...."),
        ("..####...", 2, "........."),
        ("##..#####", 1, "#....####"),  # nothing is heard beyond the ends of a clip
        ("#########", 5, "#########"),
        (".........", 1, "........."),
    ],
)
def test_inner_frames_have_hidden_ones_on_both_sides(mask: str, margin: int, inner: str) -> None:
    assert torch.equal(inner_frames(row(mask), margin), row(inner))


def test_every_clip_has_margins_of_its_own() -> None:
    mask = torch.cat([row("..#####.."), row("#########")])
    assert inner_frames(mask, 2).sum(1).tolist() == [1, 9]


def test_a_loss_that_is_the_same_everywhere_stays_the_same_with_a_margin() -> None:
    mask = row("..#####..")
    scored = inner_frames(mask, 1)
    step = StepOutput(torch.tensor(3 * 0.7), scored.sum().float(), {"accuracy_by_codebook": torch.ones(2)})
    whole = as_of_all(step, scored, mask, is_training=False)
    assert float(whole.loss / whole.count) == pytest.approx(0.7)
    assert float(whole.count) == 5 and float(whole.sums["accuracy_by_codebook"][0]) == pytest.approx(5 / 3)


def test_a_batch_without_scored_frames_costs_nothing() -> None:
    mask = row("..##.....")
    scored = inner_frames(mask, 2)
    step = as_of_all(StepOutput(torch.zeros(()), scored.sum().float()), scored, mask, is_training=False)
    assert float(step.loss) == 0 and float(step.count) == 2
