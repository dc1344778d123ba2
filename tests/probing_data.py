"""Tasks and features made up for the probes' tests."""

from pathlib import Path
from typing import Any

import numpy as np

from solfa.probing.clip_features import FeaturesConfig, Rows
from solfa.probing.features import Features
from solfa.tasks.base import SPLITS, ClipRule, Item, Task
from solfa.tasks.kinds import Classes, LabelKind

CONFIG: dict[str, Any] = {"hidden_dim": 16, "batch": 8, "n_resamples": 20}  # of a probe that takes no time


def make_task(kind: LabelKind, metrics: tuple[str, ...], **changes: Any) -> Task:
    """A task that loads nothing."""
    said = dict.fromkeys(("licence", "size", "split_source", "faults", "download", "source"), "unknown")
    values: dict[str, Any] = {
        "name": "toy", "title": "Toy", "kind": kind, "metrics": metrics,
        "clips": ClipRule(seconds=1.0), "load": lambda folder: (), **said, **changes,
    }  # fmt: skip
    return Task(**values)


def classes_task(names: tuple[str, ...]) -> Task:
    """One class for each item."""
    return make_task(Classes(names), ("accuracy",))


def features_config(rows: Rows = "clips", n_layers: int = 3, **changes: Any) -> FeaturesConfig:
    """Features of an encoder of 25 Hz."""
    values: dict[str, Any] = {
        "weights": "0" * 64, "rows": rows, "layers": tuple(range(n_layers)), "sample_rate": 24_000,
        "hop_length": 960, "clip_seconds": 1.0, "frames_per_clip": 25, "min_ratio": 0.8, "channel": "mean",
        "n_most": None, "window_seconds": 2.0, "context_seconds": 0.0, "wraps": False, "precision": "float32",
        **changes,
    }  # fmt: skip
    return FeaturesConfig(**values)


def store(folder: Path, items: list[tuple[Item, np.ndarray]], config: FeaturesConfig) -> Features:
    """Features as if they had been computed."""
    (folder / "items").mkdir(parents=True, exist_ok=True)
    kept = []
    for number, (item, rows) in enumerate(items):
        np.save(folder / "items" / f"{number}.npy", rows)
        kept.append((item, str(number)))
    return Features(folder, config, tuple(kept), (), len(kept))


def write_features(
    folder: Path,
    task: Task,
    *,
    n_per_split: int,
    n_layers: int,
    dim: int,
    label_layer: int | None,
    noise: float = 0.3,
    n_clips: int = 1,
) -> Features:
    """Noise in every layer; in ``label_layer`` also the class, as a one among the first dimensions."""
    random = np.random.default_rng(0)
    n_classes = len(task.kind.names)
    items = []
    for split in SPLITS:
        for n in range(n_per_split):
            label, name = n % n_classes, f"{split}{n}"
            rows = random.standard_normal((n_clips, n_layers, dim)).astype(np.float32)
            if label_layer is not None:
                rows[:, label_layer] *= noise
                rows[:, label_layer, label] += 1.0
            items.append((Item(Path(f"{name}.wav"), split, label, track=name, group=name), rows))
    return store(folder, items, features_config(n_layers=n_layers))
