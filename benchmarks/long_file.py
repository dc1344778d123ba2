"""Long files through an encoder of MuQ-large's size: memory and time by length, and the error at seams.

    python benchmarks/long_file.py [--minutes 10 20 60] [--size tiny|large | --model FOLDER] [--audio FILE]

Each length is embedded by ``solfa.embed`` in a process of its own; the peak memory is that of the whole
process, with its weights and libraries. A straight line is fitted to time against length. Without a file,
whose sound is repeated to the length that is asked for, chords that change over time are made.

For the seams, every frame of the windows is compared with the same frame of a single window over two minutes:
along the track, where only the frames taken from each window count, and by position in the window, with the
context that is thrown away. Error is the length of the difference by the length of the reference. Attention
hears the whole window, so a longer window moves all frames of a shorter one alike; the local error is what is
left without that: the same of the differences less their mean over the window. A seam would show there.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from official_side import peak_megabytes

import solfa
from solfa.data.audio import read_audio
from solfa.embedding import WindowConfig, hidden_states
from solfa.embedding.windows import cut_windows
from solfa.models import AudioEncoder, ConformerConfig, ConvStemConfig, MuQConfig, build_encoder

SAMPLE_RATE = 44_100  # Hz, of the files; read and resampled as a user's would be
LIMIT_MEGABYTES = 3000
SIZES = {
    "large": MuQConfig(),
    "tiny": MuQConfig(
        stem=ConvStemConfig(n_channels=32),
        conformer=ConformerConfig(n_layers=4, dim=128, feed_forward_dim=512, n_heads=4),
    ),
}
INK, FAINT, SEAM, PAPER = "#22303c", "#d5dce2", "#d1495b", "#fbfcfd"
FLOOR = 1e-7  # what a float32 can tell


@dataclass(frozen=True)
class Length:
    """One file, embedded in a process of its own."""

    minutes: float
    seconds: float  # of embedding, without loading
    megabytes: float  # peak of the process
    loaded_megabytes: float  # peak before the first window


@dataclass(frozen=True)
class Windowed:
    """All frames of one window beside the same frames of the reference."""

    first: int  # its first frame on the track
    taken: slice  # of its frames
    error: np.ndarray  # (layer, frame)
    local_error: np.ndarray  # (layer, frame): without what all frames of the window share
    angle: np.ndarray  # (layer, frame): 1 - cosine


def make_file(path: Path, seconds: float, audio: Path | None) -> Path:
    """A mono WAV file of the length that is asked for."""
    blocks = made_sound() if audio is None else repeated(audio)
    left = round(seconds * SAMPLE_RATE)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
        while left:
            block = next(blocks)[:left]
            file.write(block)
            left -= len(block)
    return path


def made_sound() -> Iterator[np.ndarray]:
    """Half seconds of chords in noise; the register and both levels change every eight seconds."""
    rng = np.random.default_rng(0)
    clock = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    while True:
        lowest, tone_level, noise_level = rng.integers(24, 60), rng.uniform(0.02, 0.2), rng.uniform(0, 0.05)
        for _ in range(16):
            pitches = 27.5 * 2 ** ((lowest + rng.integers(0, 25, 4)) / 12)
            tones = np.sin(2 * np.pi * pitches[:, None] * clock).sum(0) * np.exp(-3 * clock)
            yield tone_level * tones + noise_level * rng.standard_normal(len(clock))


def repeated(audio: Path) -> Iterator[np.ndarray]:
    """The sound of a file, again and again."""
    sound = read_audio(audio, sample_rate=SAMPLE_RATE)
    while True:
        yield sound


def load_encoder(arguments: argparse.Namespace) -> AudioEncoder:
    """The model that is asked for."""
    torch.set_num_threads(arguments.threads)
    if arguments.model:
        return solfa.load(arguments.model)
    torch.manual_seed(0)
    return build_encoder(SIZES[arguments.size]).eval().requires_grad_(False)


def measured(minutes: float, arguments: argparse.Namespace) -> Length:
    """Embed a file of that length; meant for a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        path = make_file(Path(folder) / "track.wav", 60 * minutes, arguments.audio)
        encoder = load_encoder(arguments)
        loaded = peak_megabytes()
        start = time.perf_counter()
        solfa.embed(path, encoder, windows=arguments.windows)
        return Length(minutes, time.perf_counter() - start, peak_megabytes(), loaded)


def print_lengths(lengths: list[Length]) -> dict[str, float]:
    """A table, whether memory stays within its limit, and the line through three lengths or more."""
    print("\n| length | time | times real time | peak memory | of it before the first window |")
    print("|---|---|---|---|---|")
    for length in lengths:
        print(
            f"| {length.minutes:g} min | {length.seconds:.1f} s | {60 * length.minutes / length.seconds:.1f} "
            f"| {length.megabytes:,.0f} MB | {length.loaded_megabytes:,.0f} MB |"
        )
    highest = max(length.megabytes for length in lengths)
    verdict = "within" if highest < LIMIT_MEGABYTES else "ABOVE"
    print(f"\npeak memory {highest:,.0f} MB: {verdict} the limit of {LIMIT_MEGABYTES:,} MB")
    if len(lengths) < 3:
        return {}
    minutes, seconds = np.array([(length.minutes, length.seconds) for length in lengths]).T
    slope, start = np.polyfit(minutes, seconds, 1)
    off = np.abs(slope * minutes + start - seconds) / seconds
    print(
        f"time = {start:.2f} s + {slope:.3f} s per minute of audio; "
        f"no length is off that line by more than {off.max():.1%}"
    )
    return {"seconds_at_zero": start, "seconds_per_minute": slope, "largest_deviation": off.max()}


@torch.no_grad()
def compare_windows(
    path: Path, encoder: AudioEncoder, arguments: argparse.Namespace
) -> tuple[list[Windowed], np.ndarray]:
    """Each window beside a single one over the whole track; and the growth of steps, (layer, seam).

    A step is the distance of two neighbouring frames. Its growth is the step across a seam by the same step
    in the reference: 1 where the seam cannot be seen.
    """
    whole = WindowConfig(window_seconds=arguments.reference + 1, context_seconds=0)
    reference = hidden_states(path, encoder, range(encoder.n_layers + 1), windows=whole).states
    windows, growth, before, end = [], [], None, 0
    for window in cut_windows(path, encoder.grid, arguments.windows):
        states = encoder(torch.from_numpy(window.waveform)[None]).layers[:, 0]
        first = end - window.taken.start
        expected = reference[:, first : first + states.shape[1]]
        difference = states - expected
        local = difference - difference[:, window.taken].mean(1, keepdim=True)
        error, local_error = (d.norm(dim=2) / expected.norm(dim=2) for d in (difference, local))
        angle = 1 - torch.cosine_similarity(states.double(), expected.double(), dim=2)
        windows.append(
            Windowed(first, window.taken, error.numpy(), local_error.numpy(), angle.clamp(min=0).numpy())
        )
        taken = states[:, window.taken]
        if before is not None:
            step = (reference[:, end] - reference[:, end - 1]).norm(dim=1)
            growth.append(((taken[:, 0] - before).norm(dim=1) / step).numpy())
        before, end = taken[:, -1], end + taken.shape[1]
    return windows, np.stack(growth, axis=1)


def print_seams(windows: list[Windowed], growth: np.ndarray) -> list[dict[str, float]]:
    """One line a layer, of the frames that are taken."""
    error, local_error, angle = (
        np.concatenate([getattr(w, name)[:, w.taken] for w in windows], axis=1)
        for name in ("error", "local_error", "angle")
    )
    print(
        "\n| layer | error: median | largest | local: median | largest | 1 - cosine: median | largest ",
        end="",
    )
    print("| step across a seam |\n|---|---|---|---|---|---|---|---|")
    rows = []
    for layer in range(len(error)):
        row: dict[str, float] = {"layer": layer}
        for name, values in (("error", error), ("local_error", local_error), ("angle", angle)):
            row |= {f"{name}_median": np.median(values[layer]), f"{name}_largest": values[layer].max()}
        cells = " | ".join(f"{value:.1e}" for value in list(row.values())[1:])
        row["largest_growth_of_steps"] = growth[layer].max()
        print(f"| {layer} | {cells} | at most {row['largest_growth_of_steps']:.2f} times |")
        rows.append({name: float(value) for name, value in row.items()})
    return rows


def draw_seams(windows: list[Windowed], frame_rate: float, arguments: argparse.Namespace) -> Path:
    """Error along the track and by position in the window, layer by layer."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    colours = colormaps["viridis"](np.linspace(0, 0.9, len(windows[0].error)))
    figure = Figure(figsize=(11, 10.5), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    track, position, local = figure.subplots(3, 1)
    inner = windows[1:-1]  # with context on both sides
    typical, typical_local = (
        np.median([getattr(w, name) for w in inner], axis=0) for name in ("error", "local_error")
    )
    for layer, colour in enumerate(colours):
        stitched = np.concatenate([w.error[layer, w.taken] for w in windows])
        _line(track, stitched, frame_rate, colour, str(layer))
        _line(position, typical[layer], frame_rate, colour)
        _line(local, typical_local[layer], frame_rate, colour)
    for w in windows[1:]:
        track.axvline((w.first + w.taken.start) / frame_rate, color=SEAM, ls="--", lw=1)
    for axes in (position, local):
        for low, high in ((0, arguments.context), (arguments.window - arguments.context, arguments.window)):
            axes.axvspan(low, high, color=FAINT, alpha=0.6, lw=0)
            axes.axvline(low or high, color=SEAM, ls="--", lw=1)
        axes.set_xlabel("time in the window (s)")
    track.set_xlabel("time on the track (s)")
    for axes, title in (
        (track, "Along the track: the frames that are taken (dashed: seams)"),
        (position, f"By position in the window: median of {len(inner)} windows (grey: context, thrown away)"),
        (local, "The same without what all frames of a window share (attention hears the whole window)"),
    ):
        axes.set_title(title, loc="left", color=INK, fontsize=11)
    figure.legend(loc="outside right center", title="layer", frameon=False)
    figure.suptitle(
        f"Windows of {arguments.window:g} s with {arguments.context:g} s of context, against one window of "
        f"{arguments.reference:g} s ({name_of_model(arguments)})",
        color=INK, fontsize=13,
    )  # fmt: skip
    figure.savefig(arguments.plot, dpi=110)
    return arguments.plot


def _line(axes: Any, error: np.ndarray, frame_rate: float, colour: Any, label: str | None = None) -> None:
    axes.semilogy(
        np.arange(len(error)) / frame_rate, np.maximum(error, FLOOR), color=colour, lw=0.9, label=label
    )
    axes.set_ylabel(f"relative error (0 drawn at {FLOOR:.0e})")
    axes.margins(x=0)
    axes.grid(axis="y", color=FAINT, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def name_of_model(arguments: argparse.Namespace) -> str:
    """For the title."""
    return Path(arguments.model).name if arguments.model else f"MuQ, {arguments.size}, random weights"


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, nargs="*", default=[10, 20, 60], help="none: only the seams")
    parser.add_argument("--size", choices=SIZES, default="large", help="random weights of that size")
    parser.add_argument("--model", help="a folder or a published name, instead of --size")
    parser.add_argument("--audio", type=Path, help="a file to repeat, instead of made sound")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--window", type=float, default=30.0, help="seconds")
    parser.add_argument("--context", type=float, default=5.0, help="seconds on each side")
    parser.add_argument("--reference", type=float, default=120.0, help="seconds; 0 leaves out the seams")
    parser.add_argument("--plot", type=Path, default=Path("seams.png"))
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()
    arguments.windows = WindowConfig(window_seconds=arguments.window, context_seconds=arguments.context)
    if 0 < arguments.reference < 3 * arguments.window:
        parser.error(
            "--reference must be three windows long or longer, so that some have context on both sides"
        )

    figures: dict[str, Any] = {"model": name_of_model(arguments)}
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, fresh, max_tasks_per_child=1) as processes:
        lengths = [processes.submit(measured, m, arguments).result() for m in arguments.minutes]
    print(f"{figures['model']}, float32, {arguments.threads} thread{'s' * (arguments.threads > 1)}")
    if lengths:
        figures["lengths"] = [asdict(length) for length in lengths]
        figures["line"] = print_lengths(lengths)
    if arguments.reference:
        encoder = load_encoder(arguments)
        with tempfile.TemporaryDirectory() as folder:
            path = make_file(Path(folder) / "track.wav", arguments.reference, arguments.audio)
            windows, growth = compare_windows(path, encoder, arguments)
        figures["seams"] = print_seams(windows, growth)
        print(f"\ndrawn in {draw_seams(windows, encoder.frame_rate, arguments)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
