"""Frames between their neighbours: order, ends, thinning, and what a probe learns from them."""

from pathlib import Path

import numpy as np
import torch

from probing_data import CONFIG, features_config, make_task, store
from solfa.probing import ProbeConfig
from solfa.probing.context import FramesInContext
from solfa.probing.heads import CONCATENATED, Sizes, initial_weights, n_weights
from solfa.probing.probe import probe_features
from solfa.probing.splits import Examples
from solfa.tasks.base import SPLITS, Item
from solfa.tasks.kinds import FrameClasses, Span

FRAMES = np.arange(6 * 2 * 3, dtype=np.float32).reshape(6, 2, 3)


def test_a_row_is_a_frame_between_its_neighbours_in_order_of_time() -> None:
    rows = FramesInContext.of(FRAMES, reach=2)
    assert rows.shape == (6, 2, 15)
    expected = np.concatenate([FRAMES[n, 1] for n in (1, 2, 3, 4, 5)])
    np.testing.assert_array_equal(rows[3:4][0, 1], expected)


def test_the_first_and_the_last_frame_stand_beyond_the_ends() -> None:
    first = FramesInContext.of(FRAMES, reach=2)[:1][0, 0]
    np.testing.assert_array_equal(first, np.concatenate([FRAMES[n, 0] for n in (0, 0, 0, 1, 2)]))


def test_thinned_rows_keep_the_neighbours_of_the_whole_track() -> None:
    rows = FramesInContext.of(FRAMES, reach=1)
    np.testing.assert_array_equal(rows.some(slice(None, None, 2))[:], rows[:][::2])
    np.testing.assert_array_equal(rows.some(slice(2, 5)).some(slice(1, 2))[:], rows[:][3:4])


def test_all_layers_side_by_side_are_brought_to_the_width_of_one_state() -> None:
    sizes = Sizes(dim=10, state_dim=2, hidden_dim=4, n_outputs=3)
    weights = initial_weights(CONCATENATED, 3, sizes, seed=0)
    assert weights["concat"].shape == (30, 2)
    assert weights["hidden"].shape == (2, 4)
    assert sum(weight.numel() for weight in weights.values()) == n_weights(CONCATENATED, 3, sizes)


def test_what_only_the_next_frame_tells_is_learned_from_neighbours_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    items = []
    for split in SPLITS:
        for n in range(3):
            classes = random.integers(0, 2, 60)
            rows = 0.1 * random.standard_normal((60, 2, 4)).astype(np.float32)
            rows[1:, 1, 0] += classes[:-1]  # a frame shows the class of the one before
            spans = tuple(Span(k * 0.04, (k + 1) * 0.04, int(c)) for k, c in enumerate(classes))
            name = f"{split}{n}"
            items.append((Item(Path(name), split, spans, track=name, group=name), rows))
    task = make_task(FrameClasses(("a", "b")), ("frame_accuracy",))
    features = store(tmp_path, items, features_config("frames", n_layers=2, clip_seconds=None))
    found = [
        probe_features(
            task, features, "toy",
            ProbeConfig(reach_frames=reach, seeds=(0,), lrs=(1e-2,), n_epochs=40, **CONFIG),
            lambda done, note: None,
        ).scores[0].mean
        for reach in (0, 1)
    ]  # fmt: skip
    assert found[0] < 0.7
    assert found[1] > 0.9
    valid = Examples(task, features, "valid", None, 4, 30, "single rows", reach=1)
    assert torch.cat(list(valid.blocks()), 1).shape[2] == 12
