"""Whoever names a layer pays for the layers below it and for no other."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import solfa
from probing_data import make_task
from solfa.data import Track
from solfa.embedding import WindowConfig, describe_space, hidden_states
from solfa.embedding.pooling import pool_tracks
from solfa.models import AudioEncoder
from solfa.probing.features import extract
from solfa.retrieval import Library
from solfa.tasks.base import ClipRule, Item
from solfa.tasks.kinds import Classes
from synth import melody

TASK = make_task(Classes(("a", "b")), ("accuracy",), clips=ClipRule(seconds=1.0, min_ratio=0.5))


def embed(path: Path, encoder: AudioEncoder) -> None:
    solfa.embed(path, encoder, layer=1)


def frames(path: Path, encoder: AudioEncoder) -> None:
    hidden_states(path, encoder, [0, 1])


def index(path: Path, encoder: AudioEncoder) -> None:
    space = describe_space(encoder, "tiny", layer=1, pool="mean", windows=WindowConfig())
    with Library(path.with_suffix(".sqlite"), space) as library:
        library.update([path], encoder)


def probe(path: Path, encoder: AudioEncoder) -> None:
    item = Item(path, "train", 0, track=path.stem, group=path.stem)
    extract(TASK, [item], encoder, path.parent / "features", layers=[1])


def pool(path: Path, encoder: AudioEncoder) -> None:
    track = Track(
        path=path, content_hash="0", seconds=1.0, sample_rate=24_000, n_channels=1, decoder="soundfile"
    )
    pool_tracks([track], path.parent / "pooled", encoder, [1])


@pytest.mark.parametrize("use", [embed, frames, index, probe, pool])
def test_no_layer_above_the_one_that_is_named_is_computed(
    use: Callable[[Path, AudioEncoder], None],
    tiny_encoder: AudioEncoder,
    tmp_path: Path,
    write_wav: Callable[[Path, np.ndarray], Path],
) -> None:
    computed: list[int] = []
    for number, layer in enumerate(tiny_encoder.context.layers, 1):
        layer.register_forward_hook(lambda *_, number=number: computed.append(number))
    use(write_wav(tmp_path / "a.wav", melody(1.0)), tiny_encoder)
    assert tiny_encoder.n_layers == 2 and computed == [1]
