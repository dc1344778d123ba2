"""A few seconds of synthetic music, and a run small enough for a test."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.config import override
from solfa.data.manifest import Track, read_manifest, write_manifest
from solfa.data.stored_teachers import ColumnsConfig, StoredTeacher, TeacherDescription
from solfa.objectives import PredictionConfig
from solfa.recipes import recipe
from solfa.targets import MelRandomProjectionConfig, RandomProjectionConfig
from solfa.training import RunConfig

CODES = MelRandomProjectionConfig(quantizer=RandomProjectionConfig(codebook_size=32, codebook_dim=4))


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tracks of seven seconds: three tones each, in noise, as WAV at 24 kHz."""
    folder = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(0)
    tracks = []
    for number in range(6):
        time = np.arange(7 * 24_000) / 24_000
        pitches = 110.0 * 2 ** (rng.integers(0, 36, 3) / 12)
        wave = sum(np.sin(2 * np.pi * pitch * time * (1 + (time > 3))) for pitch in pitches)
        path = folder / f"track {number}.wav"
        soundfile.write(path, (0.2 * wave + 0.01 * rng.standard_normal(len(time))).astype(np.float32), 24_000)
        tracks.append(
            Track(path=path, seconds=7.0, sample_rate=24_000, n_channels=1, tags={}, decoder="soundfile",
                  content_hash=hashlib.sha256(path.read_bytes()).hexdigest())
        )  # fmt: skip
    write_manifest(tracks, folder / "tracks.jsonl")
    return folder / "tracks.jsonl"


@pytest.fixture(scope="session")
def small_run(manifest: Path) -> RunConfig:
    """One layer of 16 on two-second clips, codes of a random projection."""
    return override(
        recipe("muq_tiny"),
        {
            "objective.encoder.stem.n_channels": 4,
            "objective.encoder.conformer.n_layers": 1,
            "objective.encoder.conformer.dim": 16,
            "objective.encoder.conformer.feed_forward_dim": 32,
            "objective.encoder.conformer.dropout": 0.1,
            "objective.predictions": [{"target": {"kind": "mel_random_projection"}}],
            "objective.predictions.0": PredictionConfig(target=CODES),
            "data.manifest": str(manifest),
            "data.valid_manifest": str(manifest),
            "data.clip_seconds": 2.0,
            "data.clips_per_step": 4,
            "data.n_valid_clips": 3,
            "optim.warmup_steps": 2,
            "n_steps": 6,
            "log_every": 1,
            "validate_every": 3,
            "checkpoint_every": 2,
        },
    )


@pytest.fixture
def store(manifest: Path, tmp_path: Path) -> Path:
    """A tagger of all tracks, and labels of all but one, each track of its own kind."""
    tagger = TeacherDescription(
        name="tagger", license="ISC", fingerprint="t", numbers="float16",
        columns=(
            ColumnsConfig(name="vector", width=6, form="vector"),
            ColumnsConfig(name="tags", width=3, form="probability"),
        ),
    )  # fmt: skip
    labels = TeacherDescription(
        name="labels", license="exact", fingerprint="l", numbers="uint8", is_partial=True,
        columns=(
            ColumnsConfig(name="beats", width=1, form="probability"),
            ColumnsConfig(name="key", width=1, form="class"),
        ),
    )  # fmt: skip
    stores = [StoredTeacher.begin(tmp_path / "taught" / one.name, one) for one in (tagger, labels)]
    for number, track in enumerate(read_manifest(manifest)):
        rng, n_frames = np.random.default_rng(number), int(track.seconds * 25)
        vectors = rng.standard_normal(6) + 0.1 * rng.standard_normal((n_frames, 6))
        tags = np.tile(np.eye(3)[number % 3], (n_frames, 1))
        beats = (np.arange(n_frames) % 10 == 0)[:, None].astype(float)
        stores[0].write_values(track.content_hash, np.concatenate([vectors, tags], 1).astype(np.float32))
        if number:
            key = np.full((n_frames, 1), number % 4)
            stores[1].write_values(track.content_hash, np.concatenate([beats, key], 1).astype(np.float32))
    return tmp_path / "taught"
