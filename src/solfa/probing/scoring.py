"""Names of metrics -> functions of what is true and what a head says, equal to mir_eval and scikit-learn.

A metric is a ratio of sums over tracks (accuracy, F-measures), or looks at all tracks at once (areas under
curves, R2). The first kind says what each track adds, so that tracks can be drawn again in no time.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import mir_eval
import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.metrics import r2_score

from solfa.errors import SolfaError
from solfa.metrics import area_under_roc, average_precision, count_hits
from solfa.metrics.tagging import in_order
from solfa.probing.beats import decode_beats, decode_downbeats, find_peaks, n_frames_of_peak
from solfa.probing.splits import Predictions
from solfa.tasks.kinds import LabelKind, classes_at

Parts = Float[np.ndarray, "track 2"]  # numerator and denominator of each track
Curve = Callable[[np.ndarray, np.ndarray], float]  # scores of tracks with a tag and of the others -> area
Decoder = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # logits, times and which kind -> moments
BEAT_TOLERANCE_SECONDS = 0.07
BOUNDARY_TOLERANCE_SECONDS = 0.5
PAUSE_SECONDS = 1.0  # longer than the tolerance
PEAK_HEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
TEMPO_TOLERANCE = 0.04  # of the true tempo
OCTAVE_ERRORS = (1.0, 2.0, 3.0, 1 / 2, 1 / 3)  # the tempi of half, of all or of a third of the beats


class ScoringError(SolfaError, ValueError):
    """A score that cannot be computed; the message names the cure."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How answers become a score, of which more is better."""

    title: str
    parts: Callable[[Predictions], Parts] | None = None
    whole: Callable[[Predictions], float] | None = None
    quick: str = ""  # a cheaper or a finer metric that stands for it where epochs are chosen
    scale: float = 100.0  # as the field prints it
    is_of_single_frames: bool = False  # each counts by itself, so that some of them can stand for all


def metric(name: str) -> Metric:
    """The metric of that name; ``r2_NAME`` is R2 of one number, ``sdr_NAME`` the ratio of one source.

    Raises:
        ScoringError: there is none.
    """
    if name.startswith("r2_"):
        return Metric(title=f"R2 {name.removeprefix('r2_')}", whole=lambda answers: _one_r2(answers, name))
    if name.startswith("sdr_"):
        title = f"SDR {name.removeprefix('sdr_')} (dB)"
        return Metric(title=title, whole=lambda answers: _one_sdr(answers, name), scale=1.0)
    if name not in METRICS:
        known = ", ".join(METRICS)
        raise ScoringError(f"There is no metric {name}. Known are {known}, r2_NAME and sdr_NAME.")
    return METRICS[name]


def metric_names(names: Sequence[str], kind: LabelKind[Any]) -> list[str]:
    """The metrics of a task as they are reported: after ``r2`` and ``sdr`` that of each of several."""
    one = kind.metric_of_one
    each = [f"{one}_{name}" for name in kind.names] if one in names and len(kind.names) > 1 else []
    return list(dict.fromkeys([*names, *each]))


def score(name: str, answers: Predictions) -> float:
    """A metric of answers.

    Raises:
        ScoringError: there is no such metric, or nothing in the answers that it could count.
    """
    found = metric(name)
    return found.whole(answers) if found.whole else _ratio(name, _parts(found, answers))


def score_for_choice(name: str, answers: Predictions) -> float:
    """The metric by which an epoch is chosen: the same, or what stands for it where it takes long."""
    return score(metric(name).quick or name, answers)


def score_seeds(
    name: str, answers: Sequence[Predictions], n_resamples: int
) -> tuple[list[float], Float[np.ndarray, " sample"]]:
    """A metric of each seed, and its means over seeds on tracks drawn with replacement.

    Args:
        name: of the metric.
        answers: of each seed about the same tracks.
        n_resamples: how many draws; they are the same at each call.
    """
    found, n_tracks = metric(name), len(answers[0].reference)
    draws = np.random.default_rng(0).integers(0, n_tracks, (n_resamples, n_tracks))
    if not found.whole:
        parts = np.stack([_parts(found, one) for one in answers])  # seed, track, 2
        sums = parts[:, draws].sum(2)
        return [_ratio(name, one) for one in parts], (sums[..., 0] / sums[..., 1].clip(1e-12)).mean(0)
    by_seed, drawn = [found.whole(one) for one in answers], []
    for draw in draws:
        with suppress(ScoringError):  # a draw of tracks that leaves nothing to count
            drawn.append(np.mean([found.whole(one.take(draw)) for one in answers]))
    return by_seed, np.array(drawn or [np.mean(by_seed)])


def _parts(found: Metric, answers: Predictions) -> Parts:
    assert found.parts, found.title
    return found.parts(answers)


def _ratio(name: str, parts: Parts) -> float:
    total, count = parts.sum(0)
    if not count:
        raise ScoringError(f"There is nothing that {name} could count. Check the labels of the split.")
    return float(total / count)


def _is_right(answers: Predictions) -> Parts:
    return _per_track(np.stack(list(answers.estimated)).argmax(1) == np.array(answers.reference))


def _key_scores(answers: Predictions) -> Parts:
    table = _table_of_keys(answers.kind.names)
    return _per_track(table[np.array(answers.reference), np.stack(list(answers.estimated)).argmax(1)])


@cache
def _table_of_keys(names: tuple[str, ...]) -> Float[np.ndarray, "key key"]:
    """The score of each key (second axis) where another is true."""
    keys = [_key(name) for name in names]
    return np.array([[mir_eval.key.weighted_score(true, said) for said in keys] for true in keys])


def _key(name: str) -> str:
    tonic, mode = name.split()
    return f"{tonic} {mode.lower()}"


def _tempo_parts(factors: Sequence[float]) -> Callable[[Predictions], Parts]:
    """Whether a tempo, told by its logarithm to base 2, is within 4% of such a multiple of the true one."""

    def parts(answers: Predictions) -> Parts:
        said = np.stack(list(answers.estimated))[:, 0]
        ratios = 2.0 ** (said - np.array(answers.reference)[:, 0])
        off = np.abs(ratios[:, None] / np.array(factors) - 1).min(1)
        return _per_track(off <= TEMPO_TOLERANCE)

    return parts


def _frames_right(answers: Predictions) -> Parts:
    parts = []
    for spans, said, times in zip(answers.reference, answers.estimated, answers.times, strict=True):
        classes = classes_at(spans, times)
        right = (said.argmax(1) == classes) & (classes >= 0)
        parts.append((float(right.sum()), float((classes >= 0).sum())))
    return np.array(parts)


def _boundary_scores(answers: Predictions) -> Parts:
    """F-measure of boundaries within 0.5 s (HR.5F); a track without spans does not count."""
    parts = []
    for spans, said, times in zip(answers.reference, answers.estimated, answers.times, strict=True):
        if not spans:
            parts.append((0.0, 0.0))
            continue
        reference = np.array([(span.start, span.end) for span in spans])
        changes = np.flatnonzero(np.diff(said.argmax(1))) + 1
        end = max(reference.max(), times[-1] + 1e-3)
        edges = np.concatenate([times[:1], times[changes], [end]])
        estimated = np.stack([edges[:-1], edges[1:]], 1)
        estimated = estimated[estimated[:, 1] > estimated[:, 0]]
        f_measure = mir_eval.segment.detection(reference, estimated, window=BOUNDARY_TOLERANCE_SECONDS)[2]
        parts.append((f_measure, 1.0))
    return np.array(parts)


def _beat_parts(kind: str, decode: Decoder) -> Callable[[Predictions], Parts]:
    """Hits twice, and events of both: their ratio over all tracks is the micro F-measure."""

    def parts(answers: Predictions) -> Parts:
        column = answers.kind.names.index(kind)

        def of_track(events: Sequence[Any], said: np.ndarray, times: np.ndarray) -> tuple[float, float]:
            reference, estimated = np.sort(np.array(events[column])), decode(said, times, column)
            hits = count_hits(reference, estimated, BEAT_TOLERANCE_SECONDS)
            return 2.0 * hits, float(len(reference) + len(estimated))

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return np.array(list(pool.map(of_track, answers.reference, answers.estimated, answers.times)))

    return parts


def _best_peaks_f1(kind: str) -> Callable[[Predictions], float]:
    """Micro F-measure of peaks, at the height from which they count that suits the answers best.

    A head that has just begun is nowhere sure of a beat, and should be told from one that never will be.
    """

    def f_measure(answers: Predictions) -> float:
        reference, probability, times = _in_a_row(answers, answers.kind.names.index(kind))
        peaks = find_peaks(probability, times, min(PEAK_HEIGHTS))
        heights = probability[np.searchsorted(times, peaks)]
        found = [peaks[heights >= lowest] for lowest in PEAK_HEIGHTS]
        if not len(reference) + len(peaks):
            raise ScoringError(f"There is no {kind}, and none was found. Check the labels of the split.")
        return max(
            2.0 * count_hits(reference, one, BEAT_TOLERANCE_SECONDS) / max(1, len(reference) + len(one))
            for one in found
        )

    return f_measure


def _in_a_row(
    answers: Predictions, column: int
) -> tuple[Float[np.ndarray, " event"], Float[np.ndarray, " frame"], Float[np.ndarray, " frame"]]:
    """Events of a kind, its probability and the times of all tracks, with silence between them.

    One long track is searched many times faster than many short ones.
    """
    n_silent = n_frames_of_peak(answers.times[0])
    silence, pause = np.zeros(n_silent), PAUSE_SECONDS * np.linspace(1, 2, n_silent)
    events, probability, times, start = [], [], [], 0.0
    for true, said, moments in zip(answers.reference, answers.estimated, answers.times, strict=True):
        of_track = np.sort(np.array(true[column]))
        shift = start - min([*of_track[:1], moments[0]])
        end = shift + max([*of_track[-1:], moments[-1]])
        events.append(of_track + shift)
        probability += [_probability(said[:, column]), silence]
        times += [moments + shift, pause + end]
        start = end + 3 * PAUSE_SECONDS
    return np.concatenate(events), np.concatenate(probability), np.concatenate(times)


def _beats(said: np.ndarray, times: np.ndarray, column: int) -> np.ndarray:
    return decode_beats(_probability(said[:, column]), times)


def _downbeats(said: np.ndarray, times: np.ndarray, column: int) -> np.ndarray:
    beats = decode_beats(_probability(said.max(1)), times)
    return decode_downbeats(_probability(said[:, column]), times, beats)


def _probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def _over_tags(curve: Curve) -> Callable[[Predictions], float]:
    """Mean over the tags for which the area under a curve is defined."""

    def area(answers: Predictions) -> float:
        is_tagged, said = _is_tagged(answers), np.stack(list(answers.estimated))
        areas = [
            curve(*in_order(carry, scores))
            for carry, scores in zip(is_tagged.T, said.T, strict=True)
            if carry.any() and not carry.all()
        ]
        if not areas:
            raise ScoringError("No tag is on some tracks and not on others. Check the labels of the split.")
        return float(np.mean(areas))

    return area


def _is_tagged(answers: Predictions) -> Bool[np.ndarray, "track tag"]:
    is_tagged = np.zeros((len(answers.reference), len(answers.kind.names)), bool)
    for row, tags in zip(is_tagged, answers.reference, strict=True):
        row[list(tags)] = True
    return is_tagged


def _mean_r2(answers: Predictions) -> float:
    _check_two(answers)
    return float(r2_score(np.array(answers.reference), np.stack(list(answers.estimated))))


def _one_r2(answers: Predictions, name: str) -> float:
    _check_two(answers)
    column = answers.kind.names.index(name.removeprefix("r2_"))
    return float(
        r2_score(np.array(answers.reference)[:, column], np.stack(list(answers.estimated))[:, column])
    )


def _check_two(answers: Predictions) -> None:
    if len(answers.reference) < 2:
        raise ScoringError("R2 needs two tracks at least. Check the split.")


def _sdr_of_sources(answers: Predictions) -> Float[np.ndarray, " source"]:
    """Median over tracks of the median over windows."""
    by_track = np.array([[_median(row) for row in ratios] for ratios in answers.estimated])
    found = np.array([_median(row) for row in by_track.T])
    if np.isnan(found).any():
        raise ScoringError("A source is silent wherever sdr could count it. Check the stems of the split.")
    return found


def _one_sdr(answers: Predictions, name: str) -> float:
    return float(_sdr_of_sources(answers)[answers.kind.names.index(name.removeprefix("sdr_"))])


def _median(values: Float[np.ndarray, " value"]) -> float:
    heard = values[np.isfinite(values)]
    return float(np.median(heard)) if len(heard) else float("nan")


def _per_track(scores: object) -> Parts:
    values = np.array(list(scores), np.float64)  # type: ignore[call-overload]
    return np.stack([values, np.ones_like(values)], 1)


METRICS: dict[str, Metric] = {
    "accuracy": Metric(title="accuracy", parts=_is_right),
    "key_score": Metric(title="weighted key score", parts=_key_scores),
    "roc_auc": Metric(title="ROC-AUC", whole=_over_tags(area_under_roc)),
    "pr_auc": Metric(title="PR-AUC", whole=_over_tags(average_precision)),
    "r2": Metric(title="R2", whole=_mean_r2),
    "tempo_accuracy_1": Metric(title="Accuracy 1", parts=_tempo_parts(OCTAVE_ERRORS[:1]), quick="r2"),
    "tempo_accuracy_2": Metric(title="Accuracy 2", parts=_tempo_parts(OCTAVE_ERRORS), quick="r2"),
    "frame_accuracy": Metric(title="accuracy of frames", parts=_frames_right, is_of_single_frames=True),
    "hr5f": Metric(title="boundaries within 0.5 s, F", parts=_boundary_scores),
    "beat_f1": Metric(title="beat F1", parts=_beat_parts("beat", _beats), quick="beat_peaks_f1"),
    "downbeat_f1": Metric(
        title="downbeat F1", parts=_beat_parts("downbeat", _downbeats), quick="downbeat_peaks_f1"
    ),
    "beat_peaks_f1": Metric(title="beat F1 of peaks", whole=_best_peaks_f1("beat")),
    "downbeat_peaks_f1": Metric(title="downbeat F1 of peaks", whole=_best_peaks_f1("downbeat")),
    "sdr": Metric(
        title="SDR (dB), mean over sources",
        whole=lambda answers: float(_sdr_of_sources(answers).mean()),
        scale=1.0,
    ),
}
