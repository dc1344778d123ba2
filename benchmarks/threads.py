"""Is a command with its default threads ever slower than with one? Indexing on an idle and on a busy machine.

    python benchmarks/threads.py [MUSIC] [--rounds 3] [--busy 1]

Both sides run in turn, as whole processes. "Busy" means that other processes spin beside them. Prints medians
of wall-clock and processor time, start included, and the ratio to one thread. Without MUSIC, six tracks of
two and a half minutes are made of the demo's clips.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

CLIPS = Path(__file__).parents[1] / "demo" / "clips"
SIDES = {"one thread": ["--threads", "1"], "default": []}


def _main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("music", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="processes that spin beside the busy runs")
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        music = wish.music or _made(Path(folder, "music"))
        for where, n_busy in (("idle", 0), (f"beside {wish.busy} busy", wish.busy)):
            with _spinning(n_busy):
                rounds = [{side: _index(music, options) for side, options in SIDES.items()}
                          for _ in range(wish.rounds)]  # fmt: skip
            _show(where, rounds)


def _made(folder: Path) -> Path:
    folder.mkdir()
    for number, clip in enumerate(sorted(CLIPS.glob("*.opus"))[:6]):
        waveform, rate = soundfile.read(clip, dtype="float32", always_2d=True)
        longer = np.concatenate([np.roll(waveform, shift * 1_000, axis=0) for shift in range(6)])
        soundfile.write(folder / f"{number}.flac", longer, rate)
    return folder


@contextmanager
def _spinning(n: int) -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _index(music: Path, options: list[str]) -> tuple[float, float]:
    """Seconds of wall-clock and of processor time of one whole command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "solfa",
            "index",
            str(music),
            "--library",
            f"{folder}/m.sqlite",
            *options,
        ]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _show(where: str, rounds: list[dict[str, tuple[float, float]]]) -> None:
    one = statistics.median(done["one thread"][0] for done in rounds)
    for side in SIDES:
        wall = statistics.median(done[side][0] for done in rounds)
        processor = statistics.median(done[side][1] for done in rounds)
        print(f"{where:16} {side:12} {wall:6.1f} s, processor {processor:6.1f} s, {wall / one:.2f} x")


if __name__ == "__main__":
    _main()
