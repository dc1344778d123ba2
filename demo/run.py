"""Search fourteen clips of real music in words, with the models that come with solfa; no network, no GPU.

    make demo

Every step is a command that works the same on your own music; this program runs them one after the other.
How an encoder is trained is shown by: make demo-train
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

CLIPS = Path(__file__).parent.resolve().relative_to(Path.cwd()) / "clips"
OUT = Path("build/demo")
LIBRARY = OUT / "music.sqlite"
QUERIES = ("heavy metal with electric guitars", "fast electronic dance music", "old jazz")
console = Console(width=110)


def solfa(*arguments: str | Path) -> None:
    """Run a command as a user would, and show it."""
    words = [str(argument) for argument in arguments]
    shown = " ".join(f'"{word}"' if " " in word else word for word in words)
    console.print(f"\n[bold cyan]$ solfa {shown}[/]", highlight=False, soft_wrap=True)
    subprocess.run([sys.executable, "-m", "solfa", *words], check=True)


def main() -> None:
    """Index, ask in words, ask for more of the same, draw the map."""
    begun = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    solfa("index", CLIPS, "--library", LIBRARY)
    for query in QUERIES:
        solfa("search", query, "--library", LIBRARY, "--n", "3")
    solfa("similar", CLIPS / "funny-boat-1.opus", "--library", LIBRARY, "--n", "3")
    solfa("library", "map", LIBRARY, "--out", OUT / "map.png")
    console.print(
        f"\nTook {time.monotonic() - begun:.0f} s. The same with your own music:\n\n"
        "    solfa index ~/Music --library music.sqlite\n"
        '    solfa search "calm piano for a rainy evening" --library music.sqlite\n'
        "    solfa similar ~/Music/song.mp3 --library music.sqlite\n"
        "    solfa serve music.sqlite\n",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
