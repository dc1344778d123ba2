"""The whole probe: chance on noise, everything on the label; test is never looked at before the choice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from probing_data import CONFIG, classes_task, features_config, make_task, store, write_features
from solfa.probing import ProbeConfig, ProbeResult, probe_features
from solfa.probing.features import Features
from solfa.probing.splits import Examples
from solfa.tasks.base import SPLITS, Item
from solfa.tasks.kinds import Classes, FrameClasses, FrameEvents, LabelKind, Numbers, Span, Tags

RANDOM = np.random.default_rng(0)
QUICK = ProbeConfig(**CONFIG | {"batch": 16}, lrs=(1e-2,), seeds=(0,), n_epochs=30, stretch_frames=16)
FRAME_TIMES = np.arange(50) / 25.0
N_PER_SPLIT, DIM = 60, 4


def run(task: Any, features: Features, config: ProbeConfig = QUICK) -> ProbeResult:
    return probe_features(task, features, "toy-model", config, lambda done, note: None)


def labelled(kind: LabelKind) -> tuple[Any, np.ndarray]:
    """A label, and what a row or each frame would have to hold for it to be read off."""
    values = RANDOM.standard_normal(2)
    match kind:
        case Classes():
            label = int(values[0] > 0)
            return label, np.eye(2)[[label]]
        case Tags():
            return tuple(np.flatnonzero(values > 0).tolist()), (values[None] > 0).astype(float)
        case Numbers():
            return tuple((50 + 10 * values).tolist()), values[None]
        case FrameClasses():
            middle = float(RANDOM.integers(10, 40)) / 25
            label = (Span(0.0, middle, 0), Span(middle, 2.0, 1))
            return label, np.eye(2)[(middle <= FRAME_TIMES).astype(int)]
        case FrameEvents():
            events = np.arange(float(RANDOM.integers(2, 10)) / 25, 1.9, 0.4)
            nearest = np.abs(FRAME_TIMES[:, None] - events[None]).min(1) < 0.02
            return (tuple(events.tolist()),), np.stack([nearest, ~nearest], 1).astype(float)
    raise AssertionError


def made_up(folder: Path, kind: LabelKind, *, has_label: bool) -> Features:
    """Two layers of noise, or in the second one the label itself."""
    is_timed = isinstance(kind, FrameClasses | FrameEvents)
    items = []
    for split in SPLITS:
        for n in range(N_PER_SPLIT // (3 if is_timed else 1)):
            label, held = labelled(kind)
            rows = RANDOM.standard_normal((len(held), 2, DIM)).astype(np.float32)
            if has_label:
                rows[:, 1, :2] = held
            name = f"{split}{n}"
            items.append((Item(Path(f"{name}.wav"), split, label, track=name, group=name), rows))
    config = features_config("frames" if is_timed else "clips", n_layers=2, clip_seconds=None)
    return store(folder, items, config)


KINDS = [  # kind, metric, score by chance, how far noise may be from it, what the label must reach
    (Classes(("a", "b")), "accuracy", 0.5, 0.2, 0.97),
    (Tags(("a", "b")), "roc_auc", 0.5, 0.2, 0.97),
    (Numbers(("a", "b")), "r2", 0.0, 0.6, 0.93),
    (FrameClasses(("a", "b")), "frame_accuracy", 0.5, 0.2, 0.97),
    (FrameEvents(("beat",)), "beat_f1", 0.2, 0.4, 0.8),  # two seconds are few for a model of tempo
]


@pytest.mark.parametrize(("kind", "metric", "chance", "margin", "known"), KINDS, ids=[k[1] for k in KINDS])
def test_noise_is_at_chance_and_the_label_itself_is_known(
    tmp_path: Path, kind: LabelKind, metric: str, chance: float, margin: float, known: float
) -> None:
    task = make_task(kind, (metric,))
    knowing = run(task, made_up(tmp_path / "label", kind, has_label=True))
    guessing = run(task, made_up(tmp_path / "noise", kind, has_label=False))
    assert knowing.scores[0].mean > known
    assert guessing.scores[0].mean == pytest.approx(chance, abs=margin)
    single = {entry.layer: entry.mean for entry in knowing.layers}
    assert single[1] > single[0] + 0.2


def test_labels_of_test_do_not_change_what_is_chosen(tmp_path: Path) -> None:
    task = classes_task(("a", "b"))
    features = write_features(tmp_path, task, n_per_split=24, n_layers=2, dim=4, label_layer=1, noise=1.0)
    other = [
        (Item(i.path, i.split, 1 - i.label if i.split == "test" else i.label, i.track, i.group), key)  # type: ignore[operator]
        for i, key in features.kept
    ]
    turned = Features(features.folder, features.config, tuple(other), (), 0)
    one, two = run(task, features), run(task, turned)
    assert (one.layer, one.lr, one.epochs, one.layers) == (two.layer, two.lr, two.epochs, two.layers)
    assert one.scores[0].mean == pytest.approx(1 - two.scores[0].mean)


def test_clips_of_a_track_are_averaged_before_they_are_scored(tmp_path: Path) -> None:
    task = classes_task(("a", "b"))
    features = write_features(tmp_path, task, n_per_split=4, n_layers=1, dim=2, label_layer=0, n_clips=3)
    test = Examples(task, features, "test", None, 1)
    logits = np.tile([[3.0, 0.0], [0.0, 1.0], [0.0, 1.0]], (4, 1))
    np.testing.assert_allclose(test.answers(logits).estimated, np.tile([1.0, 2 / 3], (4, 1)))
    shares = Examples(
        make_task(task.kind, ("accuracy",), averages="probabilities"), features, "test", None, 1
    )
    softmax = np.exp(logits[:3]) / np.exp(logits[:3]).sum(1, keepdims=True)
    np.testing.assert_allclose(shares.answers(logits).estimated[0], softmax.mean(0))


def test_numbers_are_scored_in_their_own_unit(tmp_path: Path) -> None:
    kind = Numbers(("bpm", "db"))
    result = run(make_task(kind, ("r2",)), made_up(tmp_path, kind, has_label=True))
    assert [score.metric for score in result.scores] == ["r2", "r2_bpm", "r2_db"]
    assert min(score.mean for score in result.scores) > 0.9


def test_tags_that_no_test_track_has_are_named(tmp_path: Path) -> None:
    kind = Tags(("a", "b", "never"))
    result = run(make_task(kind, ("roc_auc",)), made_up(tmp_path, kind, has_label=True))
    assert result.left_out == ("never",)


def test_standardised_features_do_not_depend_on_their_scale(tmp_path: Path) -> None:
    task = classes_task(("a", "b"))
    features = write_features(tmp_path, task, n_per_split=24, n_layers=2, dim=4, label_layer=1)
    config = ProbeConfig(**CONFIG, lrs=(1e-3,), seeds=(0,), n_epochs=3, is_standardised=True)
    before = run(task, features, config)
    for _, key in features.kept:
        path = features.folder / "items" / f"{key}.npy"
        np.save(path, (1000 * np.load(path) + 7).astype(np.float32))
    after = run(task, features, config)
    assert [e.by_seed for e in after.layers] == [e.by_seed for e in before.layers]


def test_a_track_with_two_labels_is_refused(tmp_path: Path) -> None:
    task = classes_task(("a", "b"))
    items = [
        (Item(Path("a.wav"), "train", label, track="same", group="g"), np.zeros((1, 1, 2), np.float32))
        for label in (0, 1)
    ]
    with pytest.raises(ValueError, match="Give them tracks of their own"):
        Examples(task, store(tmp_path, items, features_config(n_layers=1)), "train", None, 1)


def test_a_split_without_items_is_refused(tmp_path: Path) -> None:
    task = classes_task(("a", "b"))
    features = write_features(tmp_path, task, n_per_split=2, n_layers=1, dim=2, label_layer=0)
    kept = tuple((item, key) for item, key in features.kept if item.split != "valid")
    with pytest.raises(ValueError, match="no valid items"):
        run(task, Features(features.folder, features.config, kept, (), 0))
