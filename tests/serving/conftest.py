"""A library of a music-text model with tracks of several formats, and a client of its page."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import soundfile

from golden_data import GOLDEN
from page_browser import axe_source, launched
from page_server import Served, start
from solfa.embedding import default_windows, describe_space
from solfa.models import ClipEncoder, MuLan, load
from solfa.retrieval import Library, Searcher
from synth import chord, clicks, melody, noise

if TYPE_CHECKING:  # who has no FastAPI collects these tests and skips them
    from fastapi.testclient import TestClient

MARKUP = "<img src=x onerror=alert(1)>.wav"
RATE = 24_000


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five tracks: WAV, FLAC, ALAC, one named as markup is, and one of 30 s."""
    folder = tmp_path_factory.mktemp("music")
    soundfile.write(folder / "chord.wav", chord(60, "maj", 3.0), RATE, subtype="PCM_16")
    soundfile.write(folder / "clicks.flac", clicks(120, 4.0), RATE)
    soundfile.write(folder / MARKUP, noise(2.0), RATE, subtype="PCM_16")
    soundfile.write(folder / "tune.wav", melody(30.0, seed=1), RATE, subtype="PCM_16")
    write_alac(folder / "lossless.m4a", melody(5.0, seed=2))
    return folder


@pytest.fixture(scope="session")
def library(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a music-text model with random weights."""
    model = load(GOLDEN / "muq_mulan")
    assert isinstance(model, MuLan)
    encoder = ClipEncoder(model).eval()
    windows = default_windows(encoder)
    space = describe_space(encoder, GOLDEN / "muq_mulan", layer=0, pool="mean", windows=windows)
    path = tmp_path_factory.mktemp("library") / "library.sqlite"
    with Library(path, space) as opened:
        assert not opened.update([music], encoder).refused
    return path


@pytest.fixture(scope="session")
def searcher(library: Path) -> Iterator[Searcher]:
    with Searcher(library, reads_files=False) as opened:
        yield opened


@pytest.fixture(scope="session")
def client(searcher: Searcher) -> "TestClient":
    """Of a page that takes files of up to 1 MB."""
    from fastapi.testclient import TestClient

    from solfa.serving import ServingConfig, build_app

    config = ServingConfig(upload_bytes=1_000_000, most_bytes=10_000)
    return TestClient(build_app(searcher, config), base_url="http://127.0.0.1:8765")


@pytest.fixture
def own(library: Path, tmp_path: Path) -> Path:
    """A copy of the library that a test may change."""
    return Path(shutil.copy(library, tmp_path / "own.sqlite"))


@pytest.fixture
def keeping(own: Path) -> Iterator["TestClient"]:
    """Of a page of that copy, which keeps playlists and likes in it."""
    from fastapi.testclient import TestClient

    from solfa.serving import ServingConfig, build_app

    with Searcher(own, reads_files=False) as searcher:
        config = ServingConfig(is_editable=True)
        yield TestClient(build_app(searcher, config), base_url="http://127.0.0.1:8765")


@pytest.fixture(scope="session")
def ids(searcher: Searcher) -> dict[str, int]:
    """Numbers of the tracks by the names of their files."""
    return {track.path.name: track.id for track in searcher.tracks()}


@pytest.fixture(scope="module")
def served(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server process of ``solfa serve``."""
    started = start(library, tmp_path_factory.mktemp("served"))
    assert "5 tracks: http://127.0.0.1:" in started.said()
    yield started
    started.process.kill()
    started.process.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real browser; whoever needs it is skipped where there is none."""
    with launched() as opened:
        yield opened


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    return axe_source()


def write_alac(path: Path, waveform: np.ndarray) -> None:
    """Sound that few browsers play."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("alac", rate=RATE, layout="mono")
        samples = (waveform * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16p", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
