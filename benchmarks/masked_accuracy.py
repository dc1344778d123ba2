"""What a trained encoder guesses of hidden sound on tracks that it has not seen, codebook by codebook.

    python benchmarks/masked_accuracy.py --run runs/muq_small --manifest music/heldout.jsonl

Chance is one in the size of the codebook. "Commonest code" always answers the code that is the most frequent
among the hidden frames of these very tracks, which no model could know beforehand; "frequencies" is the loss
of one who knows all their frequencies and nothing else.
"""

import argparse
import math
from pathlib import Path

import torch

from solfa import checkpoint
from solfa.config import load_config, override
from solfa.objectives import MaskedPredictionConfig
from solfa.targets import MelFramesConfig
from solfa.training import Place, RunConfig, Trainer


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=128)
    arguments = parser.parse_args()
    tracks = str(arguments.manifest)
    config = override(
        load_config(RunConfig, arguments.run / checkpoint.CONFIG),
        {"data.manifest": tracks, "data.valid_manifest": tracks, "data.n_valid_clips": arguments.clips},
    )
    assert isinstance(config.objective, MaskedPredictionConfig)
    trainer = Trainer(config, Place(run=arguments.run, device=torch.device("cpu"), clips_per_device=8))
    trainer.load(checkpoint.step_folder(arguments.run, checkpoint.steps(arguments.run)[-1]))
    figures = trainer.validate()
    target = config.objective.predictions[0].target
    assert not isinstance(target, MelFramesConfig)
    size = target.quantizer.codebook_size
    print(f"{arguments.clips} clips of {config.data.clip_seconds:g} s from {tracks}, step {trainer.step}")
    print(f"{'codebook':>10}{'accuracy':>10}{'loss':>8}{'perplexity of the codes':>25}")
    columns = ("accuracy_by_codebook", "loss_by_codebook", "perplexity_by_codebook")
    books = zip(*(figures[name] for name in columns), strict=True)
    for number, (accuracy, loss, perplexity) in enumerate(books, start=1):
        print(f"{number:10}{accuracy:10.2%}{loss:8.3f}{perplexity:25.0f}")
    mean = sum(figures["loss_by_codebook"]) / len(figures["loss_by_codebook"])
    print(f"{'all':>10}{figures['accuracy']:10.2%}{mean:8.3f}")
    accuracy, loss = figures["unigram_accuracy"], figures["unigram_loss"]
    print(f"{'commonest code':>14}{accuracy:6.2%}{loss:8.3f}  (frequencies)")
    print(f"{'chance':>14}{1 / size:6.2%}{math.log(size):8.3f}")


if __name__ == "__main__":
    main()
