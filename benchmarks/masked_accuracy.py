"""What a trained encoder guesses of hidden sound on tracks that it has not seen, target by target.

    python benchmarks/masked_accuracy.py --run runs/muq_small --manifest music/heldout.jsonl

Codes: chance is one in the size of the codebook. "Commonest code" always answers the code that is the most
frequent among the hidden frames of these very tracks, which no model could know beforehand; "frequencies" is
the loss of one who knows all their frequencies and nothing else. "Of answers" is the perplexity of the codes
that the model finds likeliest.
Values: "mean" always answers with the mean of each value over these very frames.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from solfa import checkpoint
from solfa.config import load_config, override
from solfa.objectives import MaskedPredictionConfig
from solfa.targets import CodesShape
from solfa.training import Placement, RunConfig, Trainer


def validated(run: Path, manifest: Path, n_clips: int) -> tuple[RunConfig, dict[str, Any]]:
    """The run's configuration, and its figures over clips of a manifest."""
    tracks = str(manifest)
    config = override(
        load_config(RunConfig, run / checkpoint.CONFIG),
        {"data.manifest": tracks, "data.valid_manifest": tracks, "data.n_valid_clips": n_clips},
    )
    trainer = Trainer(config, Placement(run=run, device=torch.device("cpu"), clips_per_device=8))
    trainer.load(checkpoint.step_folder(run, checkpoint.steps(run)[-1]))
    return config, {"step": trainer.step, **trainer.validate()}


def figures_of(number: int, figures: dict[str, Any], first: dict[str, int], kind: str) -> dict[str, Any]:
    """The figures of one prediction; the first of its kind has them under their plain names."""
    prefix = "" if first.setdefault(kind, number) == number else f"predictions.{number}."
    return {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}


def code_lines(figures: dict[str, Any], codebook_size: int) -> Iterator[str]:
    """The table of a target that gives codes."""
    yield f"{'codebook':>14}{'accuracy':>10}{'loss':>8}{'perplexity of codes':>21}{'of answers':>12}"
    columns = ("accuracy_by_codebook", "loss_by_codebook", "perplexity_by_codebook",
               "predicted_perplexity_by_codebook")  # fmt: skip
    books = list(zip(*(figures[name] for name in columns), strict=True))
    for number, (accuracy, loss, perplexity, predicted) in enumerate(books, start=1):
        yield f"{number:14}{accuracy:10.2%}{loss:8.3f}{perplexity:21.0f}{predicted:12.0f}"
    mean = sum(loss for _, loss, _, _ in books) / len(books)
    yield f"{'all':>14}{figures['accuracy']:10.2%}{mean:8.3f}"
    accuracy, loss = figures["unigram_accuracy"], figures["unigram_loss"]
    yield f"{'commonest code':>14}{accuracy:10.2%}{loss:8.3f}  (frequencies)"
    yield f"{'chance':>14}{1 / codebook_size:10.2%}{math.log(codebook_size):8.3f}"


def value_lines(figures: dict[str, Any]) -> Iterator[str]:
    """The table of a target that gives values."""
    error, of_mean = figures["squared_error"], figures["squared_error_of_mean"]
    yield f"{'squared error':>14}{error:10.4f}"
    yield f"{'mean':>14}{of_mean:10.4f}"
    yield f"{'explained':>14}{1 - error / of_mean:10.1%}"


def main() -> None:
    """Print a table for each prediction."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=128)
    arguments = parser.parse_args()
    config, figures = validated(arguments.run, arguments.manifest, arguments.clips)
    assert isinstance(config.objective, MaskedPredictionConfig)
    print(
        f"{arguments.clips} clips of {config.data.clip_seconds:g} s from {arguments.manifest}, "
        f"step {figures['step']}; hidden states: deviation {figures['hidden_std']:.3f}, "
        f"{figures['hidden_varying_share']:.1%} of their power varies, in {figures['hidden_rank']:.1f} "
        "directions"
    )
    first: dict[str, int] = {}
    for number, prediction in enumerate(config.objective.predictions):
        shape = prediction.target.shape
        kind = type(shape).__name__
        own = figures_of(number, figures, first, kind)
        print(f"\npredictions.{number}: {prediction.target.kind}")
        is_codes = isinstance(shape, CodesShape)
        print("\n".join(code_lines(own, shape.codebook_size) if is_codes else value_lines(own)))


if __name__ == "__main__":
    main()
