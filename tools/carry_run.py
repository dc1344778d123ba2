"""Carry a run to another machine in two small files: what was learned, in half precision.

    python tools/carry_run.py pack runs/long checkpoints/solfa-small-ssl
    python tools/carry_run.py unpack checkpoints/solfa-small-ssl runs/begun
    solfa train RECIPE --start-from runs/begun ... --out runs/longer

A checkpoint of `solfa_small` with its optimiser is too large for a repository. `pack` writes the weights of
the newest checkpoint (those that learn, not their running mean) as `encoder.safetensors` and
`others.safetensors`: predictor, heads and quantizers, so that a run that goes on from there need not learn
or fit them again. The optimiser begins anew. `unpack` joins both to a folder that `--start-from` and
`solfa.load` read, and writes the quantizers of its predictions beside it: `begun-quantizer-0` for
`objective.predictions.0.target.fitted`, and so on.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from solfa.checkpoint import CONFIG, WEIGHTS, load_training, step_folder
from solfa.json_files import read_json_object, write_json
from solfa.runs import weights_file

STEP = "step.json"
PARTS = ("encoder", "others")


def pack(run: Path, out: Path) -> None:
    """Write the newest weights of a run as two files, with its configuration and those of its quantizers."""
    newest = weights_file(run)
    average = load_training(newest.parent, torch.device("cpu")).get("average", {})
    learned = load_file(newest) | dict(average.get("weights", {}))
    out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    for name, weight in learned.items():
        parts[PARTS[not name.startswith("encoder.")]][name] = (
            weight.half() if weight.is_floating_point() else weight
        )
    for part, weights in parts.items():
        save_file(weights, out / f"{part}.safetensors")
    config = read_json_object(run / CONFIG)
    shutil.copy(run / CONFIG, out)
    write_json(out / STEP, {"step": int(newest.parent.name.rpartition("-")[2])})
    for number, fitted in enumerate(_fitted(config)):
        if fitted:
            shutil.copy(Path(fitted) / CONFIG, out / f"quantizer-{number}.json")


def unpack(packed: Path, out: Path) -> None:
    """Join the two files to a run, and write its quantizers as runs of their own."""
    weights: dict[str, Tensor] = {}
    for part in PARTS:
        stored = load_file(packed / f"{part}.safetensors")
        weights |= {name: w.float() if w.dtype == torch.float16 else w for name, w in stored.items()}
    step = read_json_object(packed / STEP)["step"]
    _write(out, step, weights, packed / CONFIG)
    for path in sorted(packed.glob("quantizer-*.json")):
        number = path.stem.rpartition("-")[2]
        prefix = f"targets.{number}."
        own = {f"target.{n.removeprefix(prefix)}": w for n, w in weights.items() if n.startswith(prefix)}
        _write(out.with_name(f"{out.name}-{path.stem}"), 1, own, path)


def _fitted(config: dict[str, Any]) -> list[str]:
    """Of each prediction, the run that its target was fitted in; empty if it was not."""
    return [prediction["target"].get("fitted", "") for prediction in config["objective"]["predictions"]]


def _write(run: Path, step: int, weights: dict[str, Tensor], config: Path) -> None:
    folder = step_folder(run, step)
    folder.mkdir(parents=True)
    save_file(weights, folder / WEIGHTS)
    shutil.copy(config, run / CONFIG)


def main() -> None:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    {"pack": pack, "unpack": unpack}[arguments.what](arguments.source, arguments.out)


if __name__ == "__main__":
    main()
