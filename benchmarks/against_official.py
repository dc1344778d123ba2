"""solfa against the official programs on the same random weights: difference, speed, memory.

    python benchmarks/against_official.py [--size tiny|large] [--models muq-large mert-330m] [--inputs 1x10]

MuQ is compared with PyPI's muq 0.1.0, MERT with transformers' HuBERT, which computes the same. The first run
builds their environment in the folder ``--environment`` (about 1.5 GB, from a package registry) and writes
the weights beside it (MuQ-large: 1.3 GB).

For each input both sides run in fresh processes that stay alive and encode it in turns (A B, B A, ...), all
hidden states each, one computing while the other waits, so that a machine whose speed drifts slows both.
The ratio is the median over turns of official by solfa: above 1, solfa is faster; that of processor time
hardly depends on what else the machine does. Peak memory is that of the whole process, with its weights and
libraries, while it encodes; that of loading is printed below the table. Both are read from Linux.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from official_side import serve

OFFICIAL_SIDE = Path(__file__).with_name("official_side.py")
BUILD = Path(__file__).parent.parent / "build"
SAMPLE_RATE = 24_000  # Hz, of MuQ and of MERT
SIZES = {"tiny": ("muq-tiny", "mert-tiny"), "large": ("muq-large", "mert-95m")}
MODELS = (*SIZES["tiny"], *SIZES["large"], "mert-330m")

# torch stands beside transformers, so that nothing can move it. What comes without its dependencies would ask
# for more, or for another torch: muq imports only these parts of what it names, and x-clip's is a tokenizer.
TORCH = "torch==2.13.0"
WITH_DEPENDENCIES = (
    TORCH, "transformers==4.57.6", "numpy", "scipy", "einops", "easydict", "tqdm",
    "ftfy", "regex", "beartype",
)  # fmt: skip
ALONE = ("torchaudio==2.11.0", "muq==0.1.0", "x-clip==0.14.4")


@dataclass(frozen=True)
class Result:
    """One model and one input."""

    model: str
    n_clips: int
    clip_seconds: float
    difference: float  # largest of all layers
    relative_difference: float  # largest of all layers, each divided by its own largest value
    angle: float  # 1 - cosine, largest of all frames of all layers
    solfa_seconds: float
    official_seconds: float
    ratio: float
    ratios: list[float]  # of the single turns
    processor_ratio: float  # of processor time instead of time by the clock
    solfa_megabytes: float
    official_megabytes: float
    solfa_loading_megabytes: float
    official_loading_megabytes: float
    solfa_torch: str
    official_torch: str


def build_environment(folder: Path) -> Path:
    """The Python of an environment with the official programs; built unless it is there."""
    python, stamp = folder / "bin" / "python", folder / "built.json"
    wanted = json.dumps([WITH_DEPENDENCIES, ALONE])
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"building {folder}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for packages in ([TORCH], WITH_DEPENDENCIES, ["--no-deps", *ALONE]):
        subprocess.run([*install, *packages], check=True)
    # torchaudio looks for its C++ part and does without it if it is not there; the one that it brings fits
    # another torch and would not load.
    for library in folder.glob("lib/python*/site-packages/torchaudio/lib/*.so"):
        library.unlink()
    stamp.write_text(wanted)
    return python


def weights_of(model: str, python: Path, build: Path) -> Path:
    """The folder of a model's random weights in the official layout; written unless it is there."""
    folder = build / "official_weights" / model
    if not (folder / "written").is_file():
        print(f"writing {folder}", file=sys.stderr)
        subprocess.run([python, OFFICIAL_SIDE, "write", model, folder], check=True)
        (folder / "written").touch()
    return folder


def made_waveform(n_clips: int, clip_seconds: float) -> np.ndarray:
    """Clips of chords that change twice a second, in noise."""
    rng = np.random.default_rng(0)
    n_notes = round(2 * clip_seconds)
    n_samples = round(clip_seconds * SAMPLE_RATE)
    note = np.arange(n_samples) * n_notes // n_samples
    time = np.arange(n_samples) / SAMPLE_RATE
    pitches = 55 * 2 ** (rng.integers(0, 48, (n_clips, 4, n_notes)) / 12)
    tones = np.sin(2 * np.pi * pitches[:, :, note] * time).sum(1)
    return (0.1 * tones + 0.02 * rng.standard_normal(tones.shape)).astype(np.float32)


class Side:
    """A process that has loaded a model and encodes on demand."""

    def __init__(self, command: list[Any], threads: int) -> None:
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
        )  # fmt: skip
        self.loaded = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def ask(self, **request: str) -> dict[str, Any]:
        """What the process answers, when it has."""
        assert self.process.stdin is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(map(str, self.process.args))} ended; its error is above.")
        return json.loads(line)


def compare(model: str, folder: Path, python: Path, n_clips: int, seconds: float, options: Any) -> Result:
    """Run both sides on one input, in turns."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        np.save(scratch / "waveform.npy", made_waveform(n_clips, seconds))
        commands = {
            "solfa": [sys.executable, __file__, "--serve", folder],
            "official": [python, OFFICIAL_SIDE, "serve", model, folder],
        }
        sides = {
            name: stack.enter_context(Side(command, options.threads)) for name, command in commands.items()
        }
        answers: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for turn in range(options.turns + 1):
            for name in list(sides)[:: 1 if turn % 2 else -1]:
                answers[name].append(sides[name].ask(waveform=str(scratch / "waveform.npy")))
        for name, side in sides.items():
            (scratch / name).mkdir()
            n_layers = side.ask(save=str(scratch / name))["n_layers"]
        differences = layer_differences(scratch / "official", scratch / "solfa", n_layers)

    def column(name: str, side: str) -> np.ndarray:
        return np.array([answer[name] for answer in answers[side][1:]])  # the first one does not count

    ratios = column("seconds", "official") / column("seconds", "solfa")
    processor_ratios = column("processor_seconds", "official") / column("processor_seconds", "solfa")
    return Result(
        model=model, n_clips=n_clips, clip_seconds=seconds, **differences,
        solfa_seconds=float(np.median(column("seconds", "solfa"))),
        official_seconds=float(np.median(column("seconds", "official"))),
        ratio=float(np.median(ratios)), ratios=ratios.tolist(),
        processor_ratio=float(np.median(processor_ratios)),
        solfa_megabytes=answers["solfa"][-1]["megabytes"],
        official_megabytes=answers["official"][-1]["megabytes"],
        solfa_loading_megabytes=sides["solfa"].loaded["megabytes"],
        official_loading_megabytes=sides["official"].loaded["megabytes"],
        solfa_torch=sides["solfa"].loaded["torch"], official_torch=sides["official"].loaded["torch"],
    )  # fmt: skip


def layer_differences(reference: Path, estimated: Path, n_layers: int) -> dict[str, float]:
    """Over all layers: largest difference, the same by a layer's largest value, largest 1 - cosine."""
    absolute, relative, angles = [], [], []
    for layer in range(n_layers):
        theirs, ours = (np.load(side / f"{layer}.npy").astype(float) for side in (reference, estimated))
        absolute.append(np.abs(ours - theirs).max())
        relative.append(absolute[-1] / np.abs(theirs).max())
        lengths = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
        angles.append((1 - (ours * theirs).sum(-1) / lengths).max())
    return {
        "difference": float(max(absolute)),
        "relative_difference": float(max(relative)),
        "angle": float(max(angles)),
    }


def print_table(results: list[Result], threads: int) -> None:
    """A table that can stand in a page of Markdown."""
    first = results[0]
    print(
        f"float32, {threads} thread{'s' * (threads > 1)}, torch {first.solfa_torch} (solfa) and "
        f"{first.official_torch} (official)\n"
    )
    print(
        "| model | input | largest difference | by the layer's largest value | 1 - cosine "
        "| solfa | official | ratio (range) | of processor time | peak memory, solfa | official |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for r in results:
        print(
            f"| {r.model} | {r.n_clips} x {r.clip_seconds:g} s | {r.difference:.1e} "
            f"| {r.relative_difference:.1e} | {r.angle:.0e} | {r.solfa_seconds:.3f} s "
            f"| {r.official_seconds:.3f} s | {r.ratio:.2f} ({min(r.ratios):.2f} to {max(r.ratios):.2f}) "
            f"| {r.processor_ratio:.2f} "
            f"| {r.solfa_megabytes:,.0f} MB | {r.official_megabytes:,.0f} MB |"
        )
    print()
    for name in dict.fromkeys(r.model for r in results):
        r = next(r for r in results if r.model == name)
        print(
            f"loading {name}: peak {r.solfa_loading_megabytes:,.0f} MB (solfa), "
            f"{r.official_loading_megabytes:,.0f} MB (official)"
        )


def clips_and_seconds(text: str) -> tuple[int, float]:
    """Of an input such as 4x30."""
    n_clips, seconds = text.split("x")
    return int(n_clips), float(seconds)


def parse_arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="large")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="instead of those of --size")
    parser.add_argument("--inputs", nargs="+", default=["1x10", "1x30", "4x30"], help="clips x seconds")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--environment", type=Path, default=BUILD / "official_environment")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)  # this program as solfa's side
    return parser.parse_args()


def serve_solfa(folder: Path) -> None:
    """Be solfa's side."""
    import solfa

    def load() -> Any:
        encoder = solfa.load(folder)
        return lambda waveform: encoder(waveform).states

    serve(load)


def main() -> None:
    """Build what is missing, measure, print."""
    arguments = parse_arguments()
    if arguments.serve:
        serve_solfa(arguments.serve)
        return
    python = build_environment(arguments.environment.absolute())
    results = []
    for model in arguments.models or SIZES[arguments.size]:
        folder = weights_of(model, python, arguments.environment.absolute().parent)
        for n_clips, seconds in map(clips_and_seconds, arguments.inputs):
            print(f"{model}, {n_clips} x {seconds:g} s", file=sys.stderr)
            results.append(compare(model, folder, python, n_clips, seconds, arguments))
    print_table(results, arguments.threads)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=1))


if __name__ == "__main__":
    main()
