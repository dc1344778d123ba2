"""Whether a change costs time: two checkouts side by side, in turns, by processor time.

    git worktree add /tmp/before COMMIT
    python benchmarks/between_commits.py /tmp/before . [--turns 3] [--steps 6]

Each measurement is a process of its own with one thread; they take turns (A B A B ...), so that a machine
whose speed drifts slows both. Medians of processor seconds are printed, and how many times as long the second
takes.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

CLIPS = Path(__file__).parent.parent / "demo" / "clips"
STEPS = """
import json, sys, time
from pathlib import Path
import torch
from solfa.config import override
from solfa.recipes import recipe
from solfa.targets import MelRandomProjectionConfig
import solfa.training

manifest, n_steps, run = sys.argv[1:]
torch.set_num_threads(1)
placed = getattr(solfa.training, "Placement", None) or solfa.training.Place  # as it was called before
config = override(recipe("muq_small"), {
    "data.manifest": manifest, "n_steps": int(n_steps), "log_every": 10**6, "checkpoint_every": 10**6,
    "objective.predictions.0.target": MelRandomProjectionConfig(),
})
ends = []
place = placed(run=Path(run), device=torch.device("cpu"), clips_per_device=32, n_workers=0)
solfa.training.Trainer(config, place, lambda step, figures: ends.append(time.process_time())).train()
print(json.dumps([end - start for start, end in zip(ends[1:], ends[2:])]))
"""


def environment(checkout: Path) -> dict[str, str]:
    """In which Python finds that checkout first."""
    source = str(checkout.resolve() / "src")
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def run(checkout: Path, *arguments: str | Path) -> tuple[str, float]:
    """Output of Python with these arguments, and its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment(checkout), capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def made_music(folder: Path) -> Path:
    """Two minutes of tones in noise for each of three tracks, and their manifest."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(3):
        time = np.arange(120 * 24_000) / 24_000
        tones = sum(np.sin(2 * np.pi * 110 * 2 ** (n / 12) * time) for n in rng.integers(0, 40, 4))
        wave = 0.1 * tones + 0.02 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{number}.flac", wave.astype(np.float32), 24_000)
    return folder


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    found: dict[str, dict[Path, list[float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        music = made_music(folder / "music")
        for turn in range(arguments.turns):
            for checkout in (arguments.before, arguments.after):
                of_turn = folder / f"{turn}-{checkout.resolve().name}"
                of_turn.mkdir()
                for name, measure in measurements(checkout, music, of_turn, arguments.steps).items():
                    found.setdefault(name, {}).setdefault(checkout, []).append(measure())
    print(f"{'processor seconds':44}{'before':>10}{'after':>10}{'ratio':>8}")
    for name, seconds in found.items():
        first, second = (statistics.median(seconds[c]) for c in (arguments.before, arguments.after))
        print(f"{name:44}{first:10.2f}{second:10.2f}{second / first:8.2f}")


def measurements(checkout: Path, music: Path, folder: Path, n_steps: int) -> dict[str, Callable[[], float]]:
    """What is measured, in the order in which it can be."""
    library, manifest = folder / "music.sqlite", folder / "tracks.jsonl"

    def training() -> float:
        run(checkout, "-m", "solfa", "data", "prepare", music, "--out", manifest)
        said, _ = run(checkout, "-c", STEPS, manifest, str(n_steps + 2), folder / "run")
        return statistics.median(json.loads(said.splitlines()[-1]))

    return {
        "a step of muq_small, 32 clips of 5 s": training,
        "solfa index demo/clips": lambda: run(
            checkout, "-m", "solfa", "index", CLIPS, "--library", library, "--threads", "1"
        )[1],
        "solfa search 'old jazz', a library of 14": lambda: run(
            checkout, "-m", "solfa", "search", "old jazz", "--library", library
        )[1],
        "solfa --version": lambda: run(checkout, "-m", "solfa", "--version")[1],
    }


if __name__ == "__main__":
    main()
