"""Stores and stored codes that are damaged: refused by name, by whoever reads them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from solfa.data.stored_frames import (
    CodesDescription,
    StoredCodeFrames,
    StoredFramesError,
    StoredHiddenStates,
)
from solfa.embedding import (
    EmbeddingStore,
    SpaceError,
    StoreError,
    default_windows,
    describe_space,
    read_store,
)
from solfa.embedding.store import read_frames
from solfa.json_files import ContentError
from solfa.models import AudioEncoder
from synth import noise


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: AudioEncoder) -> Path:
    folder = tmp_path_factory.mktemp("store")
    paths = [folder / f"{number}.wav" for number in range(2)]
    for number, path in enumerate(paths):
        soundfile.write(path, noise(2.0, seed=number).astype(np.float32), 24_000)
    windows = default_windows(tiny_encoder)
    space = describe_space(tiny_encoder, "tiny", layer=1, pool="mean", windows=windows)
    with EmbeddingStore(folder / "store", space, (1,)) as store:
        store.extend(paths, tiny_encoder)
    return folder / "store"


@pytest.fixture
def store(_made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_made, tmp_path / "store"))


def change_lines(store: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the first line of tracks.jsonl."""
    first, *rest = (store / "tracks.jsonl").read_text().splitlines()
    values = json.loads(first)
    change(values)
    (store / "tracks.jsonl").write_text("\n".join([json.dumps(values), *rest]) + "\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.pop("row"),
        lambda line: line.update(row=-1),
        lambda line: line.update(row="0"),
        lambda line: line.update(row=10**9),
        lambda line: line.pop("path"),
        lambda line: line.update(seconds=None),
        lambda line: line.update(content_hash=3),
        lambda line: line.update(n_bytes=[]),
        lambda line: line.update(tags="rock"),
    ],
)
def test_a_line_of_a_store_without_what_is_asked_is_refused_by_name(
    change: Callable[[dict[str, Any]], Any], store: Path
) -> None:
    change_lines(store, change)
    with pytest.raises(StoreError, match=rf"{store}"):
        read_store(store)


@pytest.mark.parametrize("content", [b"", b"half", b"\x93NUMPY" + b"\0" * 200])
@pytest.mark.parametrize("name", ["vectors.npy", "frames"])
def test_an_array_of_nothing_is_refused_by_name(name: str, content: bytes, store: Path) -> None:
    path = store / name if name.endswith(".npy") else next((store / name).glob("*.npy"))
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{path.name} is damaged"):
        read_store(store) if name.endswith(".npy") else read_frames(store, path.stem)


def test_vectors_that_are_no_numbers_or_too_few_are_refused(store: Path) -> None:
    vectors = np.load(store / "vectors.npy")
    np.save(store / "vectors.npy", vectors[:1])
    with pytest.raises(StoreError, match="vectors are missing"):
        read_store(store)
    vectors[1, 3] = np.nan
    np.save(store / "vectors.npy", vectors)
    with pytest.raises(StoreError, match="hold NaN"):
        read_store(store)
    np.save(store / "vectors.npy", vectors.astype(np.float64))
    with pytest.raises(StoreError, match="it holds float64"):
        read_store(store)


@pytest.mark.parametrize(
    "values",
    [{"dim": "wide"}, {"dim": None}, {"sample_rate": 1.5}, {"pool": "min"}, {"wraps": 7}, {"weights": []}],
)
def test_a_space_of_wrong_types_is_refused_by_name(values: dict[str, Any], store: Path) -> None:
    description = json.loads((store / "store.json").read_text())
    description["space"] |= values
    (store / "store.json").write_text(json.dumps(description))
    with pytest.raises(SpaceError, match=rf"damaged: its space has no {next(iter(values))}"):
        read_store(store)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"{", b"\xff", b'{"space": 3}', b'{"space": {}, "frame_layers": 1}']
)
def test_a_description_of_nothing_is_refused_by_name(content: bytes, store: Path) -> None:
    (store / "store.json").write_bytes(content)
    with pytest.raises((StoreError, SpaceError), match=rf"{store}"):
        read_store(store)
    with pytest.raises(StoredFramesError, match=rf"{store}"):
        StoredHiddenStates(store, 1)


def test_a_broken_line_is_named_and_one_that_was_cut_off_left_out(store: Path) -> None:
    lines = (store / "tracks.jsonl").read_bytes()
    (store / "tracks.jsonl").write_bytes(lines + b'{"path": ')
    assert len(read_store(store)[0]) == 2
    (store / "tracks.jsonl").write_bytes(b"\xff\n" + lines)
    with pytest.raises(ContentError, match=r"tracks\.jsonl, line 1"):
        read_store(store)


def test_stored_hidden_states_that_are_no_numbers_are_refused(store: Path) -> None:
    path = next((store / "frames").glob("*.npy"))
    states = np.load(path)
    states[5] = np.inf
    np.save(path, states)
    stored = StoredHiddenStates(store, 1)
    assert len(stored.rows(path.stem, 0, 5)) == 5
    with pytest.raises(StoredFramesError, match=rf"{path.name} is damaged \(it holds NaN or infinity"):
        stored.rows(path.stem, 0, 6)


# --- codes --------------------------------------------------------------------------------------------------

WHAT = CodesDescription(
    n_codebooks=2,
    codebook_size=16,
    sample_rate=24_000,
    hop_length=960,
    target="run",
    target_id="0",
    source="audio",
)


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    stored = StoredCodeFrames.begin(tmp_path / "codes", WHAT)
    for number in range(2):
        stored.write(f"track{number}", np.arange(100).reshape(50, 2) % 16)
    return tmp_path / "codes"


def test_one_flipped_bit_of_stored_codes_is_found(codes: Path) -> None:
    content = bytearray((codes / "frames" / "track1.npy").read_bytes())
    content[-2] ^= 1  # another code that the codebook has
    (codes / "frames" / "track1.npy").write_bytes(content)
    stored = StoredCodeFrames(codes)
    assert stored.rows("track0", 0, 50).shape == (50, 2)
    for _ in range(2):
        with pytest.raises(StoredFramesError, match=r"track1\.npy is damaged \(its SHA-256.*make it again"):
            stored.rows("track1", 0, 1)


def test_codes_of_before_there_were_sums_are_read_and_held_against_the_codebook(codes: Path) -> None:
    (codes / "SHA256SUMS").unlink()
    assert StoredCodeFrames(codes).rows("track0", 0, 50).max() == 15
    np.save(codes / "frames" / "track0.npy", np.full((50, 2), 16, np.int16))
    with pytest.raises(StoredFramesError, match="codes that no codebook has"):
        StoredCodeFrames(codes).rows("track0", 0, 50)
    np.save(codes / "frames" / "track0.npy", np.zeros((50, 3), np.int16))
    with pytest.raises(StoredFramesError, match=r"it holds int16 \(50, 3\)"):
        StoredCodeFrames(codes).rows("track0", 0, 50)


def test_a_kill_between_codes_and_their_sum_leaves_codes_that_are_read(codes: Path) -> None:
    lines = (codes / "SHA256SUMS").read_text().splitlines()
    (codes / "SHA256SUMS").write_text(lines[0] + "\n" + lines[1][:40])
    stored = StoredCodeFrames.begin(codes, WHAT)
    assert stored.rows("track1", 0, 50).max() == 15
    stored.write("track2", np.zeros((5, 2), np.int16))
    assert StoredCodeFrames(codes).rows("track2", 0, 5).max() == 0


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a/b", "a\0b"])
def test_a_content_that_would_name_a_file_elsewhere_is_refused(name: str, codes: Path) -> None:
    with pytest.raises(StoredFramesError, match="is no content_hash"):
        StoredCodeFrames(codes).rows(name, 0, 1)
