"""Kills a training at random moments and goes on with it, until it is done; run by test_killed.py.

A program of its own: it forks after the imports and before any thread exists, so that a run costs little.

    python killed_runs.py CONFIG FOLDER N_KILLS
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from solfa import checkpoint
from solfa.config import load_config
from solfa.training import Placement, RunConfig, Trainer


def train(config: RunConfig, run: Path, order: Path) -> None:
    """Train in this process, and note which clips each step saw."""
    torch.set_num_threads(1)
    place = Placement(run=run, device=torch.device("cpu"), clips_per_device=2, n_workers=0)
    trainer = Trainer(config, place)
    next_clips = trainer._next

    def noted(*arguments: object) -> object:
        clips = next_clips(*arguments)  # type: ignore[arg-type]
        with order.open("a") as file:
            file.write(json.dumps([trainer.step, clips.numbers.tolist(), clips.tracks.tolist()]) + "\n")
        return clips

    trainer._next = noted  # type: ignore[assignment,method-assign]
    trainer.train(resume=True)


def partial_folders(run: Path) -> list[Path]:
    """Checkpoints that are being written."""
    return list(run.glob(f"*{checkpoint.PARTIAL}"))


def forked(config: RunConfig, run: Path, order: Path, wait: Callable[[], None] | None = None) -> None:
    """Train in a child: to its end, or until ``wait`` returns."""
    child = os.fork()
    if child == 0:
        try:
            train(config, run, order)
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    if wait is not None:
        wait()
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and (os.WEXITSTATUS(status) or wait is not None):
        sys.exit("the resumed run failed, or ended before it was killed")


def until(happened: Callable[[], bool]) -> None:
    """Wait for something, a minute at most."""
    latest = time.monotonic() + 60
    while not happened() and time.monotonic() < latest:
        pass


def main() -> None:
    config = load_config(RunConfig, Path(sys.argv[1]))
    folder, n_kills = Path(sys.argv[2]), int(sys.argv[3])
    run, order = folder / "killed", folder / "killed.order"
    forked(config, folder / "whole", folder / "whole.order")
    rng = random.Random(0)
    in_a_save = 0
    for kill in range(n_kills):
        seen = order.stat().st_size if order.exists() else 0

        def moment(kill: int = kill, seen: int = seen) -> None:
            if kill % 4 > 0:  # every fourth time while it starts and loads, else after its first step
                until(lambda: order.exists() and order.stat().st_size > seen)
            time.sleep(rng.uniform(0, 0.2))
            if kill % 2:
                until(lambda: bool(partial_folders(run)))

        forked(config, run, order, moment)
        in_a_save += bool(partial_folders(run))
    forked(config, run, order)
    sys.stdout.write(json.dumps({"kills": n_kills, "in_a_save": in_a_save}))


main()
