"""What layers know of six tasks of the free benchmark, on validation, in minutes: to choose between recipes.

    python benchmarks/quick_probe.py RUN [RUN ...] --data data --features runs/features [--layers 0,1,7]

Every layer is read as mean and deviation of a clip, standardised, by ridge regression onto the labels,
whose strength is chosen by leave-one-out on the training side. Nothing of test is looked at. The table
has the first metric of each task and their mean. Names of baselines, such as `statistics` or
`untrained:RUN`, stand for runs. It chooses between recipes; `solfa probe` is what says how good one is.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from solfa.models import AudioEncoder, load_encoder
from solfa.probing.baselines import Baseline, is_baseline, load_baseline
from solfa.probing.features import extract
from solfa.probing.scoring import score
from solfa.probing.splits import Examples
from solfa.tasks import Item, Task, load_items, task

TASKS = ("free_key", "free_pitch", "free_instruments", "free_drums", "free_style", "free_game")
STRENGTHS = np.logspace(1, 5, 9)


def some_of(items: Sequence[Item], n_most: int) -> list[Item]:
    """Those of training and validation, ``n_most`` of each at even distances: the same for every model."""
    chosen: list[Item] = []
    for split in ("train", "valid"):
        of_split = [item for item in items if item.split == split]
        chosen += of_split[:: -(-len(of_split) // n_most)]
    return chosen


def scores_of(
    asked: Task, items: Sequence[Item], encoder: AudioEncoder | Baseline, layers: list[int], place: Path
) -> dict[int, float]:
    """The task's first metric on validation, layer by layer."""
    features = extract(asked, items, encoder, place, layers=layers, pool="mean+std")
    scale = asked.kind.scale([item.label for item, _ in features.kept if item.split == "train"])
    train, valid = (Examples(asked, features, split, scale, 1) for split in ("train", "valid"))
    found = {}
    targets = train.targets[0]
    wanted = np.eye(len(asked.kind.names))[targets] if targets.ndim == 1 else targets
    for number, layer in enumerate(layers):
        scaler = StandardScaler().fit(train.arrays[0][:, number])
        model = RidgeCV(STRENGTHS).fit(scaler.transform(train.arrays[0][:, number]), wanted)
        said = model.predict(scaler.transform(valid.arrays[0][:, number]))
        found[layer] = 100 * score(asked.metrics[0], valid.answers(said.astype(np.float32)))
    return found


def main() -> None:
    """Probe and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--layers", default="")
    parser.add_argument("--most", type=int, default=600, help="items of a split")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = arguments.tasks.split(",")
    print(
        f"{'':28}{'layer':>6}"
        + "".join(f"{name.removeprefix('free_')[:9]:>10}" for name in names)
        + "      mean"
    )
    table: list[dict[str, object]] = []
    for name in arguments.models:
        begun = time.process_time()
        encoder = load_baseline(name) if is_baseline(name) else load_encoder(name)
        known = list(range(encoder.n_layers + 1))
        layers = [int(n) for n in arguments.layers.split(",")] if arguments.layers else known
        layers = [n for n in layers if n in known]
        by_task = {}
        for one in names:
            asked = task(one)
            items = some_of(load_items(one, [arguments.data]), arguments.most)
            by_task[one] = scores_of(asked, items, encoder, layers, arguments.features)
        for layer in layers:
            row = [by_task[one][layer] for one in names]
            print(
                f"{name[-28:]:28}{layer:6}"
                + "".join(f"{value:10.1f}" for value in row)
                + f"{np.mean(row):10.1f}"
            )
            table.append({"model": name, "layer": layer, **dict(zip(names, row, strict=True))})
        print(f"{'':34}{time.process_time() - begun:.0f} s of processor time", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
