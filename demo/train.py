"""From fourteen clips of real music to a trained encoder and a search result, in a few minutes on two cores.

    make demo-train

Every step is a command that works the same on your own music; this program runs them one after the other and
shows what came out.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from solfa.retrieval import ExactIndex, Searcher
from solfa.training import draw_curves

CLIPS = Path(__file__).parent.resolve().relative_to(Path.cwd()) / "clips"
OUT = Path("build/demo-train")
console = Console(width=110)

FIT = {
    "data.clips_per_step": 16,
    "data.clip_seconds": 4,
    "optim.lr": 1e-3,
    "n_steps": 150,
    "log_every": 10,
    "checkpoint_every": 1000,
}
LEARN = {"n_steps": 300, "checkpoint_every": 1000}


def solfa(*arguments: str | Path) -> None:
    """Run a command as a user would, and show it."""
    words = [str(argument) for argument in arguments]
    console.print(f"\n[bold cyan]$ solfa {' '.join(words)}[/]", highlight=False, soft_wrap=True)
    subprocess.run([sys.executable, "-m", "solfa", *words], check=True)


def settings(values: dict[str, Any]) -> list[str]:
    """Values as ``--set key=value`` of the command line."""
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def main() -> None:
    """Run the whole way and show its result."""
    begun = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    tracks = {"data.manifest": OUT / "tracks.jsonl"}
    fitted = {"objective.predictions.0.target.fitted": OUT / "mel_rvq"}

    solfa("data", "prepare", CLIPS, "--out", OUT / "tracks.jsonl")
    solfa("train", "mel_rvq", "--out", OUT / "mel_rvq", *settings(tracks | FIT), "--clips-per-device", "16")
    solfa("train", "muq_tiny", "--out", OUT / "muq_tiny", *settings(tracks | fitted | LEARN))
    solfa("index", CLIPS, "--model", OUT / "muq_tiny", "--library", OUT / "library.sqlite")

    show_learning(OUT / "muq_tiny")
    show_neighbours()
    console.print(
        f"\nLoss, accuracy and use of the codes: {draw_curves(OUT / 'muq_tiny', OUT / 'curves.png')}\n"
        f"Took {time.monotonic() - begun:.0f} s. The same commands take your own folder.",
        highlight=False,
        soft_wrap=True,
    )


def show_learning(run: Path) -> None:
    """First and last lines of the log, beside what one reaches without listening."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    shown = [
        line for i, line in enumerate(lines) if i in (0, len(lines) // 4, len(lines) // 2, len(lines) - 1)
    ]
    table = Table(title="\nWhat muq_tiny learned: codes of hidden sound, guessed from the sound around it")
    for name in ("step", "loss", "guessing by frequency", "accuracy", "commonest code", "codes in use"):
        table.add_column(name, justify="right")
    for line in shown:
        table.add_row(
            str(line["step"]), f"{line['loss']:.3f}", f"{line['unigram_loss']:.3f}",
            f"{line['accuracy']:.1%}", f"{line['unigram_accuracy']:.1%}", f"{line['used_share']:.0%}",
        )  # fmt: skip
    console.print(table)


def show_neighbours() -> None:
    """Which clip sounds like which."""
    table = Table(title="\nWhich clip sounds like this one?")
    for name in ("clip", "nearest", "likeness", "and then", "likeness"):
        table.add_column(name, justify="right" if name == "likeness" else "left")
    found = 0
    with Searcher(OUT / "library.sqlite", index=ExactIndex(centred=True)) as searcher:
        for track in searcher.tracks():
            first, second = searcher.similar(track.id, n=2)
            names = [match.track.path.stem for match in (first, second)]
            is_same = names[0].rstrip("12") == track.path.stem.rstrip("12")
            found += is_same
            table.add_row(
                track.path.stem, f"[green]{names[0]}[/]" if is_same else names[0], f"{first.cosine:.2f}",
                names[1], f"{second.cosine:.2f}",
            )  # fmt: skip
    console.print(table)
    console.print(f"Ten clips have a sister from the same track; {found} of them found her first (green).")


if __name__ == "__main__":
    main()
