"""Pictures of rendered music for the docs: an A4, and a piece with its beats and chords over its sound.

    python benchmarks/rendered_pictures.py --cache soundfonts --out docs/pictures

The A4 is played by TimGM6mb's grand piano; the piece is an accompaniment by MMA. The same each time.
"""

import argparse
from pathlib import Path
from typing import Any

import librosa
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import FuncFormatter

from solfa.features import Chroma, ChromaConfig
from solfa_free.charts import TONICS
from solfa_free.mma import accompaniments
from solfa_free.rendered import excerpt
from solfa_free.rendering import Renderer, RenderingConfig
from solfa_free.score import Note, Score
from solfa_free.soundfonts import fetch_soundfont

RATE = RenderingConfig.sample_rate
INK, FAINT, BEAT, CHORD = "#22303c", "#d5dce2", "#2a6f97", "#d1495b"
SHADES, CHROMA_SHADES = "Purples", "YlGnBu"
A4, A4_HZ = 69, 440
PIECE, SECONDS = "mma-bossa-nova-test-014", 12.0
MOST_HZ = 4_500
LEAST_NAMED_SECONDS = 0.3  # of a chord: an excerpt begins with the end of one


def main() -> None:
    """Render and draw both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--cache", type=Path, help="where soundfonts and MMA are kept")
    given = parser.parse_args()
    renderer = Renderer(fetch_soundfont("timgm6mb", given.cache).path, RenderingConfig())
    plt.rcParams |= {"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT,
                     "xtick.color": INK, "ytick.color": INK}  # fmt: skip
    note = Note(start=0.1, end=1.7, pitch=A4)
    draw_a4(renderer.render(Score(name="a4", notes=(note,), seconds=2.0)), given.out / "rendered_a4.png")
    piece = next(piece for piece in accompaniments(given.cache) if piece.name == PIECE)
    score = excerpt(piece.score(), SECONDS)
    draw_piece(renderer.render(score), score, given.out / "rendered_piece.png")


def draw_a4(waveform: np.ndarray, path: Path) -> None:
    """Its spectrogram with the multiples of 440 Hz, and its spectrum beside it."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 4.2), sharey=True, width_ratios=(2.4, 1), layout="constrained"
    )
    levels = decibels(waveform, n_fft=2048)
    show_spectrogram(left, levels, len(waveform) / RATE)
    left.set(xlabel="seconds", ylabel="Hz", ylim=(0, MOST_HZ))
    left.set_title("A4 on a rendered grand piano", loc="left", color=INK)
    power = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)), 2**18)) ** 2
    hz = np.fft.rfftfreq(2**18, 1 / RATE)
    shown = hz < MOST_HZ
    right.plot(10 * np.log10(power[shown] / power.max() + 1e-9), hz[shown], color=BEAT, lw=0.8)
    right.set(xlabel="level (dB)", xlim=(-80, 12))
    right.set_title(f"highest peak: {hz[power.argmax()]:.1f} Hz", loc="left", color=INK)
    for multiple in range(1, MOST_HZ // A4_HZ + 1):
        right.axhline(multiple * A4_HZ, color=CHORD, lw=0.6, ls=":", zorder=0)
        left.plot([0.0, 0.06], [multiple * A4_HZ] * 2, color=CHORD, lw=1.6)
    left.set_yticks([multiple * A4_HZ for multiple in range(0, 11, 2)])
    tidy(left, right)
    figure.savefig(path, dpi=130, facecolor="white")


def draw_piece(waveform: np.ndarray, score: Score, path: Path) -> None:
    """Beats over the spectrogram, chords over the chroma."""
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9.5, 6.4), sharex=True, height_ratios=(1.25, 1), layout="constrained"
    )
    show_mel(above, waveform)
    for beat in score.beats:
        is_first = any(abs(beat - downbeat) < 1e-6 for downbeat in score.downbeats)
        above.axvline(beat, color=BEAT, lw=1.5 if is_first else 0.7, ls="-" if is_first else (0, (3, 3)))
    style, tempo = score.tags["style"], score.tempo_bpm or 0.0
    above.set_title(
        f"{style.capitalize()} in {score.keys[0].name}, {tempo:.0f} beats per minute: downbeats and beats",
        loc="left", color=INK,
    )  # fmt: skip
    show_chroma(below, waveform)
    for chord in score.chords:
        below.axvline(chord.start, color=CHORD, lw=1.2)
        if chord.end - chord.start > LEAST_NAMED_SECONDS:
            root, _, quality = chord.name.partition(":")
            name = root if quality == "maj" else root + quality
            below.text(chord.start + 0.08, 11.75, name, color=CHORD, weight="bold", va="bottom")
    below.set_title("labelled chords over the chroma of the sound", loc="left", color=INK, pad=20)
    below.set(xlabel="seconds", xlim=(0, score.seconds))
    tidy(above, below)
    figure.savefig(path, dpi=130, facecolor="white")


def decibels(waveform: np.ndarray, n_fft: int) -> np.ndarray:
    """A spectrogram below its loudest point."""
    return librosa.amplitude_to_db(np.abs(librosa.stft(waveform, n_fft=n_fft, hop_length=120)), ref=np.max)


def show_spectrogram(axes: Any, levels: np.ndarray, seconds: float) -> None:
    """On a linear scale of frequency."""
    axes.imshow(
        levels, origin="lower", aspect="auto", cmap=SHADES, vmin=-75, vmax=0, extent=(0, seconds, 0, RATE / 2)
    )


def show_mel(axes: Any, waveform: np.ndarray) -> None:
    """On a scale of mel, with a few frequencies named."""
    n_mels = 128
    power = librosa.feature.melspectrogram(y=waveform, sr=RATE, n_fft=1024, hop_length=120, n_mels=n_mels)
    axes.imshow(
        librosa.power_to_db(power, ref=np.max), origin="lower", aspect="auto", cmap=SHADES, vmin=-65, vmax=0,
        extent=(0, len(waveform) / RATE, 0, n_mels),
    )  # fmt: skip
    shown = [125, 500, 1000, 2000, 4000, 8000]
    places = n_mels * librosa.hz_to_mel(shown) / librosa.hz_to_mel(RATE / 2)
    axes.set_yticks(places, [str(hz) for hz in shown])
    axes.set_ylabel("Hz")


def show_chroma(axes: Any, waveform: np.ndarray) -> None:
    """Twelve rows from C."""
    config = ChromaConfig(n_fft=8192, hop_length=1200, n_bins=12)
    chroma = Chroma(config)(torch.from_numpy(waveform)[None])[0].numpy().T
    axes.imshow(chroma, origin="lower", aspect="auto", cmap=CHROMA_SHADES, vmin=0,
                extent=(0, len(waveform) / RATE, -0.5, 11.5))  # fmt: skip
    axes.set_yticks(range(12), TONICS)


def tidy(*panels: Any) -> None:
    """No frame above and at the right, whole seconds without decimals."""
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


if __name__ == "__main__":
    main()
