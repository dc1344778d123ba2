"""Pictures of tracks, for those who must say what is in them without ears: spectra, strokes, two close looks.

    python benchmarks/looking.py unheard.jsonl pictures --names caves elf-land --together 2

A row of pictures for each track. Left: the whole track as constant-Q spectrum, and below it the rise of low
and high bands from frame to frame (drums stand out as regular spikes in both) and the level. Right: eight
seconds from a quarter and from six tenths of the track, as constant-Q and as linear spectrum up to 12 kHz.
Above: what the file says of itself, and what ``solfa data hear`` measures in six pieces of 10 s.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
import torch

from solfa.data.audio import read_audio
from solfa.data.manifest import Track, read_manifest
from solfa.features import LogConstantQ, LogConstantQConfig, Measured, Measurements

RATE = 24_000  # Hz
CLOSE_SECONDS = 8.0
CLOSE_AT = (0.25, 0.6)  # of the track
LONGEST = 160.0  # seconds that are shown


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path, help="a folder of pictures")
    parser.add_argument("--names", nargs="*", help="parts of paths; all tracks if not given")
    parser.add_argument("--together", type=int, default=2, help="tracks in a picture")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tracks = read_manifest(given.manifest)
    if given.names:
        tracks = [next(t for t in tracks if name in t.path.as_posix()) for name in given.names]
    given.out.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(tracks), given.together):
        draw(tracks[first : first + given.together], given.out / f"{first:03d}.png")


def draw(tracks: list[Track], path: Path) -> None:
    """A picture of some tracks."""
    figure = plt.figure(figsize=(20, 7.6 * len(tracks)), dpi=80)
    grid = figure.add_gridspec(2 * len(tracks), 3, width_ratios=(2, 1.1, 1.1), hspace=0.32, wspace=0.1)
    for number, track in enumerate(tracks):
        waveform = read_audio(track.path, sample_rate=RATE)[: int(LONGEST * RATE)]
        cells = [
            [figure.add_subplot(grid[2 * number + row, column]) for column in range(3)] for row in (0, 1)
        ]
        draw_track(track, waveform, cells)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def draw_track(track: Track, waveform: np.ndarray, cells: list[list[plt.Axes]]) -> None:
    """Two rows of three pictures."""
    power = powers(waveform)
    show_constant_q(cells[0][0], waveform, 0.0)
    cells[0][0].set_title(headline(track, waveform), fontsize=9, loc="left", wrap=True)
    show_strokes(cells[1][0], power)
    for column, at in enumerate(CLOSE_AT, start=1):
        start = max(0.0, at * len(waveform) / RATE - CLOSE_SECONDS / 2)
        part = waveform[int(start * RATE) : int((start + CLOSE_SECONDS) * RATE)]
        show_constant_q(cells[0][column], part, start)
        decibels = 10 * np.log10(powers(part, hop=240) + 1e-10)
        cells[1][column].imshow(
            decibels.T, origin="lower", aspect="auto", cmap="magma", vmin=-60, vmax=30,
            extent=(start, start + len(part) / RATE, 0, 12),
        )  # fmt: skip


def show_constant_q(axes: plt.Axes, waveform: np.ndarray, start: float) -> None:
    """Constant-Q levels; lines at every C."""
    cqt = LogConstantQ(LogConstantQConfig())
    with torch.inference_mode():
        levels = cqt(torch.from_numpy(waveform)[None].float())[0].numpy()
    per_octave = cqt.config.constant_q.bins_per_octave
    octaves = levels.shape[1] / per_octave
    low, high = np.percentile(levels, (30, 99.8))
    axes.imshow(
        levels.T, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high,
        extent=(start, start + len(waveform) / RATE, 0, octaves),
    )  # fmt: skip
    axes.set_yticks(range(int(octaves) + 1), [f"C{n + 1}" for n in range(int(octaves) + 1)], fontsize=7)
    axes.tick_params(labelsize=7)


def show_strokes(axes: plt.Axes, power: np.ndarray) -> None:
    """Rise of bands below 150 Hz and above 5 kHz, and the level, over time."""
    decibels = 10 * np.log10(power + 1e-6)
    edges = {"below 150 Hz": slice(1, 13), "above 5 kHz": slice(427, 1024)}
    seconds = np.arange(1, len(power)) * 480 / RATE
    for number, (name, bins) in enumerate(edges.items()):
        rise = np.diff(decibels[:, bins].mean(1)).clip(min=0)
        axes.plot(seconds, rise - 40 * number, lw=0.5, label=f"rise {name}, dB")
    axes.plot(seconds, 10 * np.log10(power.sum(1)[1:] + 1e-6) / 2 + 20, lw=0.6, c="k", label="level / 2")
    axes.set_xlim(0, seconds[-1])
    axes.set_ylim(-45, 60)
    axes.legend(fontsize=7, loc="upper right", ncol=3)
    axes.tick_params(labelsize=7)


def powers(waveform: np.ndarray, hop: int = 480) -> np.ndarray:
    """Short-time power, window of 2048 samples."""
    window = torch.hann_window(2048)
    spectrum = torch.stft(
        torch.from_numpy(waveform).float(), 2048, hop, window=window, return_complex=True, pad_mode="constant"
    )
    return spectrum.abs().square().T.numpy()


def headline(track: Track, waveform: np.ndarray) -> str:
    """What the file says, and medians of measurements."""
    hidden = ("package", "licence", "track", "disc", "albumartist")
    said = "; ".join(f"{name}: {value[:60]}" for name, value in track.tags.items() if name not in hidden)
    measured = list(measure(waveform))
    middle = {
        name: np.median([getattr(m, name) for m in measured])
        for name in ("level_db", "brightness_hz", "onsets_per_second", "percussive", "beat_strength")
    }
    tempi = " ".join(f"{m.tempo_bpm:.0f}" for m in measured)
    modes = " ".join(m.mode[:2] or "-" for m in measured)
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in middle.items())
    place = "/".join(track.path.parts[-2:])
    return f"{place} ({track.seconds:.0f} s)  {said[:170]}\n{numbers}\ntempi {tempi}; modes {modes}"


def measure(waveform: np.ndarray) -> Iterator[Measured]:
    """Six pieces of 10 s."""
    measurements = Measurements()
    n = int(10 * RATE)
    for start in np.linspace(0, max(0, len(waveform) - n), 6).astype(int):
        if len(waveform[start : start + n]) >= 4 * RATE:
            found = measurements(waveform[start : start + n])
            if found is not None:
                yield found


if __name__ == "__main__":
    main()
