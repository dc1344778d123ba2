"""Pairs of synthetic music and words: tones that are high or low, clicks that are fast or slow."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from golden_data import GOLDEN
from solfa.config import override
from solfa.data.manifest import Track, write_manifest
from solfa.recipes import recipe
from solfa.training import RunConfig
from synth import clicks, noise, tone

LANGUAGE = GOLDEN / "muq_mulan" / "text_tower-xlm-roberta-tiny"
TINY: dict[str, Any] = {
    "objective.language": str(LANGUAGE),
    "objective.mulan.text.language": "",
    "objective.mulan.audio.encoder.stem.n_channels": 4,
    "objective.mulan.audio.encoder.conformer.n_layers": 1,
    "objective.mulan.audio.encoder.conformer.dim": 16,
    "objective.mulan.audio.encoder.conformer.feed_forward_dim": 32,
    "objective.mulan.audio.transformer.dim": 16,
    "objective.mulan.text.reads": "tokens",
    "objective.mulan.text.model_dim": 24,
    "objective.mulan.text.transformer.dim": 16,
    "objective.mulan.dim": 8,
    "data.clip_seconds": 1.0,
}


def write_pairs(folder: Path, n: int, seed: int = 0, seconds: float = 3.0) -> Path:
    """A manifest of ``n`` tracks: every second one high, every second pair fast, as captions say."""
    rng = np.random.default_rng(seed)
    tracks = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(n):
        is_high, is_fast = bool(number % 2), bool(number // 2 % 2)
        hz = rng.uniform(1_500, 3_000) if is_high else rng.uniform(80, 160)
        tempo_bpm = rng.uniform(400, 600) if is_fast else rng.uniform(60, 80)
        beat = clicks(tempo_bpm, seconds, gain=0.6)
        wave = tone(hz, seconds, gain=0.2) + beat + noise(seconds, seed=number + 100 * seed, gain=0.01)
        path = folder / f"{seed} {number}.wav"
        soundfile.write(path, wave, 24_000)
        words = "high" if is_high else "low", "fast" if is_fast else "slow"
        tracks.append(
            Track(
                path=path, seconds=seconds, sample_rate=24_000, n_channels=1,
                tags={"mood": words[0], "tempo": words[1]}, captions=(f"{words[0]} {words[1]}",),
                content_hash=hashlib.sha256(path.read_bytes()).hexdigest(),
            )
        )  # fmt: skip
    write_manifest(tracks, folder / f"pairs {seed}.jsonl")
    return folder / f"pairs {seed}.jsonl"


def tiny_mulan_run(manifest: Path, **changes: Any) -> RunConfig:
    """mulan_tiny, smaller, with a random language model."""
    return override(
        recipe("mulan_tiny"),
        TINY | {"data.manifest": str(manifest), **{key.replace("__", "."): v for key, v in changes.items()}},
    )
