"""Whether rendered audio is what its labels say: beats against onsets, chords against chroma, notes in cents.

    solfa data render POP909 --soundfont timgm6mb --tracks 3 --seconds 60 --out rendered/pop909-timgm6mb
    solfa data render notes --soundfont timgm6mb --tracks 80 --out rendered/notes-timgm6mb
    python benchmarks/rendered_labels.py rendered/pop909-timgm6mb rendered/notes-timgm6mb

Nothing is read but the audio and the labels in the folders. Music, a row for each folder:

    note 30       % of beats that a labelled note begins within 30 ms of: no detector can find more
    onset 30, 70  % of beats with an onset within 30 and 70 ms, by spectral flux (librosa, hop of 5 ms)
    chance 30, 70 the same of moments drawn by lot
    frames        % of frames of a major or minor chord whose best chord is of the label's class, out of 24:
                  the best by correlation with the tones of 60 triads and seventh chords
    chords        the same, of the mean chroma of each chord
    in chord      % of chroma in the tones of the label
    alike         what it would be if all pitch classes sounded alike

Single notes:

    off           median distance in cents of the spectrum's peak next to the written pitch
    within 10     % of notes whose distance is at most 10 cents
    partial       % whose strongest peak is a multiple of the written pitch, within 50 cents
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import librosa
import mir_eval
import numpy as np
import torch
from jaxtyping import Float, Int

from solfa.data.audio import read_audio
from solfa.features import Chroma, ChromaConfig
from solfa.tasks.harmony import chord_number

RATE, ONSET_HOP = 24_000, 120  # Hz, samples
TOLERANCES = (0.03, 0.07)  # seconds
MAJOR, MINOR = ((0, 4, 7), (0, 4, 7, 10), (0, 4, 7, 11)), ((0, 3, 7), (0, 3, 7, 10))
CHROMA = ChromaConfig(n_fft=8192, hop_length=2400, n_bins=12)
NOTE_PART = (0.25, 1.4)  # seconds: after the attack, before the release
PADDED = 2**19  # samples of a Fourier transform: 0.05 Hz
LEAST_NOTES_HZ = 27.0  # A0

CHORDS = [
    (12 * is_minor + root, [(root + step) % 12 for step in steps])
    for is_minor, shapes in enumerate((MAJOR, MINOR))
    for steps in shapes
    for root in range(12)
]
CLASSES = np.array([number for number, _ in CHORDS])  # of 24, as in solfa.tasks.harmony
TONES = np.array([[step in tones for step in range(12)] for _, tones in CHORDS], float)

Sums = dict[str, list[float]]


def main() -> None:
    """Measure each folder, and print a table of music and one of single notes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of solfa data render")
    tables: dict[str, dict[str, Sums]] = {"music": {}, "notes": {}}
    for folder in parser.parse_args().folders:
        rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
        kind = "notes" if rows[0]["tags"].get("corpus") == "notes" else "music"
        sums: Sums = defaultdict(list)
        for row in rows:
            waveform = read_audio(folder / row["path"], sample_rate=RATE)
            for name, values in (of_note if kind == "notes" else of_music)(waveform, row):
                sums[name] += [float(value) for value in values]
        tables[kind][f"{folder.name} ({len(rows)})"] = sums
    for table in filter(None, tables.values()):
        show(table)


def show(table: dict[str, Sums]) -> None:
    """Print means in percent, and medians of cents, as Markdown."""
    names = list(dict.fromkeys(name for sums in table.values() for name in sums))
    print(f"| folder (pieces) | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for folder, sums in table.items():
        cells = [
            f"{np.median(sums[name]):.1f}" if name.startswith("off") else f"{100 * np.mean(sums[name]):.1f}"
            for name in names
        ]
        print(f"| {folder} | {' | '.join(cells)} |")
    print()


def of_music(waveform: Float[np.ndarray, " sample"], row: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """What each beat, each frame and each chord says."""
    beats, seconds = np.array(row["beats"]), len(waveform) / RATE
    onsets = librosa.onset.onset_detect(y=waveform, sr=RATE, hop_length=ONSET_HOP, units="time")
    drawn = np.random.default_rng(0).uniform(0, seconds, 1000)
    starts = np.array([note[0] for note in row["notes"]])
    yield "note 30", is_near(beats, starts, TOLERANCES[0])
    for name, moments in (("onset", beats), ("chance", drawn)):
        for tolerance in TOLERANCES:
            yield f"{name} {1000 * tolerance:.0f}", is_near(moments, onsets, tolerance)
    yield from of_chords(waveform, row["chords"])


def of_chords(
    waveform: Float[np.ndarray, " sample"], chords: list[tuple[float, float, str]]
) -> Iterator[tuple[str, np.ndarray]]:
    """Whether frames and chords are best told by their label; silent frames are left out."""
    chroma = Chroma(CHROMA)(torch.from_numpy(waveform)[None])[0].numpy()
    times = (np.arange(len(chroma)) + 0.5) * CHROMA.hop_length / RATE
    for start, end, name in chords:
        label = chord_number(name)
        within = chroma[(times >= start) & (times < end) & (chroma.sum(1) > 0)]
        if label is None or label >= 24 or not len(within):
            continue
        tones = np.roll(mir_eval.chord.encode(name)[1], mir_eval.chord.encode(name)[0]) > 0
        yield "frames", best_class(within) == label
        yield "chords", best_class(within.mean(0, keepdims=True)) == label
        yield "in chord", within[:, tones].sum(1) / within.sum(1)
        yield "alike", np.full(len(within), tones.mean())


def best_class(chroma: Float[np.ndarray, "frame 12"]) -> Int[np.ndarray, " frame"]:
    """The class of the chord whose tones go best with each frame."""
    centred = TONES - TONES.mean(1, keepdims=True)
    return CLASSES[(chroma @ (centred / np.linalg.norm(centred, axis=1, keepdims=True)).T).argmax(1)]


def of_note(waveform: Float[np.ndarray, " sample"], row: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """How far the peak at the fundamental is from the pitch, and what the strongest peak is."""
    expected = librosa.midi_to_hz(row["notes"][0][2])
    start, end = (round(RATE * seconds) for seconds in NOTE_PART)
    part = waveform[start:end]
    power = np.abs(np.fft.rfft(part * np.hanning(len(part)), PADDED)) ** 2
    hz = np.fft.rfftfreq(PADDED, 1 / RATE)
    near = (hz > expected / 2 ** (1 / 12)) & (hz < expected * 2 ** (1 / 12))
    off = abs(cents(hz[near][power[near].argmax()] / expected))
    audible = hz >= LEAST_NOTES_HZ
    strongest = hz[audible][power[audible].argmax()] / expected
    is_partial = abs(cents(strongest / max(1, round(strongest)))) <= 50
    yield "off (cents)", np.array([off])
    yield "within 10", np.array([off <= 10])
    yield "partial", np.array([is_partial])


def cents(ratio: float) -> float:
    """Hundredths of a semitone."""
    return float(1200 * np.log2(ratio))


def is_near(moments: np.ndarray, others: np.ndarray, tolerance: float) -> np.ndarray:
    """Whether any of ``others`` is within ``tolerance`` seconds, for each of ``moments``."""
    if not len(others):
        return np.zeros(len(moments), bool)
    return np.abs(moments[:, None] - others).min(1) <= tolerance


if __name__ == "__main__":
    main()
