"""Retrieval: perfect, hopeless, and as scikit-learn has it."""

import numpy as np
import pytest

from solfa.metrics import retrieval

LABELS = np.array([0, 0, 1, 1, 2])


def test_equals_that_are_nearest_are_found() -> None:
    answer = retrieval(LABELS, (LABELS[:, None] == LABELS[None]).astype(np.float64))
    assert (answer.recall_at_1, answer.mean_average_precision, answer.n_queries) == (1.0, 1.0, 4)


def test_equals_that_are_farthest_are_not_found() -> None:
    answer = retrieval(LABELS, -(LABELS[:, None] == LABELS[None]).astype(np.float64))
    assert answer.recall_at_1 == 0.0
    assert answer.mean_average_precision == pytest.approx(0.25)  # one equal, ranked last of four


def test_chance_is_the_share_of_equals_among_the_others() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 5)
    answers = [retrieval(labels, rng.standard_normal((100, 100))) for _ in range(20)]
    assert answers[0].chance == pytest.approx(4 / 99)
    assert np.mean([answer.recall_at_1 for answer in answers]) == pytest.approx(4 / 99, abs=0.015)


def test_nothing_to_find_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two of the same track"):
        retrieval(np.arange(3), np.eye(3))
