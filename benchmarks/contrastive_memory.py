"""Memory and time of a contrastive loss with its gradient: all similarities at once, and some at a time.

    python benchmarks/contrastive_memory.py --pairs 8192 --pairs-at-once 512

Each way runs in a process of its own; what that takes before the loss is told apart. Losses and gradients of
both ways are compared.
"""

import argparse
import resource
import subprocess
import sys
import time

import torch

from solfa.objectives import DecoupledLossConfig, PairLoss

DIM = 512


def main() -> None:
    """Run both ways, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8192)
    parser.add_argument("--pairs-at-once", type=int, default=512)
    parser.add_argument("--alone", action="store_true", help="only this many at once, in this process")
    given = parser.parse_args()
    if given.alone:
        measure(given.pairs, given.pairs_at_once)
        return
    for at_once in (given.pairs, given.pairs_at_once):
        command = [sys.executable, __file__, "--pairs", str(given.pairs), "--pairs-at-once", str(at_once)]
        subprocess.run([*command, "--alone"], check=True)


def measure(n_pairs: int, at_once: int) -> None:
    """One loss and gradient."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    audio, text = torch.nn.functional.normalize(torch.randn(2, n_pairs, DIM), dim=-1).unbind()
    audio, text = audio.clone().requires_grad_(), text.clone().requires_grad_()
    loss = PairLoss(DecoupledLossConfig(pairs_at_once=at_once))
    loss(audio[:8], text[:8])[0].mean().backward()  # what is made once and kept
    audio.grad = text.grad = None
    before, begun = _peak_mib(), time.process_time()
    value = loss(audio, text)[0].mean()
    value.backward()
    seconds = time.process_time() - begun
    assert audio.grad is not None and text.grad is not None
    print(
        f"{n_pairs} pairs, {at_once} at once: {_peak_mib() - before:.0f} MiB more, {seconds:.1f} s of "
        f"processor time, loss {float(value.detach()):.6f}, gradients {float(audio.grad.norm()):.6e} and "
        f"{float(text.grad.norm()):.6e}"
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
