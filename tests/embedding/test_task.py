"""Vectors for a task: those of the layer that serves it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import solfa
from golden_data import GOLDEN
from solfa.models import layer_guide, load_encoder
from solfa.models.published.format import Checkpoint, ProbedLayer
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]
FOLDER = GOLDEN / "mert_95m_style"


@pytest.fixture
def tune(tmp_path: Path, write_wav: WriteWav) -> Path:
    return write_wav(tmp_path / "a.wav", melody(1.0))


@pytest.mark.parametrize("as_encoder", [False, True])
def test_a_task_gives_the_vectors_of_its_layer(
    tune: Path, monkeypatch: pytest.MonkeyPatch, as_encoder: bool
) -> None:
    probed = (ProbedLayer("key", 1, "a probe"),)
    known = {"owner/model": Checkpoint("MIT", 0, ("mert", 2, 32, 24_000), probed)}
    monkeypatch.setattr(layer_guide, "CHECKPOINTS", known)
    model = load_encoder(FOLDER) if as_encoder else FOLDER
    assert torch.equal(solfa.embed(tune, model, task="key"), solfa.embed(tune, model, layer=1))
    assert not torch.equal(solfa.embed(tune, model, task="key"), solfa.embed(tune, model))


def test_a_layer_and_a_task_are_refused_together(tune: Path) -> None:
    with pytest.raises(ValueError, match="Leave one out"):
        solfa.embed(tune, FOLDER, layer=1, task="key")


def test_a_task_without_a_known_layer_is_refused(tune: Path) -> None:
    with pytest.raises(layer_guide.LayerGuideError, match="no checkpoint whose layers are known"):
        solfa.embed(tune, FOLDER, task="key")
