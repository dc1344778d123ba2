"""Constant-Q magnitudes by blocks of spectrum against the direct convolution: time, ratio, difference.

    python benchmarks/constant_q.py [--clips 1] [--seconds 5] [--turns 3]

Both sides take the same clips in turns (A B A B ...), so that a machine whose speed drifts slows both; the
medians and their ratio are printed. The direct side slides kernels of 65,536 samples over the waveform, as
the programs that MERT was trained with do.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from solfa.features import ConstantQ, ConstantQConfig


def direct_kernels(config: ConstantQConfig) -> Tensor:
    """Real parts of all bins, then imaginary ones, each centred in as many samples as any needs."""
    longest = config.kernel_samples(0)
    n_taps = 2 ** math.ceil(math.log2(longest))
    kernels = torch.zeros(config.n_bins, n_taps, dtype=torch.complex128)
    for k in range(config.n_bins):
        length = config.kernel_samples(k)
        start = n_taps // 2 - (length + 1) // 2
        window = torch.hann_window(length, dtype=torch.float64)
        step = 2 * math.pi * config.frequency(k) / config.sample_rate
        angle = step * torch.arange(length, dtype=torch.float64)
        kernels[k, start : start + length] = torch.polar(window / window.sum() * math.sqrt(length), angle)
    return torch.cat([kernels.real, kernels.imag]).float()[:, None]


def direct(waveform: Tensor, kernels: Tensor, hop_length: int) -> Tensor:
    """Magnitudes by convolution."""
    padded = torch.nn.functional.pad(waveform[:, None], (kernels.shape[2] // 2, kernels.shape[2] // 2))
    real, imaginary = torch.conv1d(padded, kernels, stride=hop_length).chunk(2, dim=1)
    return torch.hypot(real, imaginary).mT


def seconds_of(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """How long it takes, and what it gives."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()

    config = ConstantQConfig()
    generator = torch.Generator().manual_seed(0)
    n_samples = round(arguments.seconds * config.sample_rate)
    waveform = 0.1 * torch.randn(arguments.clips, n_samples, generator=generator)
    building, ours = seconds_of(lambda: ConstantQ(config))  # type: ignore[arg-type, return-value]
    kernels = direct_kernels(config)

    times: dict[str, list[float]] = {"blocks of spectrum": [], "direct": []}
    ours(waveform)  # plans its transforms
    for _ in range(arguments.turns):
        taken, estimated = seconds_of(lambda: ours(waveform))
        times["blocks of spectrum"].append(taken)
        taken, reference = seconds_of(lambda: direct(waveform, kernels, config.hop_length))
        times["direct"].append(taken)

    difference = (estimated - reference).abs().max() / reference.abs().max()
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{arguments.clips} clips of {arguments.seconds:g} s, {torch.get_num_threads()} threads")
    for name, median in medians.items():
        print(f"{name:20} {1000 * median:9.1f} ms")
    print(f"{'ratio':20} {medians['direct'] / medians['blocks of spectrum']:9.1f}")
    print(f"{'built once in':20} {1000 * building:9.1f} ms")
    print(f"largest difference, relative to the largest magnitude: {difference:.1e}")


if __name__ == "__main__":
    main()
