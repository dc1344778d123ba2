"""Training speed on this machine: steps per second, share of time spent waiting for data.

    python benchmarks/training.py [--manifest music/train.jsonl] [--recipe muq_small] [--steps 12]
    python benchmarks/training.py --recipes [--manifest music/train.jsonl] [--steps 8]

Each setting runs in a process of its own, in turns (A B A B ...), so that a machine whose speed drifts
slows both; medians and their ratio are printed. Without a manifest it makes tracks as Ogg Vorbis.

With --recipes, the recipes of small encoders are compared, from audio and from stored spectra: hours of audio
heard in an hour of one core, by the time that the process had on it, which other programs do not lengthen.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from solfa.config import override
from solfa.data import prepare_folder, write_manifest
from solfa.data.manifest import read_manifest
from solfa.data.spectra import store_spectra
from solfa.recipes import recipe
from solfa.training import Placement, Trainer

RUN = """
import json, sys, time
from pathlib import Path
import torch
from solfa.config import override
from solfa.recipes import recipe
from solfa.targets import MelRandomProjectionConfig
from solfa.training import Placement, Trainer

manifest, name, n_steps, threads, workers, run, changes = sys.argv[1:]
torch.set_num_threads(int(threads))
config = override(recipe(name), {"data.manifest": manifest, "n_steps": int(n_steps), "log_every": 1,
                                 "checkpoint_every": 10**6})
if name.startswith("muq") and changes == "{}":
    config = override(config, {"objective.predictions.0.target": MelRandomProjectionConfig()})
config = override(config, json.loads(changes))
times, core = [], [0.0]

def on_step(step, figures):
    before, core[0] = core[0], time.process_time()
    heard = config.data.clips_per_step * config.data.clip_seconds
    times.append(figures | {"audio_hours_per_core_hour": heard / (core[0] - before)})

place = Placement(run=Path(run), device=torch.device("cpu"), clips_per_device=32, n_workers=int(workers))
Trainer(config, place, on_step).train()
print(json.dumps(times[2:]))
"""

QUANTIZERS = {  # fitted for a moment: what they cost does not depend on how well
    "mel_rvq": {"data.clips_per_step": 8, "data.clip_seconds": 5.0},
    "mel_rvq_small": {"data.clips_per_step": 32},
    "cqt_rvq_small": {"data.clips_per_step": 32},
}


def made_music(folder: Path) -> Path:
    """Ten minutes of tones in noise as Ogg Vorbis, 44.1 kHz stereo, and their manifest."""
    rng = np.random.default_rng(0)
    for number in range(5):
        time = np.arange(120 * 44_100) / 44_100
        tones = sum(np.sin(2 * np.pi * 110 * 2 ** (n / 12) * time) for n in rng.integers(0, 40, 4))
        wave = (0.1 * tones[:, None] + 0.02 * rng.standard_normal((len(time), 2))).astype(np.float32)
        with soundfile.SoundFile(folder / f"{number}.ogg", "w", 44_100, 2, format="OGG") as file:
            for block in np.split(wave, 120):
                file.write(block)
    write_manifest(prepare_folder(folder).tracks, folder / "tracks.jsonl")
    return folder / "tracks.jsonl"


def measured(setting: dict[str, Any], arguments: argparse.Namespace) -> dict[str, float]:
    """Medians over the steps of one process."""
    values = {"threads": arguments.threads, "workers": 1, **setting}
    with tempfile.TemporaryDirectory() as run:
        command = [arguments.manifest, values.get("recipe", arguments.recipe), arguments.steps]
        command += [values["threads"], values["workers"], run, json.dumps(values.get("changes", {}))]
        done = subprocess.run(
            [sys.executable, "-c", RUN, *map(str, command)], stdout=subprocess.PIPE, text=True, check=True
        )
    steps = json.loads(done.stdout.splitlines()[-1])
    seconds = [step["seconds"] for step in steps]
    return {
        "steps per second": 1 / statistics.median(seconds),
        "audio hours per hour": statistics.median(step["audio_hours_per_hour"] for step in steps),
        "waiting share": sum(s["waiting_share"] * s["seconds"] for s in steps) / sum(seconds),
        "hours per core-hour": statistics.median(step["audio_hours_per_core_hour"] for step in steps),
    }


def fitted(manifest: Path, folder: Path) -> dict[str, str]:
    """Runs of the quantizers that the recipes of small encoders learn from."""
    for name, changes in QUANTIZERS.items():
        wanted = {"data.manifest": str(manifest), "n_steps": 1} | changes
        place = Placement(run=folder / name, device=torch.device("cpu"), clips_per_device=32, n_workers=0)
        Trainer(override(recipe(name), wanted), place).train()
    return {name: str(folder / name) for name in QUANTIZERS}


def compare_recipes(arguments: argparse.Namespace, folder: Path) -> None:
    """Print hours of audio per core-hour of the recipes of small encoders."""
    teachers = fitted(arguments.manifest, folder)
    store_spectra(read_manifest(arguments.manifest), folder / "spectra")
    target = "objective.predictions.{}.target.fitted"
    of_muq = {target.format(0): teachers["mel_rvq"]}
    of_small = {target.format(0): teachers["mel_rvq_small"], target.format(1): teachers["cqt_rvq_small"]}
    stored = {"data.spectra": str(folder / "spectra")}
    settings = {
        "muq_small, from audio": ("muq_small", of_muq),
        "solfa_small, from audio": ("solfa_small", of_small),
        "solfa_small, from spectra": ("solfa_small", of_small | stored),
        "solfa_small_one_step, from spectra": ("solfa_small_one_step", of_small | stored),
    }
    rounds = [
        {
            name: measured({"threads": 1, "workers": 0, "recipe": of, "changes": changes}, arguments)
            for name, (of, changes) in settings.items()
        }
        for _ in range(arguments.rounds)
    ]
    print(f"one thread that reads and computes, {arguments.rounds} rounds of {arguments.steps} steps")
    print(f"{'':36}{'audio hours per core-hour':>26}{'of all rounds':>22}{'ratio':>7}")
    for name in settings:
        speeds = [r[name]["hours per core-hour"] for r in rounds]
        first = next(iter(settings))
        ratio = statistics.median(
            r[name]["hours per core-hour"] / r[first]["hours per core-hour"] for r in rounds
        )
        spread = f"{min(speeds):.1f} to {max(speeds):.1f}"
        print(f"{name:36}{statistics.median(speeds):26.1f}{spread:>22}{ratio:7.2f}")


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--recipe", default="muq_small")
    parser.add_argument("--steps", type=int, default=12, help="of each process; the first two do not count")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recipes", action="store_true", help="compare the recipes of small encoders")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments.manifest = arguments.manifest or made_music(Path(folder))
        if arguments.recipes:
            compare_recipes(arguments, Path(folder))
            return
        settings = {
            "as solfa train does it": {},
            "no process that reads ahead": {"workers": 0},
            "one thread": {"threads": 1},
        }
        rounds = [
            {name: measured(s, arguments) for name, s in settings.items()} for _ in range(arguments.rounds)
        ]
    print(
        f"{arguments.recipe}, {arguments.threads} threads, "
        f"{arguments.rounds} rounds of {arguments.steps} steps"
    )
    print(f"{'':30}{'steps/s':>9}{'audio h/h':>11}{'waiting':>9}{'ratio':>7}")
    for name in settings:
        median = {key: statistics.median(r[name][key] for r in rounds) for key in rounds[0][name]}
        first = next(iter(settings))
        ratio = statistics.median(r[first]["steps per second"] / r[name]["steps per second"] for r in rounds)
        print(
            f"{name:30}{median['steps per second']:9.3f}{median['audio hours per hour']:11.1f}"
            f"{median['waiting share']:9.2%}{ratio:7.2f}"
        )


if __name__ == "__main__":
    main()
