"""A tiny replica of the free benchmark: the lists of ``solfa data render``, with tones for music."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

import synth

SAMPLE_RATE = 16_000
PLAYERS = {"train": "fluidr3", "valid": "musescore-lite", "test": "timgm6mb"}
PIECE_SECONDS = 20.0  # by the labels


def write_free(folder: Path, seconds: float) -> None:
    """Two songs and two notes for each split, and a song that stands on neither side."""
    for split, soundfont in PLAYERS.items():
        _write(folder / f"pop909-{soundfont}", [_song(split, k, soundfont) for k in range(2)], seconds)
        _write(folder / f"notes-{soundfont}", [_note(split, k, soundfont) for k in range(2)], seconds)
    _write(folder / "neither", [_song("train", 9, "timgm6mb")], seconds)


def _song(split: str, number: int, soundfont: str) -> dict[str, Any]:
    half = PIECE_SECONDS / 2
    return _common(split, f"pop909-{split}-{number}", soundfont, "POP909") | {
        "tempo_bpm": 120.0,
        "beats": [0.0, 0.5, 1.0, 1.5],
        "downbeats": [0.0, 1.0],
        "keys": [[0.0, PIECE_SECONDS, ("C major", "Gb minor")[number % 2]]],
        "chords": [[0.0, 2.0, "C:maj"], [2.0, half, "F#:min7/b3"], [half, PIECE_SECONDS, "D:sus4(b7)"]],
        "melody": [[1.0, 2.0, 60], [2.0, 4.0, 64], [6.0, 7.0, 67]],
        "families": ["piano", "reed"] if number else ["piano"],
        "notes": [[1.0, 2.0, 60, 90, 0, 0], [2.0, 4.0, 64, 90, 0, 0]],
    }


def _note(split: str, number: int, soundfont: str) -> dict[str, Any]:
    program = {"train": 0, "valid": 3, "test": 4}[split] + 8 * number
    name = f"note-{program:03d}-{60 + number:03d}"
    return _common(split, name, soundfont, "notes") | {
        "group": f"program-{program:03d}",
        "families": [],
        "notes": [[0.0, 1.5, 60 + number, 90, program, 0]],
    }


def _common(split: str, name: str, soundfont: str, corpus: str) -> dict[str, Any]:
    return {
        "path": f"audio/{name}.flac",
        "content_hash": name,
        "piece": name,
        "split": split,
        "group": name,
        "soundfont": soundfont,
        "soundfont_licence": "MIT",
        "name": name,
        "seconds": PIECE_SECONDS,
        "tags": {"corpus": corpus},
    }


def _write(folder: Path, rows: list[dict[str, Any]], seconds: float) -> None:
    (folder / "audio").mkdir(parents=True)
    (folder / "labels.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for path, hz in zip((folder / row["path"] for row in rows), _pitches(), strict=False):
        soundfile.write(path, synth.tone(hz, seconds, sample_rate=SAMPLE_RATE), SAMPLE_RATE)


def _pitches() -> Iterator[float]:
    yield from (synth.pitch_hz(60 + number) for number in range(48))
