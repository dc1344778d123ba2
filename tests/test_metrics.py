"""Retrieval: perfect, hopeless, and as scikit-learn has it."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from solfa.metrics import retrieval, tag_areas, text_retrieval

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


def test_areas_are_means_over_the_tags_that_tell_tracks_apart() -> None:
    reference = np.array([[1, 0, 1], [0, 1, 1], [1, 0, 1]], bool)
    estimated = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.0], [0.1, 0.4, 0.0]])
    areas = tag_areas(reference, estimated)
    assert areas.n_tags == 2  # the third one all tracks have
    # first: one of two pairs is in order; second: one of two
    assert areas.roc_auc == pytest.approx(0.5)
    assert areas.pr_auc == pytest.approx(((1 + 2 / 3) / 2 + 0.5) / 2)
    with pytest.raises(ValueError, match="No tag tells the tracks apart"):
        tag_areas(reference[:, 2:], estimated[:, 2:])


def test_a_text_is_as_good_as_the_rank_of_its_track() -> None:
    similarity = -np.abs(np.arange(20.0)[:, None] - np.arange(20.0)[None])
    perfect = text_retrieval(similarity)
    assert (perfect.recall_at_1, perfect.median_rank, perfect.n_tracks) == (1, 1, 20)
    similarity[:10] = np.arange(20.0)  # the first ten texts find the last track first
    half = text_retrieval(similarity)
    assert (half.recall_at_1, half.recall_at_10) == (0.5, 0.5)
    assert text_retrieval(np.zeros((20, 20))).median_rank == 20  # who says the same of all finds nothing


def test_several_texts_may_seek_one_track() -> None:
    similarity = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert text_retrieval(similarity, [0, 1, 1]).recall_at_1 == pytest.approx(2 / 3)
    assert text_retrieval(similarity, [0, 1, 1]).n_tracks == 2


def test_areas_and_rankings_are_those_of_scikit_learn_with_ties_too() -> None:
    rng = np.random.default_rng(3)
    reference = rng.random((60, 4)) < 0.3
    estimated = rng.integers(0, 9, (60, 4)).astype(np.float64)
    areas = tag_areas(reference, estimated)
    assert areas.roc_auc == pytest.approx(roc_auc_score(reference, estimated))
    assert areas.pr_auc == pytest.approx(average_precision_score(reference, estimated))
    labels, similarity = np.repeat(np.arange(6), 5), rng.integers(0, 9, (30, 30)).astype(np.float64)
    others = ~np.eye(30, dtype=bool)
    precisions = [
        average_precision_score((labels == labels[n])[others[n]], similarity[n, others[n]]) for n in range(30)
    ]
    assert retrieval(labels, similarity).mean_average_precision == pytest.approx(np.mean(precisions))
