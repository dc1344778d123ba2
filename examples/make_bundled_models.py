"""Make the models that come with solfa again: free music, rendered pairs, trainings, bundles.

    python examples/make_bundled_models.py --work models --pop909 ~/POP909

Every step is a command of solfa and goes on after an interruption: run this again. Where it was done, on one
core of a server's processor, the two long trainings took 83 and 63 minutes.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from solfa.data.manifest import Track, read_manifest, write_manifest

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "src/solfa/weights"
FONTS = ("fluidr3", "musescore-lite")  # a third one, timgm6mb, is kept for tests
# Packages whose scenes the free benchmark asks about: no caption of theirs is learned.
ASKED_ABOUT = ("enigma-data", "hedgewars-data")
PART_SECONDS, MOST_PARTS = 60.0, 3  # a long recording counts up to three times beside rendered ones of 20 s
POP909_TRACKS = {"fluidr3": 250, "musescore-lite": 200}


def solfa(*words: str | Path | int) -> None:
    """Run a command, and show it."""
    told = [str(word) for word in words]
    print("\n$ solfa", *told, flush=True)
    subprocess.run([sys.executable, "-m", "solfa", *told], check=True)


def fetch_and_render(work: Path, pop909: Path | None) -> None:
    """Free music, and MMA and POP909 played by two soundfonts; captions of all."""
    solfa("data", "free-music", "--out", work / "music")
    for font in FONTS:
        mma = work / f"mma-{font}"
        solfa("data", "render", "mma", "--soundfont", font, "--split", "train", "--tracks", 600,
              "--seconds", 20, "--out", mma)  # fmt: skip
        caption(mma)
        if pop909:
            songs = work / f"pop909-{font}"
            solfa("data", "render", pop909, "--soundfont", font, "--split", "train",
                  "--tracks", POP909_TRACKS[font], "--seconds", 40, "--out", songs)  # fmt: skip
            caption(songs)
    solfa("data", "render", "mma", "--soundfont", "fluidr3", "--split", "valid", "--tracks", 60,
          "--seconds", 20, "--out", work / "mma-valid")  # fmt: skip
    caption(work / "mma-valid")
    train = read_manifest(work / "music" / "train.jsonl")
    allowed = [track for track in train if track.tags.get("package") not in ASKED_ABOUT]
    write_manifest(allowed, work / "music" / "pairs.jsonl")
    for name in ("pairs", "valid"):
        manifest = work / "music" / f"{name}.jsonl"
        solfa("data", "caption", manifest, "--captions", 6, "--out", manifest.with_suffix(".captions.jsonl"))


def caption(rendered: Path) -> None:
    """Captions of a rendered folder, about all that its labels say but the key."""
    solfa("data", "caption", rendered / "tracks.jsonl", "--without", "key", "--captions", 6,
          "--out", rendered / "captions.jsonl")  # fmt: skip


def parts(track: Track) -> list[Track]:
    """A long recording as up to three tracks, one after the other."""
    n = int(min(MOST_PARTS, max(1, track.seconds // PART_SECONDS)))
    seconds = track.seconds / n
    return [
        replace(track, start_seconds=track.start_seconds + k * seconds, seconds=seconds) for k in range(n)
    ]


def join(work: Path) -> None:
    """One manifest to learn from and one to watch."""
    folders = [work / f"{corpus}-{font}" for corpus in ("mma", "pop909") for font in FONTS]
    rendered = [folder / "captions.jsonl" for folder in folders if folder.is_dir()]
    real = read_manifest(work / "music" / "pairs.captions.jsonl")
    tracks = [track for path in rendered for track in read_manifest(path)]
    write_manifest(tracks + [part for track in real for part in parts(track)], work / "train.jsonl")
    watched = (work / "mma-valid" / "captions.jsonl", work / "music" / "valid.captions.jsonl")
    write_manifest([track for path in watched for track in read_manifest(path)], work / "valid.jsonl")


def train(work: Path) -> None:
    """The quantizer, the encoder, and the music-text model on it."""
    music = settings(manifest=work / "music" / "train.jsonl", valid_manifest=work / "music" / "valid.jsonl")
    run("mel_rvq", work / "mel_rvq", music)
    fitted = ["--set", f"objective.predictions.0.target.fitted={work / 'mel_rvq'}"]
    run("muq_small", work / "muq_small", [*music, *fitted, "--set", "n_steps=3600"])
    pairs = settings(manifest=work / "train.jsonl", valid_manifest=work / "valid.jsonl")
    run("mulan_small", work / "mulan_small", [*pairs, "--set", f"objective.start={work / 'muq_small'}"])


def settings(**paths: Path) -> list[str]:
    """Settings of the data, as words of the command line."""
    return [word for name, path in paths.items() for word in ("--set", f"data.{name}={path}")]


def run(recipe: str, out: Path, words: Sequence[str]) -> None:
    """Train, or go on with a training; nothing is done if it has ended."""
    if (out / "config.json").exists():
        words = ["--resume"]  # with the settings of the run
    solfa("train", recipe, "--out", out, *words)


def main() -> None:
    """Make all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for music and runs")
    parser.add_argument("--pop909", type=Path, help="your copy of POP909; without it there are fewer pairs")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the bundles")
    given = parser.parse_args()
    fetch_and_render(given.work, given.pop909)
    join(given.work)
    train(given.work)
    for name, trained in (("solfa-small", "muq_small"), ("solfa-mulan-small", "mulan_small")):
        solfa("export", "bundle", given.work / trained, "--half", "--license", "Apache-2.0",
              "--card", WEIGHTS / f"{name}.json", "--out", given.out / name)  # fmt: skip


if __name__ == "__main__":
    main()
