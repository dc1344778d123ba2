"""A broken model stops the run; a broken file does not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import solfa
from solfa.embedding import Batching, EmbeddingStore, WindowConfig, describe_space, read_store
from solfa.embedding.store import REFUSED
from solfa.models import AudioEncoder, load_encoder
from solfa.models.checks import NotFiniteError
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]
BROKEN = r"first in layer 1 of 2: context\.layers\.0\.norm\.bias hold NaN.*fetch them again"


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A folder of four tunes."""
    for n in range(4):
        write_wav(tmp_path / "music" / f"{n}.wav", melody(2.0, seed=n))
    return tmp_path / "music"


@pytest.fixture
def broken(tiny_run: Path) -> AudioEncoder:
    """The tiny encoder with a weight that is NaN."""
    encoder = load_encoder(tiny_run)
    encoder.get_parameter("context.layers.0.norm.bias")[3] = float("nan")
    return encoder


def open_store(folder: Path, encoder: AudioEncoder) -> EmbeddingStore:
    space = describe_space(encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())
    return EmbeddingStore(folder, space)


@pytest.mark.parametrize("windows_at_once", [1, 3])
def test_a_broken_model_stops_the_run_and_blames_no_file(
    broken: AudioEncoder, music: Path, tmp_path: Path, windows_at_once: int
) -> None:
    batching = Batching(windows_at_once=windows_at_once)
    with open_store(tmp_path / "store", broken) as store, pytest.raises(NotFiniteError, match=BROKEN):
        store.extend(sorted(music.iterdir()), broken, batching=batching)
    assert not (tmp_path / "store" / REFUSED).exists()


def test_what_was_done_before_a_model_broke_is_kept(
    tiny_run: Path, broken: AudioEncoder, music: Path, tmp_path: Path
) -> None:
    encoder = load_encoder(tiny_run)

    def damage(n_done: int, name: str) -> None:
        if n_done == 2:
            encoder.load_state_dict(broken.state_dict())

    with open_store(tmp_path / "store", encoder) as store, pytest.raises(NotFiniteError):
        store.extend(sorted(music.iterdir()), encoder, progress=damage)
    assert len(read_store(tmp_path / "store")[0]) >= 2  # some windows are computed ahead


def test_embed_in_memory_blames_the_model_too(broken: AudioEncoder, music: Path) -> None:
    with pytest.raises(NotFiniteError, match=BROKEN):
        solfa.embed(music, broken)


@pytest.mark.parametrize("windows_at_once", [1, 3])
def test_a_file_of_absurd_samples_is_refused_and_the_rest_goes_on(
    tiny_encoder: AudioEncoder, music: Path, tmp_path: Path, windows_at_once: int
) -> None:
    soundfile.write(music / "1b.wav", 1e30 * melody(2.0, seed=9), 24_000, subtype="FLOAT")
    with open_store(tmp_path / "store", tiny_encoder) as store:
        done = store.extend(
            sorted(music.iterdir()), tiny_encoder, batching=Batching(windows_at_once=windows_at_once)
        )
    assert done.n_embedded == 4
    assert [refused.path.name for refused in done.refused] == ["1b.wav"]
    assert "should stay in [-1, 1]" in done.refused[0].reason
