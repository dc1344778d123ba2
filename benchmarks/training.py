"""Training speed on this machine: steps per second, share of time spent waiting for data.

    python benchmarks/training.py [--manifest music/train.jsonl] [--recipe muq_small] [--steps 12]

Each setting runs in a process of its own, in turns (A B A B ...), so that a machine whose speed drifts
slows both; medians and their ratio are printed. Without a manifest it makes tracks as Ogg Vorbis.
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

from solfa.data import prepare_folder, write_manifest

RUN = """
import json, sys
from pathlib import Path
import torch
from solfa.config import override
from solfa.recipes import recipe
from solfa.targets import MelRandomProjectionConfig
from solfa.training import Place, Trainer

manifest, name, n_steps, threads, workers, run = sys.argv[1:]
torch.set_num_threads(int(threads))
config = override(recipe(name), {"data.manifest": manifest, "n_steps": int(n_steps), "log_every": 1,
                                 "checkpoint_every": 10**6})
if name.startswith("muq"):
    config = override(config, {"objective.predictions.0.target": MelRandomProjectionConfig()})
times = []
place = Place(run=Path(run), device=torch.device("cpu"), clips_per_device=32, n_workers=int(workers))
Trainer(config, place, lambda step, figures: times.append(figures)).train()
print(json.dumps(times[2:]))
"""


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
        command = [arguments.manifest, arguments.recipe, arguments.steps]
        command += [values["threads"], values["workers"], run]
        done = subprocess.run(
            [sys.executable, "-c", RUN, *map(str, command)], capture_output=True, text=True, check=True
        )
    steps = json.loads(done.stdout.splitlines()[-1])
    seconds = [step["seconds"] for step in steps]
    return {
        "steps per second": 1 / statistics.median(seconds),
        "audio hours per hour": statistics.median(step["audio_hours_per_hour"] for step in steps),
        "waiting share": sum(s["waiting_share"] * s["seconds"] for s in steps) / sum(seconds),
    }


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
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments.manifest = arguments.manifest or made_music(Path(folder))
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
