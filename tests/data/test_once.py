"""Each file is decoded once and hashed once, whichever command looks at it."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import solfa
import zoo
from solfa import files
from solfa.data import audio
from solfa.data.ffmpeg import AVDecoder
from solfa.data.prepare import prepare_folder
from solfa.data.sndfile import SoundFileDecoder
from solfa.embedding import EmbeddingStore, Space, WindowConfig, describe_space, hidden_states
from solfa.models import AudioEncoder
from solfa.retrieval import Library, Searcher

SECONDS = {"a.wav": 3.0, "b.flac": 45.0, "c.mp3": 40.0, "d.ogg": 4.0, "e.opus": 33.0, "f.m4a": 5.0}
RATE = 48_000
BEYOND = 1.1  # of its length that may be decoded: a seek decodes a little before its place


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each kind, some of them longer than a window."""
    folder = tmp_path_factory.mktemp("music")
    for name, seconds in SECONDS.items():
        zoo.write(folder / name, zoo.music(seconds, n_channels=1))
    return folder


@pytest.fixture
def space(tiny_encoder: AudioEncoder) -> Space:
    return describe_space(tiny_encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())


class Counted:
    """What was opened, decoded and hashed, by the names of files."""

    def __init__(self) -> None:
        self.opened, self.hashed = Counter[str](), Counter[str]()
        self.seconds = Counter[str]()

    def check(self, hashes: int) -> None:
        """Each file was decoded once, and hashed so many times."""
        assert self.opened == dict.fromkeys(SECONDS, 1)
        for name, seconds in SECONDS.items():
            assert 0.99 * seconds < self.seconds[name] < BEYOND * seconds, (name, self.seconds[name])
        assert self.hashed == (dict.fromkeys(SECONDS, hashes) if hashes else {})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    count = Counted()
    open_decoder, digest = audio.open_decoder, hashlib.file_digest

    def opening(path: Path, **options: Any) -> Any:
        count.opened[path.name] += 1
        return open_decoder(path, **options)

    def hashing(file: Any, kind: str) -> Any:
        count.hashed[Path(file.name).name] += 1
        return digest(file, kind)

    def counting(decoder: type, real: Callable[..., Iterator[np.ndarray]]) -> None:
        def blocks(self: Any, start: int, n_samples: int | None) -> Iterator[np.ndarray]:
            for block in real(self, start, n_samples):
                count.seconds[self.part.path.name] += len(block) / RATE  # type: ignore[assignment]
                yield block

        monkeypatch.setattr(decoder, "blocks", blocks)

    monkeypatch.setattr(audio, "open_decoder", opening)
    monkeypatch.setattr(files.hashlib, "file_digest", hashing)
    counting(SoundFileDecoder, SoundFileDecoder.blocks)
    counting(AVDecoder, AVDecoder.blocks)
    return count


def test_data_prepare(music: Path, counted: Counted) -> None:
    assert len(prepare_folder(music).tracks) == len(SECONDS)
    counted.check(hashes=1)


@pytest.mark.parametrize("take_damaged", [False, True])
def test_embed(
    music: Path,
    counted: Counted,
    tmp_path: Path,
    tiny_encoder: AudioEncoder,
    space: Space,
    take_damaged: bool,
) -> None:
    with EmbeddingStore(tmp_path / "store", space, [1]) as store:
        done = store.extend(sorted(music.iterdir()), tiny_encoder, take_damaged=take_damaged)
    assert done.n_embedded == len(SECONDS)
    counted.check(hashes=1)


@pytest.mark.parametrize("take_damaged", [False, True])
def test_index(
    music: Path,
    counted: Counted,
    tmp_path: Path,
    tiny_encoder: AudioEncoder,
    space: Space,
    take_damaged: bool,
) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        assert library.update([music], tiny_encoder, take_damaged=take_damaged).n_added == len(SECONDS)
        counted.check(hashes=1)
        assert library.update([music], tiny_encoder).n_unchanged == len(SECONDS)
    counted.check(hashes=1)  # of what is known nothing is read


def test_vectors_in_memory(music: Path, counted: Counted, tiny_encoder: AudioEncoder) -> None:
    assert len(solfa.embed(music, tiny_encoder)) == len(SECONDS)
    counted.check(hashes=0)


def test_hidden_states_in_memory(music: Path, counted: Counted, tiny_encoder: AudioEncoder) -> None:
    for path in sorted(music.iterdir()):
        hidden_states(path, tiny_encoder, [1])
    counted.check(hashes=0)


def test_files_that_a_search_names(
    music: Path, counted: Counted, tmp_path: Path, tiny_encoder: AudioEncoder, space: Space
) -> None:
    other = tmp_path / "other.wav"
    zoo.write(other, zoo.music(2.0, n_channels=1))
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([other], tiny_encoder)
    for n in (counted.opened, counted.hashed, counted.seconds):
        n.clear()
    with Searcher(tmp_path / "library.sqlite", tiny_encoder) as searcher:
        for path in sorted(music.iterdir()):
            searcher.similar_to_file(path)
    counted.check(hashes=1)
