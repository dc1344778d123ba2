"""A tiny replica of the free benchmark: the lists of ``solfa data render``, with tones for music."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

import synth

SAMPLE_RATE = 16_000
PACKAGES = {"train": "supertux-data", "valid": "neverball-common", "test": "hedgewars-data"}
PLAYERS = {"train": "fluidr3", "valid": "musescore-lite", "test": "timgm6mb"}
PIECE_SECONDS = 20.0  # by the labels


def write_free(folder: Path, seconds: float) -> None:
    """Two songs, notes and accompaniments for each split, and a song that stands on neither side."""
    for split, soundfont in PLAYERS.items():
        _write(folder / f"pop909-{soundfont}", [_song(split, k, soundfont) for k in range(2)], seconds)
        _write(folder / f"notes-{soundfont}", [_note(split, k, soundfont) for k in range(2)], seconds)
        _write(folder / f"mma-{soundfont}", [_groove(split, k, soundfont) for k in range(2)], seconds)
    _write(folder / "neither", [_song("train", 9, "timgm6mb")], seconds)
    write_real(folder, seconds)


def write_real(folder: Path, seconds: float) -> None:
    """Two drums, two sounds and two tracks for each split; of the tracks the first has no scene."""
    kinds = {"drums": ("kick", "snare"), "sounds": ("music", "voice")}
    for corpus, names in kinds.items():
        rows = [
            _real(split, f"{corpus}-{split}-{name}", {"corpus": corpus, "kind": name})
            for split in PLAYERS
            for name in names
        ]
        _write(folder / corpus, rows, seconds)
    rows = []
    for number, (split, package) in enumerate(PACKAGES.items()):
        for scenes, game in (("", "hedgewars"), ("battle,cave", "supertux")):
            turn = list(PLAYERS)[(number + bool(scenes)) % 3]
            tags = {"corpus": "tracks", "scenes": scenes, "game": game, "turn": turn}
            rows.append(_real(split, f"{package}-{game}", tags))
    _write(folder / "tracks", rows, seconds)


def _real(split: str, name: str, tags: dict[str, str]) -> dict[str, Any]:
    return {
        "path": f"audio/{name}.flac",
        "content_hash": name,
        "piece": name,
        "split": split,
        "group": f"package {PACKAGES[split]}",
        "seconds": 1.0,
        "package": PACKAGES[split],
        "source": f"usr/share/{name}.ogg",
        "licence": "GPL-2+",
        "tags": tags,
    }


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


def _groove(split: str, number: int, soundfont: str) -> dict[str, Any]:
    style = ("waltz", "rock")[number % 2]
    tags = {"corpus": "mma", "style": style, "groove": f"{split}/{style} {style}"}
    return _common(split, f"mma-{style}-{split}-000", soundfont, "mma") | {
        "group": f"mma-{split}/{style}",
        "tags": tags,
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
