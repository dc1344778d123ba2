"""What one command costs from its start to its answer: processor seconds, of one checkout or of two in turns.

    python benchmarks/starting.py . [/tmp/before] [--turns 5] [--library music.sqlite]

Each measurement is a process of its own with one thread. The library is made of demo/clips by the first
checkout unless one is named; a command that a checkout does not know is left out of its column. Medians are
printed, with the smallest and the largest, and which of the large packages the command has imported.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from between_commits import CLIPS, environment, run

LARGE = ("torch", "transformers", "scipy", "sklearn", "mir_eval", "librosa", "matplotlib", "av", "numpy")
WRONG_USAGE = 2  # an exit code
WATCHED = """
import atexit, json, runpy, sys
large = json.loads(sys.argv.pop(1))
atexit.register(lambda: print(json.dumps([name for name in large if name in sys.modules]), file=sys.stderr))
runpy.run_module("solfa", run_name="__main__", alter_sys=True)
"""


def commands(library: Path) -> dict[str, list[str]]:
    """Lines of the table, and what is typed for each."""
    track, of = str(next(CLIPS.glob("*.opus"))), ["--library", str(library)]
    return {
        "solfa --version": ["--version"],
        "solfa search 'calm piano'": ["search", "calm piano", *of],
        "solfa search 'calm piano + choir - drums'": ["search", "calm piano + choir - drums", *of],
        "solfa search 3": ["search", "3", *of],
        "solfa search 'named: boat'": ["search", "named: boat", *of],
        "solfa similar TRACK": ["similar", track, *of],
        "solfa path 3 7": ["path", "3", "7", *of],
        "solfa library info": ["library", "info", str(library)],
        "solfa library playlists list": ["library", "playlists", "list", str(library)],
        "solfa models": ["models"],
        "solfa tag --help": ["tag", "--help"],
        "solfa index --help": ["index", "--help"],
        "solfa embed --help": ["embed", "--help"],
        "solfa serve --help": ["serve", "--help"],
        "solfa watch --help": ["watch", "--help"],
        "solfa tag --out x.txt TRACK (refused)": ["tag", "--out", "x.txt", track],
    }


def measured(checkout: Path, words: list[str]) -> tuple[float, list[str]] | None:
    """Processor seconds of a command, and the large packages that it imports; None if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", WATCHED, json.dumps(LARGE), *words]
    done = subprocess.run(command, env=environment(checkout), capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, WRONG_USAGE):
        return None
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return seconds, json.loads(done.stderr.splitlines()[-1])


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkouts", type=Path, nargs="+")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--only", default="", help="commands with this in their line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = arguments.library or Path(folder) / "music.sqlite"
        if arguments.library is None:
            run(arguments.checkouts[0], "-m", "solfa", "index", CLIPS, "--library", library, "--quiet")
        for name, words in commands(library).items():
            if arguments.only in name:
                show(name, arguments.checkouts, words, arguments.turns)


def show(name: str, checkouts: list[Path], words: list[str], n_turns: int) -> None:
    """Measure one command in turns, and print a line for each checkout that has it."""
    seconds: dict[Path, list[float]] = {}
    large: dict[Path, list[str]] = {}
    for _ in range(n_turns):
        for checkout in checkouts:
            if found := measured(checkout, words):
                seconds.setdefault(checkout, []).append(found[0])
                large[checkout] = found[1]
    for checkout, took in seconds.items():
        spread = f"{statistics.median(took):6.2f} s  ({min(took):.2f} to {max(took):.2f})"
        print(f"{name:44}{checkout.resolve().name:16}{spread}  {', '.join(large[checkout])}", flush=True)


if __name__ == "__main__":
    main()
