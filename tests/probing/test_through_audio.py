"""A replica of each kind of label goes the whole way from recordings to a score, by an encoder that knows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from jaxtyping import Float, Int
from torch import Tensor

from solfa.config import Config
from solfa.frames import FrameGrid
from solfa.models import AudioEncoder
from solfa.models.encoder import Context, Frontend, HiddenStates
from solfa.probing import ProbeConfig, probe
from solfa.tasks import SPLITS, TASKS
from solfa.tasks.base import Item, Task
from solfa.tasks.kinds import Classes, FrameClasses, FrameEvents, Numbers, Tags, classes_at
from tasks.replicas import REPLICAS, write_replica

SECONDS, GRID = 6.0, FrameGrid(16_000, 640)
TIMES = GRID.frame_times(150)
CASES = [
    ("gtzan, marble", "gtzan_genre", 0.99),
    ("mtg, marble", "mtg_genre", 0.9),
    ("emomusic, marble", "emomusic", 0.8),
    ("chords1217", "chords1217", 0.9),
    ("gtzan, marble", "gtzan_beats", 0.7),  # six seconds are few for a model of tempo
]
CONFIG = ProbeConfig(
    hidden_dim=32, dropout=0.0, lrs=(1e-2,), seeds=(0,), batch=4, n_epochs=60, stop_patience=60,
    n_resamples=5, has_weighted_sum=False, has_concatenation=False,
)  # fmt: skip


def loudest_bin(waveform: np.ndarray) -> int:
    """By which a recording is known again; steps of a sixth of a tone."""
    spectrum = np.abs(np.fft.rfft(waveform, 2**16))
    return round(36 * np.log2(max(1, int(spectrum.argmax()))))


@dataclass(frozen=True, kw_only=True)
class KnowingConfig(Config):
    """What an encoder that knows is called."""

    name: str = "knowing"


class KnowingFrontend(Frontend):
    """Frames that hold the label of the recording, looked up by the pitch of its tone."""

    def __init__(self, held: dict[int, np.ndarray]) -> None:
        super().__init__()
        self.grid, self.held = GRID, held
        self.register_buffer("place", torch.zeros(1))  # an encoder is where its tensors are

    def n_frames(self, n_samples: Any) -> Any:
        return n_samples // GRID.hop_length

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"]]:
        n = self.n_frames(waveform.shape[1])
        found = [
            self.held[loudest_bin(clip.numpy())][np.arange(n).clip(max=len(TIMES) - 1)] for clip in waveform
        ]
        return torch.from_numpy(np.stack(found)).float(), torch.full((len(waveform),), n)


class NoiseBelow(Context):
    """Noise, and on top of it what came."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.n_layers, self.dim = 1, dim

    def forward(
        self, frames: Float[Tensor, "clip frame dim"], n_frames: Int[Tensor, " clip"]
    ) -> HiddenStates:
        return HiddenStates((torch.randn_like(frames), frames), n_frames)


def frames_of(task: Task, label: Any) -> np.ndarray:
    """The label at each frame."""
    n = len(task.kind.names)
    match task.kind:
        case Classes():
            return np.eye(n)[[label]].repeat(len(TIMES), 0)
        case Tags():
            return np.eye(n)[list(label)].sum(0, keepdims=True).repeat(len(TIMES), 0)
        case Numbers():
            return np.array([label]).repeat(len(TIMES), 0)
        case FrameClasses():
            return np.vstack([np.eye(n), np.zeros(n)])[classes_at(label, TIMES)]
        case FrameEvents():
            near = [np.abs(TIMES[:, None] - np.array(moments)).min(1) <= 0.02 for moments in label]
            return np.stack(near, 1).astype(float)
    raise AssertionError(task.kind)


def knowing(task: Task, items: Sequence[Item]) -> AudioEncoder:
    held = {}
    for item in items:
        waveform, sample_rate = soundfile.read(item.path)
        assert sample_rate == GRID.sample_rate
        held[loudest_bin(waveform)] = frames_of(task, item.label)
    assert len(held) == len(items)
    dim = next(iter(held.values())).shape[1]
    encoder = AudioEncoder(KnowingFrontend(held), NoiseBelow(dim))
    encoder.config = KnowingConfig()  # type: ignore[assignment]
    return encoder.eval()


@pytest.mark.parametrize(("replica_name", "name", "known"), CASES, ids=[case[1] for case in CASES])
def test_a_task_goes_the_whole_way_from_recordings_to_a_score(
    tmp_path: Path, replica_name: str, name: str, known: float
) -> None:
    task = TASKS[name]
    [replica] = [one for one in REPLICAS if one.name == replica_name]
    loaded = task.load(write_replica(replica, tmp_path, SECONDS))
    items = [
        replace(item, split=SPLITS[n % 3]) for n, item in enumerate(loaded)
    ]  # so that all know all labels
    torch.manual_seed(0)
    found = probe(task, items, knowing(task, items), "knowing", tmp_path / "features", CONFIG)
    assert found.n_refused == 0
    assert found.layer == 1
    assert found.scores[0].metric == task.metrics[0]
    assert found.scores[0].mean > known
