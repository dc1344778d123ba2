"""The mission's table: what each part of the recipe teaches, at equal processor time and on equal data.

    python benchmarks/mission.py train --work runs/mission --train mix.jsonl --valid mix-valid.jsonl \
        --spectra spectra [--arm two_step --arm one_step ...] [--seed 1] [--minutes 30]
    python benchmarks/mission.py probe --work runs/mission --data data [--seeds 3]

`train` trains one arm after the other, each for so many minutes of processor time on one thread: a few
steps of a run that is thrown away say how many steps that is, and these stand in the arm's `config.json`.
Called again it goes on where it was interrupted. Quantizers are fitted once, in the same folder, for every
arm. So are a codec and its codes for `mert`, and codes of states of `two_step` for `second_iteration`,
which wants that arm of the same seed to be done; neither is counted.
`probe` measures all arms that are done, untrained encoders (of mel, and of both halves) and `statistics`
at every task of the free benchmark, with one readout, and compares each with the untrained ones: paired, with
intervals. What it wrote before, on whatever machine, is not measured again: keep the folder `probes`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from solfa.config import load_config, override
from solfa.probing import load_results
from solfa.recipes import recipe
from solfa.training import Placement, RunConfig, Trainer

QUANTIZERS = ("mel_rvq_small", "cqt_rvq_small")
TARGET = "objective.predictions.{}.target"
LEAN = {
    "objective.agreement": None,
    "objective.transposition": None,
    "objective.guard": None,
    "objective.masking.whole_share": 0.0,
    "data.clips_per_track": 1,
}
PROJECTION = {
    "kind": "mel_random_projection",
    "frames": {"level": "removed"},
    "quantizer": {"codebook_size": 8192},
}


@dataclass(frozen=True)
class Arm:
    """A row of the table: a recipe, and what is set otherwise."""

    recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    quantizers: tuple[str, ...] = QUANTIZERS  # of its predictions, in their order
    stored: str = ""  # codes that are made of tracks beforehand, and learned from


ARMS = {
    "one_step": Arm("solfa_small_mel", {"objective.predictor": None}, QUANTIZERS[:1]),
    "two_step": Arm("solfa_small_mel", {}, QUANTIZERS[:1]),
    "projection": Arm(
        "solfa_small_mel",
        {TARGET.format(0): PROJECTION, "objective.predictions.0.head": {"kind": "linear"}},
        (),
    ),
    "two_step_cqt": Arm("solfa_small", LEAN),
    "two_step_all": Arm("solfa_small"),
    "mert": Arm(
        "solfa_small_mel",
        {
            "objective.predictions": [
                {"target": {"kind": "stored_codes"}},
                {"target": {"kind": "log_cqt_frames"}},
            ]
        },
        (),
        "codec",
    ),
    "second_iteration": Arm(
        "solfa_small_mel",
        {TARGET.format(0): {"kind": "stored_codes", "n_codebooks": 4, "codebook_size": 512}},
        (),
        "states",
    ),
}
CODEC = {"objective.codec.strides": [8, 6, 5, 4], "n_steps": 400}  # 25 frames a second, as the encoder's
STATES_LAYER = 5  # of 7, that teaches a second iteration
STATES_RVQ = {
    "objective.target.quantizer.dim": 256,
    "objective.target.quantizer.n_codebooks": 4,
    "objective.target.quantizer.codebook_size": 512,
}
UNTRAINED = ("two_step_1", "two_step_cqt_1")  # runs whose encoders are measured untrained, too
N_TIMED, N_SKIPPED = 8, 2  # steps that say what a step costs; the first ones build what later ones use


def settings(arm: Arm, arguments: argparse.Namespace) -> RunConfig:
    """What an arm's run is, but for its number of steps."""
    changes: dict[str, Any] = {
        "data.manifest": str(arguments.train),
        "data.valid_manifest": str(arguments.valid),
        "data.spectra": str(arguments.spectra),
        "seed": arguments.seed,
        "average.decay": 0.99,  # the mean of a short run is of its last hundred steps
        "optim.warmup_steps": 100,
        "checkpoint_every": 50,
    }
    if arm.stored:
        changes["data.codes"] = str(codes_of(arm.stored, arguments))
    fitted = {
        TARGET.format(place) + ".fitted": str(arguments.work / name)
        for place, name in enumerate(arm.quantizers)
    }
    return override(recipe(arm.recipe), dict(arm.changes) | changes | fitted)


def codes_of(stored: str, arguments: argparse.Namespace) -> Path:
    """Where an arm's stored codes lie."""
    return Path(arguments.work) / f"{stored}_codes_{arguments.seed}"


def store_codes(stored: str, arguments: argparse.Namespace) -> None:
    """Fit what makes an arm's codes, and make them of all tracks; what is there is not made again."""
    work, lists = Path(arguments.work), (arguments.train, arguments.valid)
    codes, more = codes_of(stored, arguments), []
    if stored == "codec":
        target, settings_of = work / "codec", recipe("rvq_vae")
        changes: dict[str, Any] = CODEC
    else:
        target, settings_of = work / f"states_rvq_{arguments.seed}", recipe("hidden_rvq")
        states, layer = work / f"states_{arguments.seed}", str(STATES_LAYER)
        encoder = work / f"two_step_{arguments.seed}"
        solfa("embed", *map(str, lists), "--model", str(encoder), "--layer", layer, "--frames",
              "--frame-layer", layer, "--threads", "1", "--out", str(states))  # fmt: skip
        changes, more = {**STATES_RVQ, "data.frames": str(states)}, ["--frames", str(states)]
    config = override(settings_of, {**changes, "data.manifest": str(arguments.train)})
    Trainer(config, placed(target)).train(resume=(target / "config.json").exists())
    for manifest in lists:
        solfa("data", "label", str(manifest), "--target", str(target), *more, "--threads", "1",
              "--out", str(codes))  # fmt: skip


def placed(run: Path) -> Placement:
    """One thread that reads and computes, so that its processor time is the run's."""
    return Placement(run=run, device=torch.device("cpu"), clips_per_device=32, n_workers=0)


def seconds_of_a_step(config: RunConfig) -> float:
    """Processor seconds of a step of this run, on this machine, now: the median of a few."""
    times = [time.process_time()]
    with tempfile.TemporaryDirectory() as folder:
        short = replace(config, n_steps=N_TIMED, log_every=1)
        Trainer(short, placed(Path(folder)), lambda step, figures: times.append(time.process_time())).train()
    return median(b - a for a, b in zip(times[N_SKIPPED:-1], times[N_SKIPPED + 1 :], strict=True))


def train(arguments: argparse.Namespace) -> None:
    """Fit the quantizers and train the arms that are not done."""
    for name in QUANTIZERS:
        run = arguments.work / name
        if not (run / "config.json").exists():
            data = {"data.manifest": str(arguments.train), "data.spectra": str(arguments.spectra)}
            Trainer(override(recipe(name), data), placed(run)).train()
    for name in arguments.arm or ARMS:
        run = arguments.work / f"{name}_{arguments.seed}"
        begun = (run / "config.json").exists()
        if begun:
            config = load_config(RunConfig, run / "config.json")
        else:
            if ARMS[name].stored:
                store_codes(ARMS[name].stored, arguments)
            config = settings(ARMS[name], arguments)
            seconds = seconds_of_a_step(config)
            config = replace(config, n_steps=max(1, round(60 * arguments.minutes / seconds)))
            print(f"{run}: {config.n_steps} steps, of {seconds:.2f} s each", flush=True)
        before = time.process_time()
        Trainer(config, placed(run)).train(resume=begun)
        print(f"{run}: {(time.process_time() - before) / 60:.1f} minutes of processor time", flush=True)


def probe(arguments: argparse.Namespace) -> None:
    """Measure and compare, by solfa's own commands."""
    runs = sorted(path.parent for path in arguments.work.glob("*/log.jsonl"))
    runs = [run for run in runs if run.name.rpartition("_")[0] in ARMS]
    if not runs:
        raise SystemExit(f"No arm has been trained in {arguments.work}. Begin with: mission.py train")
    out = arguments.work / "probes"
    done = {result.model for result in load_results(out)}
    untrained = [f"untrained:{arguments.work / name}" for name in UNTRAINED]
    there = [name for name in untrained if Path(name.removeprefix("untrained:")) in runs]
    models = [model for model in (*there, "statistics", *map(str, runs)) if model not in done]
    named = [word for model in models for word in ("--model", model)]
    shared = ["--data", str(arguments.data), "--threads", "1", "--seeds", str(arguments.seeds)]
    if models:
        solfa("probe", "free", *named, *shared, "--out", str(out))
    for name in sorted({*there, *done} & {*untrained}):
        where = arguments.work / f"against_untrained_{name.rpartition('/')[2]}"
        solfa("compare", str(out), "--against", name, "--out", str(where))


def solfa(*words: str) -> None:
    """Run a command, and show it."""
    print("$ solfa", *words, flush=True)
    subprocess.run([sys.executable, "-m", "solfa", *words], check=True)


def main() -> None:
    """Train, or probe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True)
    training = verbs.add_parser("train")
    training.set_defaults(run=train)
    training.add_argument("--train", type=Path, required=True, help="list of tracks; see solfa data weigh")
    training.add_argument("--valid", type=Path, required=True)
    training.add_argument("--spectra", type=Path, required=True, help="folder of solfa data features")
    training.add_argument("--arm", action="append", choices=ARMS, help="default: all")
    training.add_argument("--seed", type=int, default=1)
    training.add_argument("--minutes", type=float, default=30.0, help="of processor time, for each arm")
    probing = verbs.add_parser("probe")
    probing.set_defaults(run=probe)
    probing.add_argument("--data", type=Path, required=True, help="folder that holds the free benchmark")
    probing.add_argument("--seeds", type=int, default=3)
    for verb in (training, probing):
        verb.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
