"""Scores equal those of mir_eval and scikit-learn, and chance is chance."""

import mir_eval
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from solfa.probing.beats import decode_beats, decode_downbeats, find_peaks
from solfa.probing.examples import Answers
from solfa.probing.scoring import (
    METRICS,
    ScoringError,
    metric_names,
    score,
    score_seeds,
    signal_to_distortion,
    tags_left_out,
)
from solfa.tasks.base import Classes, FrameClasses, FrameEvents, Numbers, Span, Tags

RANDOM = np.random.default_rng(0)
TIMES = np.arange(750) / 25.0


def logits_of(moments: list[np.ndarray], times: np.ndarray = TIMES) -> np.ndarray:
    """Sure of the frames nearest to moments of each kind."""
    logits = np.full((len(times), len(moments)), -4.0)
    for kind, found in enumerate(moments):
        logits[[int(np.abs(times - moment).argmin()) for moment in found], kind] = 4.0
    return logits


def test_accuracy_counts_the_largest_logit() -> None:
    answers = Answers(Classes(("a", "b")), [0, 1, 1], [np.array([2.0, 1.0])] * 3)
    assert score("accuracy", answers) == pytest.approx(1 / 3)


def test_areas_under_curves_equal_scikit_learn_without_undefined_tags() -> None:
    kind = Tags(("a", "b", "never", "always"))
    is_tagged = RANDOM.random((40, 4)) < 0.3
    is_tagged[:, 2], is_tagged[:, 3] = False, True
    said = RANDOM.standard_normal((40, 4))
    answers = Answers(kind, [tuple(np.flatnonzero(row)) for row in is_tagged], list(said))
    expected = [(roc_auc_score(is_tagged[:, n], said[:, n])) for n in range(2)]
    assert score("roc_auc", answers) == pytest.approx(np.mean(expected))
    expected = [(average_precision_score(is_tagged[:, n], said[:, n])) for n in range(2)]
    assert score("pr_auc", answers) == pytest.approx(np.mean(expected))
    assert tags_left_out(answers) == ["never", "always"]


def test_tags_that_cannot_be_scored_at_all_are_an_error() -> None:
    answers = Answers(Tags(("a",)), [(), ()], [np.zeros(1)] * 2)
    with pytest.raises(ScoringError, match="Check the labels"):
        score("roc_auc", answers)


def test_r2_is_told_for_each_number() -> None:
    kind = Numbers(("arousal", "valence"))
    true, said = RANDOM.standard_normal((2, 30, 2))
    answers = Answers(kind, [tuple(row) for row in true], list(said))
    names = metric_names(("r2",), kind)
    assert names == ["r2", "r2_arousal", "r2_valence"]
    expected = [r2_score(true, said), r2_score(true[:, 0], said[:, 0]), r2_score(true[:, 1], said[:, 1])]
    assert [score(name, answers) for name in names] == pytest.approx(expected)


def test_a_fifth_away_is_half_a_key() -> None:
    kind = Classes(("C major", "G major", "A minor", "Eb minor"))
    said = np.eye(4)
    answers = Answers(kind, [0, 0, 0, 0], list(said))
    names = [(0, n) for n in range(4)]
    expected = [mir_eval.key.weighted_score(kind.names[a], kind.names[b]) for a, b in names]
    assert expected == [1.0, 0.5, 0.3, 0.0]
    assert score("key_score", answers) == pytest.approx(np.mean(expected))


def test_frames_in_no_span_do_not_count() -> None:
    spans = (Span(0.0, 10.0, 0), Span(20.0, 30.0, 1))
    said = np.tile([1.0, 0.0], (750, 1))
    answers = Answers(FrameClasses(("a", "b")), [spans], [said], [TIMES])
    assert score("frame_accuracy", answers) == pytest.approx(0.5)


def test_boundaries_equal_mir_eval() -> None:
    spans = (Span(0.0, 9.0, 0), Span(9.0, 21.0, 1), Span(21.0, 30.0, 0))
    said = np.zeros((750, 2))
    said[(TIMES >= 9.2) & (TIMES < 24.0), 1] = 1.0
    answers = Answers(FrameClasses(("a", "b")), [spans], [said], [TIMES])
    reference = np.array([(0.0, 9.0), (9.0, 21.0), (21.0, 30.0)])
    estimated = np.array([(0.0, 9.2), (9.2, 24.0), (24.0, 30.0)])
    expected = mir_eval.segment.detection(reference, estimated, window=0.5)[2]
    assert score("hr5f", answers) == pytest.approx(expected)
    assert expected == pytest.approx(0.75)


def test_beats_of_one_track_equal_mir_eval() -> None:
    beats = np.arange(0.3, 29.5, 0.48)
    late = beats + np.where(np.arange(len(beats)) % 3 == 0, 0.16, 0.0)
    answers = Answers(FrameEvents(("beat",)), [(tuple(beats),)], [logits_of([late])], [TIMES])
    estimated = find_peaks(1 / (1 + np.exp(-logits_of([late])[:, 0])), TIMES)
    expected = mir_eval.beat.f_measure(beats, estimated)
    assert score("beat_peaks_f1", answers) == pytest.approx(expected)
    assert 0.5 < expected < 0.8


@pytest.mark.parametrize("tempo_bpm", [62.0, 97.0, 120.0, 173.0])
def test_the_decoder_finds_beats_of_any_tempo(tempo_bpm: float) -> None:
    beats = np.arange(0.4, 29.0, 60 / tempo_bpm)
    found = decode_beats(1 / (1 + np.exp(-logits_of([beats])[:, 0])), TIMES)
    assert mir_eval.beat.f_measure(beats, found) > 0.95


def test_the_decoder_fills_in_missing_beats_and_leaves_out_wrong_ones() -> None:
    beats = np.arange(0.4, 29.0, 0.5)
    heard = np.delete(beats, [9, 20, 21, 40])
    activations = 1 / (1 + np.exp(-logits_of([np.append(heard, [5.16, 17.64])])[:, 0]))
    decoded, peaks = decode_beats(activations, TIMES), find_peaks(activations, TIMES)
    assert mir_eval.beat.f_measure(beats, decoded) > 0.98 > mir_eval.beat.f_measure(beats, peaks)


def test_the_decoder_finds_where_bars_begin() -> None:
    beats = np.arange(0.4, 29.0, 0.5)
    for meter in (3, 4):
        downbeats = beats[2::meter]
        activations = 1 / (1 + np.exp(-logits_of([np.delete(downbeats, 4)])[:, 0]))
        found = decode_downbeats(activations, TIMES, beats)
        np.testing.assert_allclose(found[found > 2], downbeats[downbeats > 2])


def test_silence_has_no_beats() -> None:
    answers = Answers(FrameEvents(("beat",)), [((1.0,),)], [np.full((750, 1), -9.0)], [TIMES])
    assert score("beat_f1", answers) == 0.0


def test_a_source_that_is_hit_by_half_its_energy_has_three_decibels() -> None:
    source = RANDOM.standard_normal(1000).astype(np.float32)
    wrong = RANDOM.standard_normal(1000).astype(np.float32)
    wrong *= np.sqrt(0.5 * np.square(source).sum() / np.square(wrong).sum())
    assert signal_to_distortion(source, source + wrong) == pytest.approx(3.01, abs=0.01)
    assert np.isnan(signal_to_distortion(np.zeros(10, np.float32), np.ones(10, np.float32)))


@pytest.mark.parametrize("name", ["accuracy", "key_score"])
def test_drawings_of_tracks_lie_around_the_score(name: str) -> None:
    kind = Classes(("C major", "G major"))
    labels = [n % 2 for n in range(100)]
    said = [np.eye(2)[label if n % 4 else 1 - label] for n, label in enumerate(labels)]
    answers = Answers(kind, labels, said)
    by_seed, drawn = score_seeds(name, [answers, answers], 300)
    assert by_seed == [score(name, answers)] * 2
    assert drawn.mean() == pytest.approx(score(name, answers), abs=0.02)
    assert 0.01 < drawn.std() < 0.08


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(ScoringError, match="accuracy"):
        score("beauty", Answers(Classes(("a",)), [0], [np.zeros(1)]))


def test_every_quick_metric_is_a_metric() -> None:
    assert {metric.quick for metric in METRICS.values() if metric.quick} <= METRICS.keys()
