"""What it saves to keep freed memory: an encoder's pass over 31 s, with glibc as it is and as solfa sets it.

Each side runs in processes of its own, in turn; figures are medians over them.

    python benchmarks/allocation.py [--model FOLDER] [--rounds 5]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import torch

import solfa
from solfa.cli.runtime import keep_freed_memory
from solfa.models import AudioEncoder

SECONDS, PASSES = 31, 8
SIDES = ("as glibc is", "kept")


@dataclass(frozen=True)
class Cost:
    """Of one pass; memory is the peak of the process."""

    seconds: float
    processor_seconds: float
    system_seconds: float  # of these, in the kernel
    page_faults: float
    megabytes: float


def measure(model: str, side: str) -> Cost:
    """Some passes in this process."""
    if side == "kept":
        keep_freed_memory()
    encoder = solfa.load(model).eval()
    assert isinstance(encoder, AudioEncoder)
    waveform = torch.randn(1, SECONDS * encoder.sample_rate, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        encoder(waveform)
        times, usage, begun = os.times(), resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        for _ in range(PASSES):
            encoder(waveform)
    seconds, ends, after = time.perf_counter() - begun, os.times(), resource.getrusage(resource.RUSAGE_SELF)
    system = ends.system - times.system
    return Cost(
        seconds=seconds / PASSES,
        processor_seconds=(ends.user - times.user + system) / PASSES,
        system_seconds=system / PASSES,
        page_faults=(after.ru_minflt - usage.ru_minflt) / PASSES,
        megabytes=after.ru_maxrss / 1024,
    )


def main() -> None:
    """Run both sides in turn, and print their medians and ratios."""
    parser = argparse.ArgumentParser(description="Time an encoder with freed memory kept and given back.")
    parser.add_argument("--model", default="solfa-small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # the process of one side
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(asdict(measure(arguments.model, arguments.side))))
        return
    costs: dict[str, list[Cost]] = {side: [] for side in SIDES}
    for _ in range(arguments.rounds):
        for side, measured in costs.items():
            command = [sys.executable, __file__, "--model", arguments.model, "--side", side]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            measured.append(Cost(**json.loads(done.stdout.splitlines()[-1])))
    print(f"{arguments.model}, {SECONDS} s, {torch.get_num_threads()} threads, {arguments.rounds} rounds")
    print(f"{'':18}{SIDES[0]:>14}{SIDES[1]:>12}{'ratio':>8}")
    for name in asdict(costs[SIDES[0]][0]):
        before, after = (statistics.median(getattr(cost, name) for cost in costs[side]) for side in SIDES)
        print(f"{name:18}{before:14.3f}{after:12.3f}{before / after:8.2f}")


if __name__ == "__main__":
    main()
