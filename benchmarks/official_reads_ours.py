"""Models of solfa, written by ``solfa export official`` and read by the official programs.

    python benchmarks/official_reads_ours.py [--runs runs/muq_small runs/mert_small] [--models muq_tiny]

MuQ is read by PyPI's muq 0.1.0, MERT by the HuBERT of transformers 4.57.6, in the environment that
against_official.py builds. For each model it says whether the file holds exactly the tensors, by name and
shape, that the official program makes of its config.json, and by how much the hidden states of both sides
differ. Without --runs it takes random weights of four recipes, some of them in variants; --models chooses.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from against_official import (
    BUILD,
    OFFICIAL_SIDE,
    Side,
    build_environment,
    layer_differences,
    made_waveform,
)
from safetensors.torch import load_file

import solfa
from solfa import checkpoint
from solfa.config import override, save_config
from solfa.models import MuQ, save_official
from solfa.objectives import build_objective
from solfa.recipes import recipe

NORM, CHANNELS = "objective.encoder.transformer.norm", "objective.encoder.convolutions.norm"
HALF_THE_STRIDE = {
    "objective.encoder.stem.time_strides": [2, 1],
    "objective.predictions.0.target.frames.n_stacked": 2,
    "objective.predictions.0.target.quantizer.dim": 256,
}
RANDOM: dict[str, tuple[str, dict[str, Any]]] = {
    "muq_tiny": ("muq_tiny", {}),
    "muq_tiny at 50 Hz": ("muq_tiny", HALF_THE_STRIDE),
    "muq_tiny without codes": ("muq_tiny", {"objective.predictions": []}),
    "muq_small": ("muq_small", {}),
    "mert_tiny": ("mert_tiny", {}),
    "mert_small": ("mert_small", {}),
    "mert_small, norm after": ("mert_small", {NORM: "after"}),
    "mert_small, norm over channels": ("mert_small", {CHANNELS: "channels"}),
}


def random_run(name: str, changes: dict[str, Any], folder: Path) -> Path:
    """The folder of a run of a recipe at step 0; no norm and no bias is trivial."""
    torch.manual_seed(0)
    config = override(recipe(name), changes)
    weights = build_objective(config.objective).state_dict()
    for tensor in weights.values():
        if tensor.ndim == 1 and tensor.is_floating_point():
            tensor.add_(0.3 * torch.rand_like(tensor))
    checkpoint.save(folder, 0, weights, {})
    save_config(config, folder / checkpoint.CONFIG)
    return folder


def check(title: str, run: Path, python: Path, scratch: Path, seconds: float) -> bool:
    """Export a run, have it read, print a row; whether both sides agree."""
    official = save_official(run, scratch / "official")
    encoder = solfa.load(run)
    kind = "muq" if isinstance(encoder, MuQ) else "mert"
    asked = subprocess.run(
        [python, OFFICIAL_SIDE, "names", kind, official], check=True, capture_output=True, text=True
    )
    wanted = json.loads(asked.stdout.splitlines()[-1])
    written = {name: list(w.shape) for name, w in load_file(official / checkpoint.WEIGHTS).items()}
    waveform = made_waveform(2, seconds)
    np.save(scratch / "waveform.npy", waveform)
    (scratch / "ours").mkdir()
    with torch.no_grad():
        states = encoder(torch.from_numpy(waveform)).states
    for layer, state in enumerate(states):
        np.save(scratch / "ours" / f"{layer}.npy", state.numpy())
    (scratch / "theirs").mkdir()
    with Side([python, OFFICIAL_SIDE, "serve", kind, official], threads=1) as side:
        side.ask(waveform=str(scratch / "waveform.npy"))
        n_layers = side.ask(save=str(scratch / "theirs"))["n_layers"]
    differences = layer_differences(scratch / "theirs", scratch / "ours", n_layers)
    absolute, relative = differences["difference"], differences["relative_difference"]
    wrong = sorted(n for n in written.keys() | wanted.keys() if written.get(n) != wanted.get(n))
    names = f"{len(wrong)} WRONG: {', '.join(wrong[:3])}" if wrong else f"{len(written)}, all"
    print(
        f"| {title} | {names} | {n_layers} of {len(states)} | {absolute:.1e} | {relative:.1e} |", flush=True
    )
    return not wrong and n_layers == len(states) and relative < 1e-4


def main() -> None:
    """Check every model; exit code 1 if one of them is read as something else."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", nargs="+", type=Path, help="run folders, instead of random weights")
    parser.add_argument("--models", nargs="+", choices=RANDOM, default=list(RANDOM))
    parser.add_argument("--seconds", type=float, default=5.0, help="of the two clips")
    parser.add_argument("--environment", type=Path, default=BUILD / "official_environment")
    arguments = parser.parse_args()
    python = build_environment(arguments.environment.absolute())
    print("| model | tensors asked for | layers | largest difference | by the layer's largest value |")
    print("|---|---|---|---|---|")
    agreed = []
    for title in arguments.runs or arguments.models:
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            run = title if arguments.runs else random_run(*RANDOM[title], scratch / "run")
            agreed.append(check(str(title), run, python, scratch, arguments.seconds))
    sys.exit(0 if all(agreed) else 1)


if __name__ == "__main__":
    main()
