"""Chance: the score of the best answer that does not heed the sound."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from solfa.probing.scoring import score
from solfa.probing.splits import Predictions

AREAS = ("roc_auc",)
CLASSES = ("accuracy", "key_score", "frame_accuracy")
EVENTS = ("beat_f1", "downbeat_f1")
TEMPI = ("tempo_accuracy_1", "tempo_accuracy_2")


def chance(name: str, answers: Predictions) -> float | None:
    """What a metric gives for the best constant answer; None where a metric has no such bottom.

    For classes and tempi that is the one which scores best on these very tracks, as no model could know it
    beforehand; for beats it is a head equally sure of them at every moment, decoded like any other; areas
    under ROC curves have one half, those under precision against recall the mean share of the tags. R2 and
    ratios of sources in decibels have no bottom.

    Args:
        name: of the metric.
        answers: about the tracks of test; only their labels are looked at.
    """
    if name in AREAS:
        return 0.5
    if name == "pr_auc":
        return _mean_share_of_tags(answers)
    if name in CLASSES + EVENTS + TEMPI:
        return max(score(name, constant) for constant in _constants(name, answers))
    return None


def _constants(name: str, answers: Predictions) -> Iterator[Predictions]:
    """Answers that are alike for all tracks."""
    shapes = [np.zeros_like(said) for said in answers.estimated]
    if name in EVENTS:
        yield replace(answers, estimated=shapes)
    elif name in TEMPI:
        for tempo in sorted(set(answers.reference)):
            yield replace(answers, estimated=[zeros + tempo for zeros in shapes])
    else:
        for row in np.eye(len(answers.kind.names)):
            yield replace(answers, estimated=[zeros + row for zeros in shapes])


def _mean_share_of_tags(answers: Predictions) -> float | None:
    n_tracks = len(answers.reference)
    counts = [sum(tag in tags for tags in answers.reference) for tag in range(len(answers.kind.names))]
    shares = [n / n_tracks for n in counts if 0 < n < n_tracks]
    return float(np.mean(shares)) if shares else None
