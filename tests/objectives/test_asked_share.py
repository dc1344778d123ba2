"""A predictor that is asked about a part of what is hidden: which part, and what that leaves as it was."""

from dataclasses import replace

import pytest
import torch

from objectives.test_two_step import PREDICTOR, SOME_WHOLE, clips, objective, one_part
from solfa.data.clips import Clips
from solfa.errors import ArgumentError
from solfa.objectives import Predictor, PredictorConfig

SOME = replace(PREDICTOR, asked_share=0.3)


def asked_of(batch: Clips, mask: torch.Tensor) -> torch.Tensor:
    found = objective(predictor=SOME).train()._asked(batch, mask)
    assert found is not None
    return found


def test_each_clip_is_asked_about_its_share_and_nothing_that_is_visible() -> None:
    batch = clips(6)
    mask = objective(masking=SOME_WHOLE).masking.sample(batch, 50)
    asked = asked_of(batch, mask)
    assert not bool((asked & ~mask).any())
    assert asked.sum(1).tolist() == [8 if row.any() else 0 for row in mask]  # 0.3 of 25, rounded up
    assert {0, 8} == set(asked.sum(1).tolist())


def test_what_is_asked_follows_from_a_clip_alone() -> None:
    mask = torch.ones(4, 50, dtype=torch.bool)
    together = asked_of(clips(4), mask)
    assert not torch.equal(together[0], together[1])
    assert torch.equal(asked_of(one_part(clips(4), slice(1, 2)), mask[:1])[0], together[1])


def test_asked_about_everything_it_answers_as_ever() -> None:
    predictor, states = Predictor(PREDICTOR, 16).eval(), torch.randn(3, 40, 16)
    mask = torch.rand(3, 40, generator=torch.Generator().manual_seed(0)) < 0.6
    mask[2] = False
    with torch.no_grad():
        torch.testing.assert_close(
            predictor(states, mask, mask)[mask], predictor(states, mask)[mask], atol=1e-5, rtol=1e-4
        )


def test_it_knows_where_an_asked_frame_stands_and_is_not_told_the_others() -> None:
    """A clip of which one frame is asked is the clip without all other hidden frames."""
    predictor, states = Predictor(PREDICTOR, 16).eval(), torch.randn(1, 40, 16)
    mask = torch.ones(1, 40, dtype=torch.bool)
    mask[:, 10:20] = False
    asked = torch.zeros_like(mask)
    asked[:, [5, 33]] = True
    with torch.no_grad():
        answers = predictor(states, mask, asked)
        kept = (asked | ~mask)[0].nonzero().T
        given = torch.where(mask[..., None], predictor.vector, predictor.narrow(states))[:, kept[0]]
        alone = predictor.transformer(given, None, places=kept).last
    torch.testing.assert_close(answers[0, kept[0]], alone[0], atol=1e-5, rtol=1e-4)
    assert not answers[mask & ~asked].any()
    assert not torch.allclose(answers[0, 5], answers[0, 33], atol=1e-3)


@torch.no_grad()
def test_a_step_counts_as_if_all_were_asked_and_validation_asks_all() -> None:
    some, everything = objective(predictor=SOME), objective()
    assert float(some.train()(clips()).count) == float(everything.train()(clips()).count) == 100
    assert float(some.eval()(clips()).loss) == float(everything.eval()(clips()).loss)
    drawn = [float(some.train()(replace(clips(), numbers=torch.arange(4) + 4 * n)).loss) for n in range(40)]
    whole = [
        float(everything.train()(replace(clips(), numbers=torch.arange(4) + 4 * n)).loss) for n in range(40)
    ]
    assert sum(drawn) == pytest.approx(sum(whole), rel=0.05)  # 30 of 100 frames, 40 times


def test_all_parts_learn() -> None:
    model = objective(predictor=SOME).train()
    model(clips()).loss.backward()
    assert all(
        bool(p.grad.abs().sum() > 0) for p in model.parameters() if p.requires_grad and p.grad is not None
    )
    assert model.predictor.vector.grad is not None and bool(model.predictor.vector.grad.any())


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ArgumentError, match="asked_share must be above 0"):
        PredictorConfig(asked_share=0.0)
