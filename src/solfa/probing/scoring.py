"""Names of metrics -> functions of what is true and what a head says, by mir_eval and scikit-learn.

A metric is a ratio of sums over tracks (accuracy, F-measures), or looks at all tracks at once (areas under
curves, R2). The first kind says what each track adds, so that tracks can be drawn again in no time.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import mir_eval
import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from solfa.probing.beats import decode_beats, decode_downbeats, find_peaks
from solfa.probing.examples import Answers, classes_at
from solfa.tasks.base import LabelKind, Numbers

Parts = Float[np.ndarray, "track 2"]  # numerator and denominator of each track
Decoder = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # logits, times and which kind -> moments
BEAT_TOLERANCE_SECONDS = 0.07
BOUNDARY_TOLERANCE_SECONDS = 0.5
SILENCE = 1e-7  # energy below which there is nothing to separate


class ScoringError(ValueError):
    """A score that cannot be computed; the message names the cure."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How answers become a score, of which more is better."""

    title: str
    parts: Callable[[Answers], Parts] | None = None
    whole: Callable[[Answers], float] | None = None
    quick: str = ""  # a cheaper metric that stands for it where epochs are chosen
    scale: float = 100.0  # as the field prints it


def metric(name: str) -> Metric:
    """The metric of that name; ``r2_NAME`` is R2 of one number.

    Raises:
        ScoringError: there is none.
    """
    if name.startswith("r2_"):
        return Metric(title=f"R2 {name.removeprefix('r2_')}", whole=lambda answers: _one_r2(answers, name))
    if name not in METRICS:
        raise ScoringError(f"There is no metric {name}. Known are {', '.join(METRICS)} and r2_NAME.")
    return METRICS[name]


def metric_names(names: Sequence[str], kind: LabelKind) -> list[str]:
    """The metrics of a task as they are reported: after ``r2``, R2 of each number."""
    each = [f"r2_{name}" for name in kind.names] if isinstance(kind, Numbers) and "r2" in names else []
    return list(dict.fromkeys([*names, *each]))


def score(name: str, answers: Answers) -> float:
    """A metric of answers.

    Raises:
        ScoringError: there is no such metric, or nothing in the answers that it could count.
    """
    found = metric(name)
    return found.whole(answers) if found.whole else _ratio(name, _parts(found, answers))


def score_for_choice(name: str, answers: Answers) -> float:
    """The metric by which an epoch is chosen: the same, or what stands for it where it takes long."""
    return score(metric(name).quick or name, answers)


def score_seeds(
    name: str, answers: Sequence[Answers], n_resamples: int
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


def _parts(found: Metric, answers: Answers) -> Parts:
    assert found.parts, found.title
    return found.parts(answers)


def _ratio(name: str, parts: Parts) -> float:
    total, count = parts.sum(0)
    if not count:
        raise ScoringError(f"There is nothing that {name} could count. Check the labels of the split.")
    return float(total / count)


def tags_left_out(answers: Answers) -> list[str]:
    """Tags that no track, or every track, carries: no area under a curve is defined for them."""
    is_tagged = _is_tagged(answers)
    n_tagged = is_tagged.sum(0).tolist()
    return [name for name, n in zip(answers.kind.names, n_tagged, strict=True) if n in (0, len(is_tagged))]


def _is_right(answers: Answers) -> Parts:
    right = [float(np.argmax(said) == label) for label, said in zip(*_pairs(answers), strict=True)]
    return _per_track(right)


def _key_scores(answers: Answers) -> Parts:
    names = answers.kind.names
    return _per_track(
        mir_eval.key.weighted_score(_key(names[label]), _key(names[int(np.argmax(said))]))
        for label, said in zip(*_pairs(answers), strict=True)
    )


def _key(name: str) -> str:
    tonic, mode = name.split()
    return f"{tonic} {mode.lower()}"


def _frames_right(answers: Answers) -> Parts:
    parts = []
    for spans, said, times in zip(answers.reference, answers.estimated, answers.times, strict=True):
        classes = classes_at(spans, times)
        right = (said.argmax(1) == classes) & (classes >= 0)
        parts.append((float(right.sum()), float((classes >= 0).sum())))
    return np.array(parts)


def _boundary_scores(answers: Answers) -> Parts:
    """F-measure of boundaries within 0.5 s (HR.5F)."""
    scores = []
    for spans, said, times in zip(answers.reference, answers.estimated, answers.times, strict=True):
        reference = np.array([(span.start, span.end) for span in spans])
        changes = np.flatnonzero(np.diff(said.argmax(1))) + 1
        end = max(reference.max(), times[-1] + 1e-3)
        edges = np.concatenate([[0.0], times[changes], [end]])
        estimated = np.stack([edges[:-1], edges[1:]], 1)
        estimated = estimated[estimated[:, 1] > estimated[:, 0]]
        f_measure = mir_eval.segment.detection(reference, estimated, window=BOUNDARY_TOLERANCE_SECONDS)[2]
        scores.append(f_measure)
    return _per_track(scores)


def _beat_parts(kind: str, decode: Decoder) -> Callable[[Answers], Parts]:
    """Hits twice, and events of both: their ratio over all tracks is the micro F-measure."""

    def parts(answers: Answers) -> Parts:
        column = answers.kind.names.index(kind)
        counted = []
        for events, said, times in zip(answers.reference, answers.estimated, answers.times, strict=True):
            reference, estimated = np.sort(np.array(events[column])), decode(said, times, column)
            hits = mir_eval.util.match_events(reference, estimated, BEAT_TOLERANCE_SECONDS)
            counted.append((2.0 * len(hits), float(len(reference) + len(estimated))))
        return np.array(counted)

    return parts


def _peaks(said: np.ndarray, times: np.ndarray, column: int) -> np.ndarray:
    return find_peaks(_probability(said[:, column]), times)


def _beats(said: np.ndarray, times: np.ndarray, column: int) -> np.ndarray:
    return decode_beats(_probability(said[:, column]), times)


def _downbeats(said: np.ndarray, times: np.ndarray, column: int) -> np.ndarray:
    beats = decode_beats(_probability(said.max(1)), times)
    return decode_downbeats(_probability(said[:, column]), times, beats)


def _probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def _over_tags(curve: Callable[..., float]) -> Callable[[Answers], float]:
    """Mean over the tags for which the area under a curve is defined."""

    def area(answers: Answers) -> float:
        is_tagged, said = _is_tagged(answers), np.stack(list(answers.estimated))
        defined = is_tagged.any(0) & ~is_tagged.all(0)
        if not defined.any():
            raise ScoringError("No tag is on some tracks and not on others. Check the labels of the split.")
        return float(curve(is_tagged[:, defined], said[:, defined], average="macro"))

    return area


def _is_tagged(answers: Answers) -> Bool[np.ndarray, "track tag"]:
    is_tagged = np.zeros((len(answers.reference), len(answers.kind.names)), bool)
    for row, tags in zip(is_tagged, answers.reference, strict=True):
        row[list(tags)] = True
    return is_tagged


def _mean_r2(answers: Answers) -> float:
    _check_two(answers)
    return float(r2_score(np.array(answers.reference), np.stack(list(answers.estimated))))


def _one_r2(answers: Answers, name: str) -> float:
    _check_two(answers)
    column = answers.kind.names.index(name.removeprefix("r2_"))
    return float(
        r2_score(np.array(answers.reference)[:, column], np.stack(list(answers.estimated))[:, column])
    )


def _check_two(answers: Answers) -> None:
    if len(answers.reference) < 2:
        raise ScoringError("R2 needs two tracks at least. Check the split.")


def signal_to_distortion(
    reference: Float[np.ndarray, "sample"], estimated: Float[np.ndarray, "sample"]
) -> float:
    """Energy of a source over that of what is wrong in its estimate, in dB; NaN for a silent source.

    The plain ratio over a whole track, without the filters that BSSEval allows.

    Source:
        Music Demixing Challenge 2021, arXiv:2108.13559.
    """
    energy, wrong = float(np.square(reference).sum()), float(np.square(reference - estimated).sum())
    return float("nan") if energy < SILENCE else 10 * float(np.log10(energy / max(wrong, SILENCE)))


def _sdr(answers: Answers) -> Parts:
    """Mean over the sources of a track that are not silent."""
    parts = []
    for reference, estimated in zip(answers.reference, answers.estimated, strict=True):
        ratios = np.array([signal_to_distortion(*pair) for pair in zip(reference, estimated, strict=True)])
        heard = ratios[np.isfinite(ratios)]
        parts.append((float(heard.sum()), float(len(heard))))
    return np.array(parts)


def _per_track(scores: object) -> Parts:
    values = np.array(list(scores), np.float64)  # type: ignore[call-overload]
    return np.stack([values, np.ones_like(values)], 1)


def _pairs(answers: Answers) -> tuple[Sequence, Sequence]:
    return answers.reference, answers.estimated


METRICS: dict[str, Metric] = {
    "accuracy": Metric(title="accuracy", parts=_is_right),
    "key_score": Metric(title="weighted key score", parts=_key_scores),
    "roc_auc": Metric(title="ROC-AUC", whole=_over_tags(roc_auc_score)),
    "pr_auc": Metric(title="PR-AUC", whole=_over_tags(average_precision_score)),
    "r2": Metric(title="R2", whole=_mean_r2),
    "frame_accuracy": Metric(title="accuracy of frames", parts=_frames_right),
    "hr5f": Metric(title="boundaries within 0.5 s, F", parts=_boundary_scores),
    "beat_f1": Metric(title="beat F1", parts=_beat_parts("beat", _beats), quick="beat_peaks_f1"),
    "downbeat_f1": Metric(
        title="downbeat F1", parts=_beat_parts("downbeat", _downbeats), quick="downbeat_peaks_f1"
    ),
    "beat_peaks_f1": Metric(title="beat F1 of peaks", parts=_beat_parts("beat", _peaks)),
    "downbeat_peaks_f1": Metric(title="downbeat F1 of peaks", parts=_beat_parts("downbeat", _peaks)),
    "sdr": Metric(title="SDR (dB)", parts=_sdr, scale=1.0),
}
