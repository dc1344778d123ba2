"""A library of chords, beats, noise and a tune; and one of a music-text model, with tags."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from golden_data import GOLDEN
from solfa.data.manifest import Track, write_manifest
from solfa.embedding import WindowConfig, default_windows, describe_space
from solfa.models import AudioEncoder, ClipEncoder, MuLan, load
from solfa.retrieval import Library
from synth import chord, clicks, melody, noise

WriteWav = Callable[[Path, np.ndarray], Path]


@pytest.fixture
def library_path(tmp_path: Path, tiny_run: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav) -> Path:
    """A library of chords, beats, noise and a tune."""
    music = tmp_path / "music"
    sounds = {f"chord {root}": chord(root, "maj", 3.0) for root in (48, 60, 72)}
    sounds |= {f"clicks {tempo}": clicks(tempo, 3.0) for tempo in (60, 90, 180)}
    sounds |= {"noise": noise(3.0), "tune": melody(6.0, seed=3)}
    for name, waveform in sounds.items():
        write_wav(music / f"{name}.wav", waveform)
    space = describe_space(tiny_encoder, tiny_run, layer=2, pool="mean", windows=WindowConfig())
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([music], tiny_encoder)
    return tmp_path / "library.sqlite"


@pytest.fixture(scope="session")
def mulan() -> MuLan:
    """A music-text model of random weights; clips of 2 s, 16 dimensions."""
    model = load(GOLDEN / "muq_mulan")
    assert isinstance(model, MuLan)
    return model


TAGS: dict[str, dict[str, str]] = {
    "old/bach.wav": {"artist": "J. S. Bach", "year": "1722", "genre": "baroque", "tempo_bpm": "72"},
    "old/satie.wav": {"artist": "Érik Satie", "year": "1888-01-01", "title": "Gymnopédie"},
    "new/beat.wav": {"artist": "Somebody", "year": "2001", "genre": "Techno", "bpm": "130.0"},
    "new/hiss.wav": {"genre": "noise"},
}


@pytest.fixture(scope="session")
def tagged_library(tmp_path_factory: pytest.TempPathFactory, mulan: MuLan) -> Path:
    """A library of a music-text model: four tracks of 2 to 25 s, tagged as ``TAGS`` says."""
    folder = tmp_path_factory.mktemp("tagged")
    sounds = [chord(48, "maj", 4.0), melody(25.0, seed=1), clicks(130, 3.0), noise(2.0)]
    tracks = [
        Track(
            path=_write(folder / name, sound), seconds=1.0, sample_rate=24_000, n_channels=1,
            content_hash=name, tags=tags,
        )
        for (name, tags), sound in zip(TAGS.items(), sounds, strict=True)
    ]  # fmt: skip
    write_manifest(tracks, folder / "tracks.jsonl")
    encoder = ClipEncoder(mulan).eval()
    space = describe_space(
        encoder, GOLDEN / "muq_mulan", layer=0, pool="mean", windows=default_windows(encoder)
    )
    with Library(folder / "library.sqlite", space) as library:
        library.update([folder / "tracks.jsonl"], encoder)
    return folder / "library.sqlite"


def _write(path: Path, waveform: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, waveform, 24_000, subtype="PCM_16")
    return path


@pytest.fixture
def own_tagged_library(tagged_library: Path, tmp_path: Path) -> Path:
    """A copy of ``tagged_library`` that a test may change."""
    return Path(shutil.copy(tagged_library, tmp_path / "library.sqlite"))
