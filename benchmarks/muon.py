"""A step of Muon over the matrices of an encoder: solfa's, and PyTorch's, which multiplies bfloat16.

    python benchmarks/muon.py [--recipe solfa_small] [--rounds 5] [--threads 1]

Both take the same gradients in turns. Says seconds of processor time, their ratio, and how far the two steps
lie apart.
"""

import argparse
import time
from statistics import median

import torch
from torch import nn

from solfa.objectives import build_objective
from solfa.recipes import recipe
from solfa.training.muon import Muon

SETTINGS = {"lr": 1e-3, "momentum": 0.95, "weight_decay": 0.0}
THEIRS = SETTINGS | {"adjust_lr_fn": "match_rms_adamw"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipe", default="solfa_small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    encoder = build_objective(recipe(arguments.recipe).objective).model
    matrices = [p.detach() for p in encoder.parameters() if p.requires_grad and p.ndim == 2]
    ours, theirs = ([nn.Parameter(matrix.clone()) for matrix in matrices] for _ in range(2))
    optimizers = [(ours, Muon(ours, **SETTINGS)), (theirs, torch.optim.Muon(theirs, **THEIRS))]
    times: list[list[float]] = [[], []]
    for seed in range(arguments.rounds):
        for parameters, _ in optimizers:
            random = torch.Generator().manual_seed(seed)
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape, generator=random)
        for taken, (_, optimizer) in zip(times, optimizers, strict=True):
            begun = time.process_time()
            optimizer.step()
            taken.append(time.process_time() - begun)
    mine, its = median(times[0]), median(times[1])
    moved = sum(float((a - b).detach().square().sum()) for a, b in zip(theirs, matrices, strict=True))
    apart = sum(float((a - b).detach().square().sum()) for a, b in zip(ours, theirs, strict=True))
    print(f"{len(matrices)} matrices, {sum(m.numel() for m in matrices) / 1e6:.2f} M numbers")
    print(f"solfa {mine:.3f} s, PyTorch {its:.3f} s of processor time: {its / mine:.1f} times as long")
    print(f"The steps lie {100 * (apart / moved) ** 0.5:.2f} % of their length apart.")


if __name__ == "__main__":
    main()
