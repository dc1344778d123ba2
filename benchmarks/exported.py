"""Exported graphs beside PyTorch: sizes, what the check of the export found, and processor time.

python benchmarks/exported.py MODEL FOLDER... [--seconds 30] [--repeats 7]

Each FOLDER is one that ``solfa export onnx MODEL`` filled. All sides hear the same clip, in turns, with
one thread each; figures are medians of processor time, and ratios above one mean that the graph is faster.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import solfa
from solfa.models import ClipEncoder, MuLan
from solfa.onnx import OnnxModel


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the clip; of a music-text model 5")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = solfa.load(options.model)
    encoder = ClipEncoder(model).eval() if isinstance(model, MuLan) else model
    readers = {folder: OnnxModel(folder, threads=1) for folder in options.folders}
    noise = np.random.default_rng(0).standard_normal((1, round(options.seconds * encoder.sample_rate)))
    clip = (0.1 * noise).astype(np.float32)
    layers = next(iter(readers.values())).about["layers"]
    with torch.inference_mode():
        sides: dict[object, Callable[[], object]] = {"PyTorch": lambda: encoder(clip, layers=layers)}
        sides |= {folder: lambda reader=reader: reader(clip) for folder, reader in readers.items()}
        took = in_turns(sides, options.repeats)
    print(f"torch {torch.__version__}, PyTorch {statistics.median(took['PyTorch']):.3f} s")
    print("| weights | audio.onnx | text.onnx | seconds | PyTorch / graph | checked |")
    print("|---|---|---|---|---|---|")
    for folder, reader in readers.items():
        sizes = " | ".join(megabytes(folder / name) for name in ("audio.onnx", "text.onnx"))
        ratios = [one / other for one, other in zip(took["PyTorch"], took[folder], strict=True)]
        checked = ", ".join(
            f"{row['output']} {row['difference']:.0e}, {row['cosine']:.5f}" for row in reader.about["checked"]
        )
        print(
            f"| {reader.about['weights']} | {sizes} | {statistics.median(took[folder]):.3f} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | {checked} |"
        )


def in_turns(sides: dict[object, Callable[[], object]], n_repeats: int) -> dict[object, list[float]]:
    """Processor seconds of each side, one after the other in each round; the first round is left out."""
    took: dict[object, list[float]] = {name: [] for name in sides}
    for _ in range(n_repeats + 1):
        for name, work in sides.items():
            before = time.process_time()
            work()
            took[name].append(time.process_time() - before)
    return {name: seconds[1:] for name, seconds in took.items()}


def megabytes(path: Path) -> str:
    """The size of a file."""
    return f"{path.stat().st_size / 1e6:.1f} MB" if path.exists() else "none"


if __name__ == "__main__":
    main()
