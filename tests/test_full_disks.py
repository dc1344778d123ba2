"""A full disk, wherever something is written: one error that names the place, and nothing is left by half."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from damaged_folders import KINDS
from full_disk import full_disk
from probing_data import make_task
from solfa.cli.tag import _write as write_tags
from solfa.data.audio import write_audio
from solfa.data.manifest import Track, write_manifest
from solfa.data.prepare import Refused, prepare_files, write_refused
from solfa.embedding import EmbeddingStore, Space, default_windows, describe_space, read_store
from solfa.models import AudioEncoder, save_official
from solfa.probing.features import extract
from solfa.retrieval import Library
from solfa.retrieval.export import export_json, write_playlist
from solfa.retrieval.pictures import draw_map
from solfa.targets.labelling import RunTarget, label_tracks, load_target
from solfa.tasks.base import ClipRule, Item
from solfa.tasks.kinds import Classes
from synth import noise

TASK = make_task(Classes(("a", "b")), ("accuracy",), clips=ClipRule(seconds=1.0, min_ratio=0.5))


@dataclass(frozen=True)
class Things:
    """What there is to be written."""

    paths: list[Path]
    tracks: list[Track]
    encoder: AudioEncoder
    space: Space
    library: Path
    target: RunTarget
    official: Path


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: AudioEncoder) -> Things:
    folder = tmp_path_factory.mktemp("things")
    paths = [folder / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(paths):
        soundfile.write(path, noise(2.0, seed=number).astype(np.float32), 24_000)
    windows = default_windows(tiny_encoder)
    space = describe_space(tiny_encoder, "tiny", layer=1, pool="mean", windows=windows)
    with Library(folder / "library.sqlite", space) as library:
        library.update(paths, tiny_encoder)
    for kind in ("target", "official MuQ"):
        KINDS[kind].make(folder / kind)
    return Things(
        paths, prepare_files(paths).tracks, tiny_encoder, space, folder / "library.sqlite",
        load_target(folder / "target"), folder / "official MuQ",
    )  # fmt: skip


def _embed(things: Things, out: Path, frame_layers: tuple[int, ...] = ()) -> None:
    with EmbeddingStore(out, things.space, frame_layers) as store:
        store.extend(things.paths, things.encoder)


def _index(things: Things, out: Path) -> None:
    with Library(out / "library.sqlite", things.space) as library:
        library.update(things.paths, things.encoder)


def _from_library(things: Things, write: Callable[[Library], Any]) -> None:
    with Library(things.library) as library:
        write(library)


def _draw(library: Library, out: Path) -> None:
    draw_map([(track, 0.1 * n, 0.2 * n) for n, track in enumerate(library.tracks())], out)


def _extract(things: Things, out: Path) -> None:
    items = [Item(path, "train", 0, track=path.stem, group=path.stem) for path in things.paths]
    extract(TASK, items, things.encoder, out)


def _write_audio(out: Path) -> None:
    out.mkdir(exist_ok=True)
    write_audio(out / "a.wav", np.zeros(24_000, np.float32), 24_000)


Writer = Callable[[Things, Path], Any]
WRITERS: dict[str, Writer] = {
    "a manifest": lambda things, out: write_manifest(things.tracks, out / "a.jsonl"),
    "a report": lambda things, out: write_refused([Refused(path=things.paths[0], reason="x")], out / "a"),
    "a store": _embed,
    "a store with frames": lambda things, out: _embed(things, out, (1,)),
    "codes": lambda things, out: label_tracks(things.tracks, things.target, out),
    "features": _extract,
    "JSON lines": lambda things, out: _from_library(things, lambda lib: export_json(lib, out / "a")),
    "a playlist": lambda things, out: _from_library(
        things, lambda lib: write_playlist(lib.tracks(), out / "a")
    ),
    "a map": lambda things, out: _from_library(things, lambda lib: _draw(lib, out / "a.png")),
    "a table": lambda things, out: write_tags([{"path": "a", "labels": {"b": 0.5}}] * 99, out / "a.csv"),
    "the official layout": lambda things, out: save_official(things.official, out),
    "audio": lambda things, out: _write_audio(out),
}


def _cramped(whole: Path) -> list[int]:
    """Sizes of a disk that has no room for some file in a folder."""
    sizes = {path.stat().st_size for path in whole.rglob("*") if path.is_file()} - {0}
    return [0, max(sizes) // 2, *(size - 1 for size in sizes)]


@pytest.mark.parametrize("what", WRITERS)
def test_nothing_is_left_by_half_and_the_place_is_named(what: str, things: Things, tmp_path: Path) -> None:
    write = WRITERS[what]
    write(things, tmp_path / "whole")
    for n_bytes in _cramped(tmp_path / "whole"):
        out = tmp_path / str(n_bytes)
        with full_disk(n_bytes), pytest.raises((OSError, ValueError)) as caught:
            write(things, out)
        said = str(caught.value)
        assert type(caught.value).__module__.startswith("solfa")
        assert str(out) in said
        assert "space" in said
        left = [path for path in out.rglob("*") if path.is_file()]
        assert not [path for path in left if "partial" in path.name or "unfinished" in path.name]
        assert not left if n_bytes == 0 else not _holds_a_part(left)
        write(things, out)  # once there is space again
        whole = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")}
        assert {path.relative_to(out) for path in out.rglob("*")} == whole


def _holds_a_part(left: list[Path]) -> bool:
    """Whether an array or a list of lines ends in its middle."""
    lines = [path.read_bytes() for path in left if path.suffix == ".jsonl"]
    arrays = [path for path in left if path.suffix == ".npy" and path.name != "vectors.npy"]
    return any(line and not line.endswith(b"\n") for line in lines) or not all(map(_is_array, arrays))


def _is_array(path: Path) -> bool:
    try:
        np.load(path)
    except ValueError:
        return False
    return True


def test_a_store_that_got_full_goes_on_to_what_it_would_have_been(things: Things, tmp_path: Path) -> None:
    _embed(things, tmp_path / "whole", (1,))
    for n_bytes in sorted(_cramped(tmp_path / "whole")):
        with full_disk(n_bytes), pytest.raises((OSError, ValueError), match="space"):
            _embed(things, tmp_path / "full", (1,))
    _embed(things, tmp_path / "full", (1,))
    (tracks, vectors), (again, others) = read_store(tmp_path / "whole"), read_store(tmp_path / "full")
    assert [track.path for track in tracks] == [track.path for track in again]
    assert torch.equal(vectors, others)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_a_library_that_gets_full_says_so_and_goes_on(share: float, things: Things, tmp_path: Path) -> None:
    n_bytes = int(share * things.library.stat().st_size)
    with full_disk(n_bytes), pytest.raises(ValueError, match=r"library\.sqlite .*ree some space"):
        _index(things, tmp_path)
    _index(things, tmp_path)
    with Library(tmp_path / "library.sqlite") as library:
        assert len(library.tracks()) == 3


def test_a_manifest_that_does_not_fit_leaves_the_old_one(things: Things, tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    write_manifest(things.tracks[:1], path)
    before = path.read_bytes()
    with (
        full_disk(len(before)),
        pytest.raises(OSError, match=r"tracks\.jsonl could not be written.*as it was"),
    ):
        write_manifest(things.tracks, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
