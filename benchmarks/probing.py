"""How much a whole grid of probes costs beside one head: processor time of both in the same run.

    python benchmarks/probing.py --layers 9 --dim 192 --clips 3000 --classes 24
    python benchmarks/probing.py --layers 9 --dim 192 --clips 400 --frames 750 --classes 25

Features are drawn, with the class faintly in one layer, so that heads learn and stop as they do on music. The
grid is timed side by side; single layers at one rate, and both mixes, are timed alone. Every head trains for
the same number of epochs.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from solfa.probing.clip_features import FeaturesConfig
from solfa.probing.features import Features
from solfa.probing.grid import ProbeConfig, Shape, fit_grid, list_heads
from solfa.probing.heads import Head
from solfa.probing.splits import Examples
from solfa.tasks import SPLITS, Classes, FrameClasses, Item, Span, Task
from solfa.tasks.base import ClipRule

HOP_SECONDS = 0.04


def make_features(folder: Path, given: argparse.Namespace) -> tuple[Task, Features]:
    """Items to train, a third as many to validate, and their features on the disk."""
    random = np.random.default_rng(0)
    classes = tuple(f"class {n}" for n in range(given.classes))
    said = dict.fromkeys(("licence", "size", "split_source", "faults", "download", "source"), "made up")
    kind = FrameClasses(classes) if given.frames else Classes(classes)
    metric = "frame_accuracy" if given.frames else "accuracy"
    task = Task(
        name="made_up", title="Made up", kind=kind, metrics=(metric,), clips=ClipRule(seconds=None),
        load=lambda folder: (), **said,
    )  # fmt: skip
    kept = []
    (folder / "items").mkdir()
    for split in SPLITS[:2]:
        for n in range(given.clips if split == "train" else given.clips // 3):
            label = int(random.integers(given.classes))
            rows = random.standard_normal((given.frames or 1, given.layers, given.dim), np.float32)
            rows[:, given.layers // 2, label] += 2.0
            np.save(
                folder / "items" / f"{split}{n}.npy", rows.astype(np.float16 if given.frames else np.float32)
            )
            value = (Span(0.0, HOP_SECONDS * given.frames, label),) if given.frames else label
            name = f"{split}{n}"
            kept.append((Item(Path(name), split, value, track=name, group=name), name))
    config = FeaturesConfig(
        weights="0" * 64, rows="frames" if given.frames else "clips", layers=tuple(range(given.layers)),
        sample_rate=24_000, hop_length=960, clip_seconds=None, frames_per_clip=None, min_ratio=0.8,
        channel="mean", n_most=None, window_seconds=30.0, context_seconds=0.0, wraps=False,
        precision="float32",
    )  # fmt: skip
    return task, Features(folder, config, tuple(kept), (), len(kept))


def main() -> None:
    """Time the grid, and heads alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("layers", 9), ("dim", 192), ("clips", 3000), ("frames", 0), ("classes", 24)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    config = ProbeConfig(n_epochs=given.epochs, seeds=tuple(range(given.seeds)), stop_patience=10**6)
    with TemporaryDirectory() as folder:
        task, features = make_features(Path(folder), given)
        stretch = config.stretch_frames if given.frames else 1
        train = Examples(task, features, "train", None, stretch)
        valid = Examples(task, features, "valid", None, stretch, config.valid_frames, "single rows")
        shape = Shape(features.config.layers, given.dim, given.dim, given.classes, task.kind, task.metrics[0])

        def seconds(heads: Sequence[Head]) -> float:
            begun = time.process_time()
            fit_grid(heads, train, valid, shape, config)
            return time.process_time() - begun

        heads = list_heads(shape.layers, config)
        seconds(heads[:1])
        grid, one = seconds(heads), seconds(heads[:1])
        mixes = [head for head in heads if isinstance(head.layer, str) and head.lr == config.lrs[0]]
        alone = dict.fromkeys(shape.layers, one) | {head.layer: seconds([head]) for head in mixes}
    in_turn = sum(alone[head.layer] for head in heads)
    print(
        f"{len(heads)} heads side by side: {grid / given.epochs:.2f} s of processor time for an epoch; one "
        f"head alone: {one / given.epochs:.3f} s (ratio {grid / one:.0f}); one after another: "
        f"{in_turn / given.epochs:.2f} s ({in_turn / grid:.1f} times the grid)"
    )


if __name__ == "__main__":
    main()
