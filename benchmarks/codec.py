"""What a codec keeps of music it never heard, beside Mel-RVQ and beside resampling.

    python benchmarks/codec.py --codec runs/rvq_vae --mel-rvq runs/mel_rvq --manifest music/heldout.jsonl

From every track one clip is cut from the middle and sent through the RVQ-VAE (all codebooks, and the first
two), through the Mel-RVQ of MuQ, whose frames are turned into sound by 32 rounds of Griffin-Lim, through
Griffin-Lim alone from exact mel frames, and through 4 kHz and back. Printed are distances to the original,
means over clips with 95 % intervals of a bootstrap over tracks:

    convergence     |S - S'| / |S| of magnitude spectra, windows of 5 to 85 ms; silence has 1
    log magnitude   mean |ln S - ln S'|
    mel             mean distance of mel bands, decibels
    waveform SNR    10 log10(|x|^2 / |x - x'|^2), decibels; a right spectrum with wrong phases has none

and how the codes are used: perplexity of each codebook over all clips, against 1024 at most.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import librosa
import matplotlib.pyplot as plt
import numpy as np
import soxr
import torch

from solfa.data.audio import read_audio, write_audio
from solfa.data.manifest import Track, read_manifest
from solfa.features import SpectralDistance, SpectralDistanceConfig
from solfa.features.mel import mel_filters
from solfa.targets import MelRVQ, MelRVQConfig, load_codec
from solfa.training.monitor import code_figures

RATE, LOW_RATE = 24_000, 4_000
System = Callable[[torch.Tensor], torch.Tensor]


def middle(track: Track, seconds: float) -> torch.Tensor:
    """A clip from the middle of a track."""
    n, start = round(seconds * RATE), round((track.seconds - seconds) / 2 * RATE)
    wave = read_audio(track.path, sample_rate=RATE, start=max(0, start), n_samples=n)
    return torch.from_numpy(np.pad(wave, (0, n - len(wave))))[None]


def resampled(waveform: torch.Tensor) -> torch.Tensor:
    """Through 4 kHz and back."""
    low = soxr.resample(waveform[0].numpy(), RATE, LOW_RATE)
    back = soxr.resample(low, LOW_RATE, RATE)[: waveform.shape[1]]
    return torch.from_numpy(np.pad(back, (0, waveform.shape[1] - len(back))))[None].float()


def heard(mel: torch.Tensor, target: MelRVQ, n_samples: int) -> torch.Tensor:
    """Sound of normalised mel frames, with phases found by Griffin-Lim."""
    config = target.config.frames.mel
    decibels = mel.reshape(-1, config.n_mels) * config.std_db + config.mean_db
    bands = mel_filters(config.n_mels, config.n_fft, config.sample_rate)
    spread = bands / bands.sum(1, keepdim=True).clamp(min=1e-9)  # each band evenly over its own bins
    power = librosa.db_to_power(decibels.numpy()) @ spread.numpy()
    wave = librosa.griffinlim(np.sqrt(power.T), n_iter=32, hop_length=config.hop_length, n_fft=config.n_fft,
                              random_state=0)[:n_samples]  # fmt: skip
    return torch.from_numpy(np.pad(wave, (0, n_samples - len(wave))))[None].float()


def systems(codec_run: Path, mel_rvq_run: Path) -> dict[str, tuple[float | None, System]]:
    """Names, kilobits a second, and what each makes of a waveform."""
    codec, target = load_codec(codec_run), MelRVQ(MelRVQConfig(fitted=str(mel_rvq_run)))
    target.load_fitted()
    size, rate = codec.config.quantizer, codec.grid.frame_rate
    bits = (size.codebook_size - 1).bit_length() * rate / 1000

    def through(n_codebooks: int) -> System:
        return lambda wave: codec.decode(codec.encode(wave)[:, :n_codebooks])[:, : wave.shape[1]]

    def mel_rvq(wave: torch.Tensor) -> torch.Tensor:
        codes = target.quantizer.encode(target.frames(wave))
        return heard(target.quantizer.decode(codes), target, wave.shape[1])

    books = target.config.quantizer
    mel_bits = books.n_codebooks * (books.codebook_size - 1).bit_length() * target.grid.frame_rate / 1000
    n = size.n_codebooks
    return {
        f"RVQ-VAE, {n} codebooks": (n * bits, through(n)),
        "RVQ-VAE, first 2": (2 * bits, through(2)),
        "Mel-RVQ + Griffin-Lim": (mel_bits, mel_rvq),
        "exact mel + Griffin-Lim": (None, lambda wave: heard(target.frames(wave), target, wave.shape[1])),
        "4 kHz and back": (LOW_RATE * 16 / 1000, resampled),
        "silence": (0.0, torch.zeros_like),
    }


def distances(
    measure: SpectralDistance, reference: torch.Tensor, estimated: torch.Tensor
) -> dict[str, float]:
    """The columns of the table, for one clip."""
    apart = measure(reference, estimated)
    noise = (reference - estimated).square().sum().clamp(min=1e-9)
    return {
        "convergence": float(apart.convergence),
        "log magnitude": float(apart.log_magnitude),
        "mel dB": float(apart.mel_decibels),
        "SNR dB": float(10 * (reference.square().sum().clamp(min=1e-9) / noise).log10()),
    }


def interval(values: list[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean and 95 % interval of a bootstrap."""
    rng, array = np.random.default_rng(seed), np.array(values)
    means = array[rng.integers(len(array), size=(2000, len(array)))].mean(1)
    return float(array.mean()), *(float(v) for v in np.percentile(means, [2.5, 97.5]))


def picture(panels: dict[str, torch.Tensor], path: Path) -> None:
    """Spectrograms of a clip through every system, under one another."""
    figure, axes = plt.subplots(len(panels), 1, figsize=(9, 1.75 * len(panels)), sharex=True, sharey=True,
                                layout="constrained")  # fmt: skip
    for axis, (name, wave) in zip(axes, panels.items(), strict=True):
        level = librosa.amplitude_to_db(np.abs(librosa.stft(wave[0].numpy(), n_fft=1024, hop_length=256)),
                                        ref=32, amin=1e-4)  # fmt: skip
        image = axis.imshow(level, origin="lower", aspect="auto", cmap="magma", vmin=-90, vmax=0,
                            extent=(0, wave.shape[1] / RATE, 0, RATE / 2000))  # fmt: skip
        axis.set_title(name, loc="left", fontsize=10)
        axis.set_ylabel("kHz")
    axes[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=axes, label="dB", aspect=50, pad=0.01)
    figure.savefig(path, dpi=110)


@torch.inference_mode()
def main() -> None:
    """Send the clips through all systems and print how they come back."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codec", type=Path, required=True)
    parser.add_argument("--mel-rvq", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--picture", type=Path, help="a PNG of one track's spectrograms")
    parser.add_argument("--pictured", default="", help="part of that track's path; the first one if empty")
    parser.add_argument("--sounds", type=Path, help="a folder for that track's sounds")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tracks = [track for track in read_manifest(arguments.manifest) if track.seconds >= arguments.seconds]
    measure, every = SpectralDistance(SpectralDistanceConfig()), systems(arguments.codec, arguments.mel_rvq)
    codec = load_codec(arguments.codec)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in every}
    size = codec.config.quantizer.codebook_size
    uses = torch.zeros(codec.config.quantizer.n_codebooks, size, dtype=torch.long)
    chosen = next(track for track in tracks if arguments.pictured in str(track.path))
    for track in tracks:
        reference = middle(track, arguments.seconds)
        uses += torch.stack([book.flatten().bincount(minlength=size) for book in codec.encode(reference)[0]])
        rebuilt = {name: system(reference) for name, (_, system) in every.items()}
        for name, wave in rebuilt.items():
            for column, value in distances(measure, reference, wave).items():
                found[name].setdefault(column, []).append(value)
        if track is chosen and arguments.picture:
            hidden = ("silence", "RVQ-VAE, first 2")
            shown = {name: wave for name, wave in rebuilt.items() if name not in hidden}
            picture({"original": reference, **shown}, arguments.picture)
        if track is chosen and arguments.sounds:
            arguments.sounds.mkdir(parents=True, exist_ok=True)
            for name, wave in {"original": reference, **rebuilt}.items():
                write_audio(arguments.sounds / f"{name}.wav", wave[0].numpy(), RATE)
    table = {
        name: {"kbit/s": every[name][0]} | {column: interval(values) for column, values in columns.items()}
        for name, columns in found.items()
    }
    show(table, len(tracks), arguments.seconds)
    figures = code_figures(uses)
    print("\nPerplexity by codebook:", ", ".join(f"{p:.0f}" for p in figures["perplexity_by_codebook"]),
          f"of {size}; share of codes used {figures['used_share']:.1%}")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps({"table": table, "codes": figures}, indent=1))


def show(table: dict[str, dict], n_tracks: int, seconds: float) -> None:
    """Print the table as Markdown."""
    columns = list(next(iter(table.values())))
    print(f"{n_tracks} tracks, {seconds:g} s of each\n\n| system | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, row in table.items():
        cells = []
        for column in columns:
            value = row[column]
            if column == "kbit/s":
                cells.append("-" if value is None else f"{value:g}")
            else:
                cells.append(f"{value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f})")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
