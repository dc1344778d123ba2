"""Hidden states in half precision against float32, layer by layer: cosine, largest difference, NaN.

    python benchmarks/precision.py --model runs/muq_small [song.mp3 ...]
    python benchmarks/precision.py --model OpenMuQ/MuQ-large-msd-iter --device cuda song.mp3
    python benchmarks/precision.py --random mert --device cuda

For each layer: the cosine to float32 over all values, the lowest cosine of a frame, the largest difference
relative to the layer's largest value, and how many values are not finite. Without audio files, white noise,
tones and a loud chord are heard. --random takes a full-size encoder with random weights instead of a model.

With --turns both precisions encode the first clip in turns, and the medians of their processor times (on
CUDA, of the clock) and of the ratios of neighbours are printed. On a processor bfloat16 is looked at only
where that multiplies it by itself: elsewhere it is emulated, hundreds of times slower.
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from solfa.data.audio import read_audio
from solfa.models import AudioEncoder, MERTConfig, MuQConfig, build_encoder, load_encoder
from solfa.precision import Precision, computing_in, multiplies_bfloat16

CONFIGS = {"muq": MuQConfig(), "mert": MERTConfig()}
HALVES: dict[str, tuple[Precision, ...]] = {"cuda": ("bfloat16", "float16"), "cpu": ("bfloat16",)}
TONES_HZ = (55.0, 440.0, 3520.0)


@dataclass(frozen=True)
class Difference:
    """What half precision does to a layer."""

    cosine: float  # over all values
    lowest_cosine: float  # of a frame
    largest: float  # relative to the largest value
    n_not_finite: int


def synthetic(sample_rate: int, seconds: float) -> Tensor:
    """Noise, tones and a chord at full scale, a clip each."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    tones = torch.stack([torch.sin(2 * torch.pi * hz * time) for hz in TONES_HZ])
    noise = 0.1 * torch.randn(1, len(time), generator=generator)
    return torch.cat([noise, 0.3 * tones.float(), tones.mean(0, keepdim=True).float()])


def recorded(paths: Sequence[Path], sample_rate: int, seconds: float) -> Tensor:
    """The beginning of each file; those that are shorter are filled up with silence."""
    n_samples = round(seconds * sample_rate)
    waveform = torch.zeros(len(paths), n_samples)
    for row, path in zip(waveform, paths, strict=True):
        heard = read_audio(path, sample_rate=sample_rate, start=0, n_samples=n_samples)
        row[: len(heard)] = torch.from_numpy(heard)
    return waveform


def hidden_states(encoder: AudioEncoder, waveform: Tensor, precision: Precision) -> tuple[Tensor, ...]:
    """Past the check of ``AudioEncoder.forward``, so that values that are not finite can be counted."""
    with computing_in(precision, waveform.device):
        return encoder.context(*encoder.frontend(waveform)).states


def difference(exact: Tensor, rounded: Tensor) -> Difference:
    """Compare a layer's values with those of float32; what is not finite is left out of all but its count."""
    is_finite = torch.isfinite(rounded)
    rounded = rounded.where(is_finite, exact)
    return Difference(
        cosine=float(torch.cosine_similarity(exact.double().flatten(), rounded.double().flatten(), 0)),
        lowest_cosine=float(torch.cosine_similarity(exact, rounded, dim=-1).min()),
        largest=float((exact - rounded).abs().max() / exact.abs().max()),
        n_not_finite=int((~is_finite).sum()),
    )


def table(exact: Sequence[Tensor], halves: dict[Precision, Sequence[Tensor]]) -> Iterator[str]:
    """A line for each layer."""
    columns = f"{'cosine':>9} {'lowest':>9} {'largest':>9} {'NaN':>7}"
    yield "      " + "   ".join(f"{name:<{len(columns)}}" for name in halves)
    yield "layer " + "   ".join(columns for _ in halves)
    for number, layer in enumerate(exact):
        found = [difference(layer, states[number]) for states in halves.values()]
        cells = [
            f"{d.cosine:9.6f} {d.lowest_cosine:9.6f} {d.largest:9.1e} {d.n_not_finite:7d}" for d in found
        ]
        yield f"{number:5d} " + "   ".join(cells)


def times(encoder: AudioEncoder, clip: Tensor, half: Precision, n_turns: int) -> str:
    """Seconds in float32 and in half precision, one after the other in turns."""
    clock = time.perf_counter if clip.is_cuda else time.process_time
    took: dict[Precision, list[float]] = {"float32": [], half: []}
    for turn in range(n_turns + 1):
        for precision, seconds in took.items():
            start = clock()
            hidden_states(encoder, clip, precision)
            if clip.is_cuda:
                torch.cuda.synchronize()
            if turn:  # the first makes ready
                seconds.append(clock() - start)
    ratios = [exact / rounded for exact, rounded in zip(*took.values(), strict=True)]
    exact, rounded = map(statistics.median, took.values())
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return f"float32 {exact:.3f} s, {half} {rounded:.3f} s: {statistics.median(ratios):.2f} times ({spread})"


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", help="what solfa.load takes")
    model.add_argument("--random", choices=CONFIGS, help="full size, random weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=0, help="of timing; none if 0")
    parser.add_argument("audio", nargs="*", type=Path)
    arguments = parser.parse_args()

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 as it is meant
    torch.manual_seed(0)
    if arguments.random:
        encoder = build_encoder(CONFIGS[arguments.random]).eval().to(arguments.device)
    else:
        encoder = load_encoder(arguments.model, arguments.device)
    clips = (
        recorded(arguments.audio, encoder.sample_rate, arguments.seconds)
        if arguments.audio
        else synthetic(encoder.sample_rate, arguments.seconds)
    )
    waveform = clips.to(arguments.device)
    exact = hidden_states(encoder, waveform, "float32")
    if waveform.device.type == "cpu" and not multiplies_bfloat16():
        raise SystemExit("This processor does not multiply bfloat16 by itself, or gains nothing by it.")
    names = HALVES[waveform.device.type]
    halves = {name: hidden_states(encoder, waveform, name) for name in names}
    heard = "files" if arguments.audio else "synthetic clips"
    name = arguments.model or f"full-size {arguments.random} with random weights"
    print(f"{name} on {arguments.device}, {len(waveform)} {heard} of {arguments.seconds:g} s")
    print(f"float32: {sum(int((~torch.isfinite(layer)).sum()) for layer in exact)} values are not finite")
    print("\n".join(table(exact, halves)))
    for half in names if arguments.turns else ():
        print(times(encoder, waveform[:1], half, arguments.turns))


if __name__ == "__main__":
    main()
