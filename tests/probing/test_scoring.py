"""Scores equal those of mir_eval and scikit-learn, and chance is chance."""

from dataclasses import replace

import mir_eval
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from solfa.metrics import count_hits, separation_ratios, signal_to_distortion
from solfa.probing import beats
from solfa.probing.beats import decode_beats, decode_downbeats, find_peaks
from solfa.probing.scoring import (
    METRICS,
    ScoringError,
    metric_names,
    score,
    score_seeds,
)
from solfa.probing.splits import Predictions
from solfa.tasks.kinds import Classes, FrameClasses, FrameEvents, Numbers, Span, Stems, Tags

RANDOM = np.random.default_rng(0)
TIMES = np.arange(750) / 25.0


def logits_of(moments: list[np.ndarray], times: np.ndarray = TIMES) -> np.ndarray:
    """Sure of the frames nearest to moments of each kind."""
    logits = np.full((len(times), len(moments)), -4.0)
    for kind, found in enumerate(moments):
        logits[[int(np.abs(times - moment).argmin()) for moment in found], kind] = 4.0
    return logits


def test_accuracy_counts_the_largest_logit() -> None:
    answers = Predictions(Classes(("a", "b")), [0, 1, 1], [np.array([2.0, 1.0])] * 3)
    assert score("accuracy", answers) == pytest.approx(1 / 3)


def test_areas_under_curves_equal_scikit_learn_without_undefined_tags() -> None:
    kind = Tags(("a", "b", "never", "always"))
    is_tagged = RANDOM.random((40, 4)) < 0.3
    is_tagged[:, 2], is_tagged[:, 3] = False, True
    said = RANDOM.standard_normal((40, 4))
    answers = Predictions(kind, [tuple(np.flatnonzero(row).tolist()) for row in is_tagged], list(said))
    expected = [(roc_auc_score(is_tagged[:, n], said[:, n])) for n in range(2)]
    assert score("roc_auc", answers) == pytest.approx(np.mean(expected))
    expected = [(average_precision_score(is_tagged[:, n], said[:, n])) for n in range(2)]
    assert score("pr_auc", answers) == pytest.approx(np.mean(expected))
    assert answers.kind.unscored(answers.reference) == ("never", "always")


def test_tags_that_cannot_be_scored_at_all_are_an_error() -> None:
    answers = Predictions(Tags(("a",)), [(), ()], [np.zeros(1)] * 2)
    with pytest.raises(ScoringError, match="Check the labels"):
        score("roc_auc", answers)


def test_r2_is_told_for_each_number() -> None:
    kind = Numbers(("arousal", "valence"))
    true, said = RANDOM.standard_normal((2, 30, 2))
    answers = Predictions(kind, [tuple(row) for row in true], list(said))
    names = metric_names(("r2",), kind)
    assert names == ["r2", "r2_arousal", "r2_valence"]
    expected = [r2_score(true, said), r2_score(true[:, 0], said[:, 0]), r2_score(true[:, 1], said[:, 1])]
    assert [score(name, answers) for name in names] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("said_bpm", "first", "second"),
    [
        (120.0, 1, 1),
        (124.7, 1, 1),  # 3.9% too fast
        (115.3, 1, 1),
        (125.0, 0, 0),  # 4.2%
        (240.0, 0, 1),
        (249.0, 0, 1),  # 3.75% off the double
        (250.0, 0, 0),
        (60.0, 0, 1),
        (40.0, 0, 1),
        (360.0, 0, 1),
        (80.0, 0, 0),  # two thirds are no octave
        (480.0, 0, 0),
    ],
)
def test_a_tempo_is_right_within_four_percent(said_bpm: float, first: int, second: int) -> None:
    answers = Predictions(Numbers(("log2_bpm",)), [(np.log2(120.0),)], [np.array([np.log2(said_bpm)])])
    assert score("tempo_accuracy_1", answers) == first
    assert score("tempo_accuracy_2", answers) == second


def test_tempo_accuracies_are_shares_of_tracks() -> None:
    true, said = [90.0, 100.0, 120.0, 150.0], [91.0, 200.0, 100.0, 75.0]
    answers = Predictions(
        Numbers(("log2_bpm",)), [(np.log2(bpm),) for bpm in true], [np.array([np.log2(bpm)]) for bpm in said]
    )
    assert score("tempo_accuracy_1", answers) == pytest.approx(1 / 4)
    assert score("tempo_accuracy_2", answers) == pytest.approx(3 / 4)


def test_a_fifth_away_is_half_a_key() -> None:
    kind = Classes(("C major", "G major", "A minor", "Eb minor"))
    said = np.eye(4)
    answers = Predictions(kind, [0, 0, 0, 0], list(said))
    names = [(0, n) for n in range(4)]
    expected = [mir_eval.key.weighted_score(kind.names[a], kind.names[b]) for a, b in names]
    assert expected == [1.0, 0.5, 0.3, 0.0]
    assert score("key_score", answers) == pytest.approx(np.mean(expected))


def test_frames_in_no_span_do_not_count() -> None:
    spans = (Span(0.0, 10.0, 0), Span(20.0, 30.0, 1))
    said = np.tile([1.0, 0.0], (750, 1))
    answers = Predictions(FrameClasses(("a", "b")), [spans], [said], [TIMES])
    assert score("frame_accuracy", answers) == pytest.approx(0.5)


def test_boundaries_equal_mir_eval() -> None:
    spans = (Span(0.0, 9.0, 0), Span(9.0, 21.0, 1), Span(21.0, 30.0, 0))
    said = np.zeros((750, 2))
    said[(TIMES >= 9.2) & (TIMES < 24.0), 1] = 1.0
    answers = Predictions(FrameClasses(("a", "b")), [spans], [said], [TIMES])
    reference = np.array([(0.0, 9.0), (9.0, 21.0), (21.0, 30.0)])
    estimated = np.array([(0.0, 9.2), (9.2, 24.0), (24.0, 30.0)])
    expected = mir_eval.segment.detection(reference, estimated, window=0.5)[2]
    assert score("hr5f", answers) == pytest.approx(expected)
    assert expected == pytest.approx(0.75)


def test_beats_of_one_track_equal_mir_eval() -> None:
    beats = np.arange(0.3, 29.5, 0.48)
    late = beats + np.where(np.arange(len(beats)) % 3 == 0, 0.16, 0.0)
    answers = Predictions(FrameEvents(("beat",)), [(tuple(beats),)], [logits_of([late])], [TIMES])
    estimated = find_peaks(1 / (1 + np.exp(-logits_of([late])[:, 0])), TIMES, 0.3)
    expected = mir_eval.beat.f_measure(beats, estimated)
    assert score("beat_peaks_f1", answers) == pytest.approx(expected)
    assert 0.5 < expected < 0.8


def test_peaks_count_from_the_height_that_suits_them() -> None:
    beats = np.arange(0.3, 29.5, 0.48)
    unsure = np.minimum(logits_of([beats]), -2.0)  # 0.12 at a beat, and next to nothing elsewhere
    answers = Predictions(FrameEvents(("beat",)), [(tuple(beats),)], [unsure], [TIMES])
    assert score("beat_peaks_f1", answers) > 0.95
    silent = replace(answers, estimated=[np.full_like(unsure, -9.0)])
    assert score("beat_peaks_f1", silent) == 0.0


@pytest.mark.parametrize("tempo_bpm", [62.0, 97.0, 120.0, 173.0])
def test_the_decoder_finds_beats_of_any_tempo(tempo_bpm: float) -> None:
    beats = np.arange(0.4, 29.0, 60 / tempo_bpm)
    found = decode_beats(1 / (1 + np.exp(-logits_of([beats])[:, 0])), TIMES)
    assert mir_eval.beat.f_measure(beats, found) > 0.95


def test_a_beat_at_the_very_beginning_is_found() -> None:
    times = np.arange(1000) / 100
    beats = np.arange(0.0, 9.9, 0.6)
    activations = np.where(np.abs(times[:, None] - beats).min(1) < 0.015, 0.9, 0.01)
    found = decode_beats(activations, times)
    assert len(found) == len(beats)
    np.testing.assert_allclose(found, beats, atol=0.011)


def test_the_decoder_fills_in_missing_beats_and_leaves_out_wrong_ones() -> None:
    beats = np.arange(0.4, 29.0, 0.5)
    heard = np.delete(beats, [9, 20, 21, 40])
    activations = 1 / (1 + np.exp(-logits_of([np.append(heard, [5.16, 17.64])])[:, 0]))
    decoded, peaks = decode_beats(activations, TIMES), find_peaks(activations, TIMES, 0.3)
    assert mir_eval.beat.f_measure(beats, decoded) > 0.98 > mir_eval.beat.f_measure(beats, peaks)


def test_the_decoder_finds_where_bars_begin() -> None:
    beats = np.arange(0.4, 29.0, 0.5)
    for meter in (3, 4):
        downbeats = beats[2::meter]
        activations = 1 / (1 + np.exp(-logits_of([np.delete(downbeats, 4)])[:, 0]))
        found = decode_downbeats(activations, TIMES, beats)
        np.testing.assert_allclose(found[found > 2], downbeats[downbeats > 2])


def test_silence_has_no_beats() -> None:
    answers = Predictions(FrameEvents(("beat",)), [((1.0,),)], [np.full((750, 1), -9.0)], [TIMES])
    assert score("beat_f1", answers) == 0.0


def test_a_source_that_is_hit_by_half_its_energy_has_three_decibels() -> None:
    source = RANDOM.standard_normal(1000).astype(np.float32)
    wrong = RANDOM.standard_normal(1000).astype(np.float32)
    wrong *= np.sqrt(0.5 * np.square(source).sum() / np.square(wrong).sum())
    assert signal_to_distortion(source, source + wrong) == pytest.approx(3.01, abs=0.01)
    assert np.isnan(signal_to_distortion(np.zeros(10, np.float32), np.ones(10, np.float32)))


def test_ties_are_counted_as_scikit_learn_counts_them() -> None:
    is_tagged, said = RANDOM.random(60) < 0.4, RANDOM.integers(0, 5, 60).astype(float)
    answers = Predictions(Tags(("a",)), [(0,) if one else () for one in is_tagged], list(said[:, None]))
    assert score("roc_auc", answers) == pytest.approx(roc_auc_score(is_tagged, said))
    assert score("pr_auc", answers) == pytest.approx(average_precision_score(is_tagged, said))


def test_hits_are_as_many_as_mir_eval_can_match() -> None:
    for _ in range(20):
        reference, estimated = (np.sort(RANDOM.uniform(0, 3, n)) for n in (20, 25))
        expected = len(mir_eval.util.match_events(reference, estimated, 0.07))
        assert count_hits(reference, estimated, 0.07) == expected


def test_a_track_without_sections_has_no_boundaries_to_count() -> None:
    spans = (Span(0.0, 9.0, 0), Span(9.0, 30.0, 1))
    said = np.zeros((750, 2))
    said[TIMES >= 9.0, 1] = 1.0
    both = Predictions(FrameClasses(("a", "b")), [spans, ()], [said, said], [TIMES, TIMES])
    assert score("hr5f", both) == pytest.approx(1.0)


def test_separation_is_scored_by_medians_of_seconds_as_in_museval() -> None:
    reference = np.ones((2, 36), np.float32)
    wrong = np.array([0.1, 1.0, np.sqrt(0.1)]).repeat(10)  # 20, 0 and 10 dB; six samples are left over
    estimated = reference.copy()
    estimated[0, :30] += wrong
    estimated[1] *= 0.9
    ratios = separation_ratios(reference, estimated, 10)
    np.testing.assert_allclose(ratios, [[20, 0, 10], [20, 20, 20]], atol=1e-3)
    others = [np.array([[4.0, np.nan], [6.0, np.nan]]), np.array([[40.0], [8.0]])]
    answers = Predictions(Stems(("voice", "rest")), ["a", "b", "c"], [ratios, *others])
    assert metric_names(("sdr",), answers.kind) == ["sdr", "sdr_voice", "sdr_rest"]
    assert score("sdr_voice", answers) == pytest.approx(10.0, abs=1e-3)  # of 10, 4 and 40
    assert score("sdr_rest", answers) == pytest.approx(8.0, abs=1e-3)
    assert score("sdr", answers) == pytest.approx(9.0, abs=1e-3)


def test_a_second_in_which_a_source_is_silent_has_no_ratio() -> None:
    reference = np.ones((2, 20), np.float32)
    reference[1, :10] = 0.0
    ratios = separation_ratios(reference, reference * 0.9, 10)
    assert np.isnan(ratios[:, 0]).all()
    np.testing.assert_allclose(ratios[:, 1], 20.0, atol=1e-3)
    silent = Predictions(Stems(("voice", "rest")), ["a"], [ratios[:, :1]])
    with pytest.raises(ScoringError, match="Check the stems"):
        score("sdr", silent)


@pytest.mark.parametrize("name", ["accuracy", "key_score"])
def test_drawings_of_tracks_lie_around_the_score(name: str) -> None:
    kind = Classes(("C major", "G major"))
    labels = [n % 2 for n in range(100)]
    said = [np.eye(2)[label if n % 4 else 1 - label] for n, label in enumerate(labels)]
    answers = Predictions(kind, labels, said)
    by_seed, drawn = score_seeds(name, [answers, answers], 300)
    assert by_seed == [score(name, answers)] * 2
    assert drawn.mean() == pytest.approx(score(name, answers), abs=0.02)
    assert 0.01 < drawn.std() < 0.08


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(ScoringError, match="accuracy"):
        score("beauty", Predictions(Classes(("a",)), [0], [np.zeros(1)]))


def test_every_quick_metric_is_a_metric() -> None:
    assert {metric.quick for metric in METRICS.values() if metric.quick} <= METRICS.keys()


def beats_state_by_state(probability: np.ndarray) -> list[int]:
    """First frames of the most probable beats, by Viterbi's algorithm over every length and position."""
    lengths = np.arange(28, 110)
    states = [(number, position) for number, length in enumerate(lengths) for position in range(length)]
    place = {state: n for n, state in enumerate(states)}
    is_beat = np.array([position < lengths[number] / 16 for number, position in states])
    firsts = np.array([place[number, 0] for number in range(len(lengths))])
    lasts = np.array([place[number, length - 1] for number, length in enumerate(lengths)])
    moves = -100 * np.abs(lengths[None] / lengths[:, None] - 1)
    moves -= np.log(np.exp(moves).sum(1, keepdims=True))
    said = np.where(is_beat, np.log(probability)[:, None], np.log((1 - probability) / 15)[:, None])
    best, origins = said[0], []
    for row in said[1:]:
        arrived = best[lasts][:, None] + moves
        origin, moved = np.arange(len(states)) - 1, np.roll(best, 1)
        origin[firsts], moved[firsts] = lasts[arrived.argmax(0)], arrived.max(0)
        origins.append(origin)
        best = moved + row
    course = [int(best.argmax())]
    for origin in reversed(origins):
        course.append(int(origin[course[-1]]))
    return [frame for frame, state in enumerate(reversed(course)) if states[state][1] == 0]


@pytest.mark.parametrize("seed", range(4))
def test_beats_in_blocks_are_those_of_every_state_by_itself(seed: int) -> None:
    random = np.random.default_rng(seed)
    n_frames, interval = int(random.integers(150, 500)), random.uniform(30, 100)
    phase = np.abs((np.arange(n_frames) / interval + random.random() + 0.5) % 1 - 0.5)
    probability = (0.9 * np.exp(-((phase * interval) ** 2) / 4) + random.uniform(0.01, 0.09, n_frames)).clip(
        0, 0.99
    )
    begun = [first for first, _ in beats._most_probable_beats(probability) if first > 0]
    assert begun == [first for first in beats_state_by_state(probability) if first > 0]


def test_peaks_of_all_tracks_are_counted_track_by_track() -> None:
    kind, random = FrameEvents(("beat", "downbeat")), np.random.default_rng(3)
    references, logits, times = [], [], []
    for number in range(6):
        moments = np.arange(80) / 25 + 10 * number % 17
        beat = tuple(np.arange(moments[0] + 0.2, moments[-1], 0.5)) if number != 2 else ()
        references.append((beat, ()))
        logits.append(random.standard_normal((len(moments), 2)))
        times.append(moments)
    found = score("beat_peaks_f1", Predictions(kind, references, logits, times))
    by_height = []
    for height in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5):
        hits = events = 0
        for reference, said, moments in zip(references, logits, times, strict=True):
            probability = 1 / (1 + np.exp(-said[:, 0]))
            peaks = find_peaks(probability, moments, 0.05)
            peaks = peaks[probability[np.searchsorted(moments, peaks)] >= height]
            hits += count_hits(np.array(reference[0]), peaks, 0.07)
            events += len(reference[0]) + len(peaks)
        by_height.append(2 * hits / events)
    assert found == pytest.approx(max(by_height), abs=1e-12)
