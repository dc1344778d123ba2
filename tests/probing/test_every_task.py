"""Every task through the whole probe: noise is at chance, the label itself is known, metrics are as by hand.

Labels are those of the replicas, on as many made-up items as make chance narrow.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import mir_eval
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from probing_data import features_config, store
from solfa.probing import ProbeConfig, probe_features, score
from solfa.probing.beats import decode_beats
from solfa.probing.features import Features
from solfa.probing.splits import Examples, Predictions
from solfa.tasks import SPLITS, TASKS
from solfa.tasks.base import Item, Task
from solfa.tasks.kinds import Classes, FrameClasses, FrameEvents, Numbers, Span, Stems, Tags, classes_at
from tasks import replicas
from tasks.replicas import REPLICAS, Replica, write_replica

REPLICA_OF: dict[str, Replica] = {name: replica for replica in reversed(REPLICAS) for name in replica.tasks}
NAMES = [name for name, task in TASKS.items() if not isinstance(task.kind, Stems)]  # those: test_separation
SECONDS, LABELLED_SECONDS = 12.0, 4.0  # of a recording, and of what a replica says of it
TIMES = np.arange(int(25 * SECONDS)) / 25.0
N_CLIPS, N_TIMED = 80, 16  # items of a split
N_NOISE = 8  # dimensions
CONFIG = ProbeConfig(
    hidden_dim=32, dropout=0.0, lrs=(1e-2,), seeds=(0,), batch=16, n_stretches=400, n_epochs=25,
    stop_patience=25, n_resamples=4,
)  # fmt: skip
SIGMAS = 4.0  # of many labels drawn anew, within which a head that knows nothing must stay
KNOWN = {"beat_f1": 0.9, "r2": 0.85, "tempo_accuracy_1": 0.75}
# A decoder may miss the first beat; two sections of one class that follow each other have no boundary.
HARD = {"beat_f1": 0.95, "downbeat_f1": 0.95, "hr5f": 0.8}
ItemsOf = Callable[[str], list[Item]]


@pytest.fixture(scope="module")
def items_of(tmp_path_factory: pytest.TempPathFactory) -> ItemsOf:
    """Loads a task from its replica, whose recordings are empty where nothing else is needed."""
    roots: dict[str, Path] = {}

    def touch(path: Path, number: int, seconds: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def load(name: str) -> list[Item]:
        replica = REPLICA_OF[name]
        if replica.name not in roots:
            roots[replica.name] = tmp_path_factory.mktemp("root")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(replicas, "write_audio", touch)
                write_replica(replica, roots[replica.name], LABELLED_SECONDS)
        items = list(TASKS[name].load(roots[replica.name] / replica.folder))
        if isinstance(TASKS[name].kind, FrameEvents):  # those of a replica are few
            items = [replace(item, label=beats_at(90.0 + 10 * (n % 6))) for n, item in enumerate(items)]
        return items

    return load


def beats_at(bpm: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Beats in common time, to the end of a recording."""
    moments = tuple(float(moment) for moment in np.arange(0.2, SECONDS - 0.1, 60.0 / bpm))
    return moments, moments[::4]


def is_timed(task: Task) -> bool:
    return isinstance(task.kind, FrameClasses | FrameEvents)


def more_items(task: Task, found: list[Item], random: np.random.Generator) -> list[Item]:
    """Items of each split with labels drawn from those of all splits; numbers are drawn around theirs."""
    labels = list(dict.fromkeys(item.label for item in found))
    items = []
    for split in SPLITS:
        for n in range(N_TIMED if is_timed(task) else N_CLIPS):
            label: Any = labels[int(random.integers(len(labels)))]
            if isinstance(task.kind, Numbers):
                label = tuple(float(value + random.standard_normal()) for value in label)
            if isinstance(task.kind, Tags) and len(labels) < 2:
                label = tuple(np.flatnonzero(random.random(len(task.kind.names)) < 0.3).tolist())
            name = f"{split}{n}"
            items.append(Item(Path(f"{name}.wav"), split, label, track=name, group=name))
    return items


def rows_of(task: Task, label: Any) -> np.ndarray:
    """What features would have to hold for a label to be read off."""
    n = len(task.kind.names)
    match task.kind:
        case Classes():
            return np.eye(n)[[label]]
        case Tags():
            return np.eye(n)[list(label)].sum(0, keepdims=True)
        case Numbers():
            return np.array([label])
        case FrameClasses():
            return np.vstack([np.eye(n), np.zeros(n)])[classes_at(label, TIMES)]
        case FrameEvents():
            return np.stack([frames_of(moments) for moments in label], 1)
    raise AssertionError(task.kind)


def frames_of(moments: tuple[float, ...]) -> np.ndarray:
    """One where a moment is nearest, as a column."""
    column = np.zeros(len(TIMES))
    column[[int(np.abs(TIMES - moment).argmin()) for moment in moments if moment < SECONDS]] = 1.0
    return column


def features_of(folder: Path, task: Task, items: list[Item], random: np.random.Generator | None) -> Features:
    """The labels themselves, or noise."""
    arrays = []
    for item in items:
        rows = rows_of(task, item.label)
        if isinstance(task.kind, Numbers):
            rows = (rows - np.mean([i.label for i in items], 0)) / np.std([i.label for i in items], 0)
        held = rows if random is None else random.standard_normal((len(rows), N_NOISE))
        arrays.append((item, held[:, None].astype(np.float32)))
    rows_are = "frames" if is_timed(task) else "clips"
    return store(folder, arrays, features_config(rows_are, n_layers=1, clip_seconds=None))


def asked(task: Task, features: Features, monkeypatch: pytest.MonkeyPatch) -> tuple[float, Predictions]:
    """The first metric on test, and the answers behind it."""
    heard: list[Predictions] = []

    def listen(name: str, answers: list[Predictions], n_resamples: int) -> tuple[list[float], np.ndarray]:
        heard.append(answers[0])
        return [score(name, answers[0])], np.zeros(1)

    monkeypatch.setattr(import_module("solfa.probing.probe"), "score_seeds", listen)
    first = replace(task, metrics=task.metrics[:1])
    found = probe_features(first, features, "toy", CONFIG, lambda done, note: None)
    return found.scores[0].mean, heard[0]


def score_by_chance(task: Task, answers: Predictions, random: np.random.Generator) -> tuple[float, float]:
    """Mean and deviation of the first metric where answers meet the labels of other tracks."""
    drawn = []
    for _ in range(30):
        order = random.permutation(len(answers.reference))
        drawn.append(
            score(task.metrics[0], replace(answers, reference=[answers.reference[n] for n in order]))
        )
    return float(np.mean(drawn)), float(np.std(drawn))


@pytest.mark.parametrize("name", NAMES)
def test_noise_is_at_chance_and_the_label_itself_is_known(
    tmp_path: Path, items_of: ItemsOf, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    task, random = TASKS[name], np.random.default_rng(0)
    items = more_items(task, items_of(name), random)
    knowing, _ = asked(task, features_of(tmp_path / "label", task, items, None), monkeypatch)
    assert knowing > KNOWN.get(task.metrics[0], 0.95)
    guessing, answers = asked(task, features_of(tmp_path / "noise", task, items, random), monkeypatch)
    if isinstance(task.kind, FrameEvents):  # hits of blind guesses: the share of time that lies near a beat
        assert guessing < 0.45
    else:
        chance, deviation = score_by_chance(task, answers, random)
        assert guessing == pytest.approx(chance, abs=SIGMAS * deviation + 1e-9)
        assert chance < knowing - 0.15


def answers_of(task: Task, items: list[Item], said: Callable[[Item], np.ndarray]) -> Predictions:
    """Constructed answers about the tracks of test."""
    tracks = {item.track: item for item in items if item.split == "test"}.values()
    times = [TIMES] * len(tracks) if is_timed(task) else []
    return Predictions(task.kind, [item.label for item in tracks], [said(item) for item in tracks], times)


@pytest.mark.parametrize("name", NAMES)
def test_right_answers_have_the_best_score(items_of: ItemsOf, name: str) -> None:
    task = TASKS[name]
    answers = answers_of(task, items_of(name), lambda item: right(task, item.label))
    for metric in task.metrics:
        if not (isinstance(task.kind, Tags) and not is_any_tag_scored(answers)):
            assert score(metric, answers) > HARD.get(metric, 0.999), metric


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answers_have_the_score_that_is_counted_by_hand(items_of: ItemsOf, name: str) -> None:
    task, random = TASKS[name], np.random.default_rng(1)
    number = iter(range(10**6))
    answers = answers_of(task, items_of(name), lambda item: partly_wrong(task, item, next(number), random))
    for metric in task.metrics:
        by_hand = BY_HAND.get(metric)
        if by_hand and not (isinstance(task.kind, Tags) and not is_any_tag_scored(answers)):
            assert score(metric, answers) == pytest.approx(by_hand(answers), abs=1e-6), metric


def right(task: Task, label: Any) -> np.ndarray:
    rows = rows_of(task, label)
    if isinstance(task.kind, Numbers):
        return rows[0]
    logits = 12.0 * rows - 6.0
    return logits if is_timed(task) else logits[0]


def partly_wrong(task: Task, item: Item, number: int, random: np.random.Generator) -> np.ndarray:
    """Every second track one class or tag too high; a second of frames; numbers half as far; late beats."""
    said = right(task, item.label)
    match task.kind:
        case Classes():
            return np.roll(said, number % 2)
        case Tags():
            return said + random.standard_normal(len(said)) * 10
        case Numbers():
            return said + 0.3 * (number % 3)
        case FrameClasses():
            return np.where((TIMES < 1.0)[:, None], np.roll(said, 1, 1), said)
    return np.roll(said, number % 3 * 2, 0)


def is_any_tag_scored(answers: Predictions) -> bool:
    carried = [set(label) for label in answers.reference]
    return bool(set.union(*carried) - set.intersection(*carried))


def share_of_right(answers: Predictions) -> float:
    pairs = zip(answers.reference, answers.estimated, strict=True)
    return sum(int(said.argmax()) == label for label, said in pairs) / len(answers.reference)


def key_score(answers: Predictions) -> float:
    names = [name.lower() for name in answers.kind.names]
    pairs = zip(answers.reference, answers.estimated, strict=True)
    scores = [mir_eval.key.weighted_score(names[label], names[said.argmax()]) for label, said in pairs]
    return float(np.mean(scores))


def over_tags(curve: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Predictions], float]:
    def area(answers: Predictions) -> float:
        said, areas = np.stack(list(answers.estimated)), []
        for tag in range(len(answers.kind.names)):
            is_tagged = [tag in label for label in answers.reference]
            if len(set(is_tagged)) == 2:
                areas.append(curve(np.array(is_tagged), said[:, tag]))
        return float(np.mean(areas))

    return area


def share_of_frames(answers: Predictions) -> float:
    n_right = n_counted = 0
    for spans, said in zip(answers.reference, answers.estimated, strict=True):
        for time, row in zip(TIMES, said, strict=True):
            labels = [span.label for span in spans if span.start <= time < span.end]
            n_counted += bool(labels)
            n_right += bool(labels) and int(row.argmax()) == labels[-1]
    return n_right / n_counted


def boundaries(answers: Predictions) -> float:
    scores = []
    for spans, said in zip(answers.reference, answers.estimated, strict=True):
        classes = said.argmax(1)
        starts = [0.0, *(TIMES[n] for n in range(1, len(TIMES)) if classes[n] != classes[n - 1])]
        ends = [*starts[1:], max(spans[-1].end, TIMES[-1] + 1e-3)]
        reference = np.array([(span.start, span.end) for span in spans])
        estimated = np.array(list(zip(starts, ends, strict=True)))
        scores.append(mir_eval.segment.detection(reference, estimated, window=0.5)[2])
    return float(np.mean(scores))


def beats(answers: Predictions) -> float:
    n_hits = n_events = 0
    for (moments, *_), said in zip(answers.reference, answers.estimated, strict=True):
        found = decode_beats(1 / (1 + np.exp(-said[:, 0])), TIMES)
        n_hits += len(mir_eval.util.match_events(np.array(moments), found, 0.07))
        n_events += len(moments) + len(found)
    return 2 * n_hits / n_events


BY_HAND: dict[str, Callable[[Predictions], float]] = {
    "accuracy": share_of_right,
    "key_score": key_score,
    "roc_auc": over_tags(roc_auc_score),
    "pr_auc": over_tags(average_precision_score),
    "r2": lambda answers: r2_score(np.array(answers.reference), np.stack(list(answers.estimated))),
    "frame_accuracy": share_of_frames,
    "hr5f": boundaries,
    "beat_f1": beats,
}


def test_single_frames_of_validation_come_from_the_whole_track(tmp_path: Path) -> None:
    spans = (Span(0.0, 12.0, 0), Span(12.0, 40.0, 1))
    items = [Item(Path(f"{name}.wav"), "valid", spans, track=name, group=name) for name in "ab"]
    config = features_config("frames", 1, clip_seconds=None)
    numbers = np.arange(1000, dtype=np.float32)[:, None, None].repeat(2, 2)
    features = store(tmp_path, [(items[0], numbers), (items[1], numbers[:90])], config)
    thinned = Examples(TASKS["free_chords"], features, "valid", None, 4, n_most_rows=200, keeps="single rows")
    assert thinned.n_rows == [100, 90]
    assert thinned.arrays[0][:, 0, 0].tolist() == list(range(0, 1000, 10))
    np.testing.assert_allclose(thinned.times[0], np.arange(100) * 0.4)
    assert thinned.targets[0].tolist() == [0] * 30 + [1] * 70
    rows = torch.cat(list(thinned.blocks()), 1)
    assert rows[0, :, 0].tolist() == [*range(0, 1000, 10), *range(90)]


def test_a_crop_of_validation_keeps_what_its_label_says_of_it(tmp_path: Path) -> None:
    task = TASKS["free_chords"]
    spans = (Span(0.0, 12.0, 0), Span(12.0, 40.0, 1))
    item = Item(Path("a.wav"), "valid", spans, track="a", group="a")
    config, rows = features_config("frames", 1, clip_seconds=None), np.zeros((1000, 1, 2), np.float32)
    features = store(tmp_path, [(item, rows)], config)
    cropped = Examples(task, features, "valid", None, 4, n_most_rows=0)
    assert (len(cropped.arrays[0]), cropped.times[0][0]) == (125, 17.48)
    assert cropped.items[0].label == (Span(17.48, 22.48, 1),)
    beats_item = replace(item, label=((1.0, 15.0, 20.0, 25.0), (20.0,)))
    features = store(tmp_path, [(beats_item, rows)], config)
    cropped = Examples(TASKS["free_beats"], features, "valid", None, 4, n_most_rows=0)
    assert cropped.items[0].label == ((20.0,), (20.0,))
