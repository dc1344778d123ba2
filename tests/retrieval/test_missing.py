"""Tracks whose files are out of sight stay in a library; those that have gone are removed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from solfa.data.folders import NoAudioError
from solfa.embedding import Space, WindowConfig, describe_space
from solfa.models import AudioEncoder
from solfa.retrieval import Library
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]
NOBODY = 65534


@pytest.fixture(scope="module")
def space(tiny_encoder: AudioEncoder) -> Space:
    return describe_space(tiny_encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())


@pytest.fixture
def music(write_wav: WriteWav) -> Iterator[Path]:
    """Two folders of two tracks, and eight tracks beside them; a user without rights may enter."""
    with tempfile.TemporaryDirectory(prefix="solfa-test-") as name:
        Path(name).chmod(0o755)
        music = Path(name) / "music"
        for n in range(8):
            write_wav(music / f"{n}.wav", melody(1.0, seed=n))
        for n in range(2):
            write_wav(music / "disk" / "album" / f"{n}.wav", melody(1.0, seed=10 + n))
            write_wav(music / "other" / f"{n}.wav", melody(1.0, seed=20 + n))
        yield music


@pytest.fixture
def library(music: Path, tmp_path: Path, space: Space, tiny_encoder: AudioEncoder) -> Iterator[Library]:
    """A library of all of them."""
    with Library(tmp_path / "library.sqlite", space) as library:
        assert library.update([music], tiny_encoder).n_added == 12
        yield library


def numbers(library: Library) -> dict[Path, int]:
    return {track.path: track.id for track in library.tracks()}


@contextlib.contextmanager
def without_rights() -> Iterator[None]:
    """As somebody whom rights bind, also if the tests are run by root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def open_for_nobody(library: Library) -> None:
    """Rights are looked at when a file is opened; what is open stays so."""
    folder = library.path.parent
    for path in (*folder.parents, folder):
        if path.is_relative_to(tempfile.gettempdir()) and path != Path(tempfile.gettempdir()):
            path.chmod(0o777)
    for path in folder.glob(f"{library.path.name}*"):
        path.chmod(0o666)


@pytest.mark.parametrize("prune", [False, True])
def test_tracks_below_a_folder_that_may_not_be_read_stay(
    library: Library, music: Path, tiny_encoder: AudioEncoder, prune: bool
) -> None:
    before = numbers(library)
    open_for_nobody(library)
    (music / "disk").chmod(0)
    try:
        with without_rights():
            changes = library.update([music], tiny_encoder, prune=prune)
    finally:
        (music / "disk").chmod(0o755)
    assert (changes.n_removed, changes.n_unchanged) == (0, 10)
    assert [(kept.folder, kept.n) for kept in changes.kept] == [(music / "disk", 2)]
    (refused,) = changes.refused
    assert refused.path == music / "disk" and "PermissionError" in refused.reason
    assert numbers(library) == before
    assert library.update([music], tiny_encoder).n_unchanged == 12


def test_tracks_of_a_folder_that_fails_while_it_is_read_stay(
    library: Library, music: Path, tiny_encoder: AudioEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def fail(path: Path) -> object:
        if Path(path).name == "album":
            raise OSError(5, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    changes = library.update([music], tiny_encoder, prune=True)
    assert changes.n_removed == 0 and len(library) == 12
    assert "Input/output error" in changes.refused[0].reason


def test_tracks_of_a_folder_that_is_suddenly_empty_stay_unless_somebody_says_so(
    library: Library, music: Path, tiny_encoder: AudioEncoder
) -> None:
    before = numbers(library)
    shutil.rmtree(music / "disk" / "album")  # as if its disk were not mounted
    changes = library.update([music], tiny_encoder)
    (kept,) = changes.kept
    assert (changes.n_removed, kept.folder, kept.n) == (0, music / "disk", 2)
    assert "empty" in kept.reason and "--prune" in kept.reason
    assert numbers(library) == before
    changes = library.update([music], tiny_encoder, prune=True)
    assert (changes.n_removed, changes.kept, len(library)) == (2, [], 10)


def test_a_cover_alone_makes_no_album(library: Library, music: Path, tiny_encoder: AudioEncoder) -> None:
    for path in (music / "other").iterdir():
        path.unlink()
    (music / "other" / "cover.jpg").touch()
    assert [kept.n for kept in library.update([music], tiny_encoder).kept] == [2]


def test_an_album_that_was_removed_is_removed(
    library: Library, music: Path, tiny_encoder: AudioEncoder
) -> None:
    shutil.rmtree(music / "other")
    changes = library.update([music], tiny_encoder)
    assert (changes.n_removed, changes.kept) == (2, [])


def test_tracks_behind_a_link_to_nothing_stay(
    library: Library, music: Path, tiny_encoder: AudioEncoder
) -> None:
    shutil.move(music / "disk", music.parent / "away")
    (music / "disk").symlink_to(music.parent / "away", target_is_directory=True)
    assert library.update([music], tiny_encoder).n_unchanged == 12
    shutil.move(music.parent / "away", music.parent / "further away")
    changes = library.update([music], tiny_encoder)
    assert (changes.n_removed, [kept.n for kept in changes.kept]) == (0, [2])
    assert "link to nothing" in changes.refused[0].reason


def test_more_than_a_fifth_of_a_library_is_not_removed_without_being_asked_for(
    library: Library, music: Path, tiny_encoder: AudioEncoder
) -> None:
    for n in range(3):
        (music / f"{n}.wav").unlink()
    changes = library.update([music], tiny_encoder)
    assert (changes.n_removed, len(library)) == (0, 12)
    assert "3 of 12 tracks" in changes.kept[0].reason and "--prune" in changes.kept[0].reason
    assert library.update([music], tiny_encoder, prune=True).n_removed == 3


def test_a_fifth_is_removed_at_once(library: Library, music: Path, tiny_encoder: AudioEncoder) -> None:
    for n in range(2):
        (music / f"{n}.wav").unlink()
    assert library.update([music], tiny_encoder).n_removed == 2


def test_a_folder_that_is_moved_is_neither_empty_nor_too_much(
    library: Library, music: Path, tiny_encoder: AudioEncoder
) -> None:
    before = set(numbers(library).values())
    (music / "new").mkdir()
    for path in [*music.glob("*.wav"), *(music / "other").iterdir()]:
        path.rename(music / "new" / f"{path.parent.name} {path.name}")
    changes = library.update([music], tiny_encoder)
    assert (changes.n_moved, changes.n_removed, changes.kept) == (10, 0, [])
    assert set(numbers(library).values()) == before


def test_what_is_passed_over_now_goes(library: Library, music: Path, tiny_encoder: AudioEncoder) -> None:
    (music / "other").rename(music / "#recycle")
    changes = library.update([music], tiny_encoder)
    assert (changes.n_removed, len(library)) == (2, 10)
    assert [(item.n, [path.name for path in item.n_at]) for item in changes.passed_over] == [
        (2, ["#recycle"])
    ]


def test_a_folder_of_which_nothing_is_left_can_be_given_up(
    library: Library, music: Path, tiny_encoder: AudioEncoder
) -> None:
    shutil.rmtree(music)
    with pytest.raises(FileNotFoundError):
        library.update([music], tiny_encoder)
    music.mkdir()
    with pytest.raises(NoAudioError):
        library.update([music], tiny_encoder)
    assert len(library) == 12
    assert library.update([music], tiny_encoder, prune=True).n_removed == 12


def test_a_folder_that_was_never_there_is_no_folder_to_give_up(
    library: Library, music: Path, tiny_encoder: AudioEncoder
) -> None:
    with pytest.raises(FileNotFoundError):
        library.update([music, music / "typed wrong"], tiny_encoder, prune=True)
    assert len(library) == 12


def test_files_that_changed_places_keep_their_vectors(
    library: Library, music: Path, tiny_encoder: AudioEncoder
) -> None:
    before = {track.path.name: track.content_hash for track in library.tracks() if track.path.parent == music}
    (music / "0.wav").rename(music / "x")
    (music / "1.wav").rename(music / "0.wav")
    (music / "x").rename(music / "1.wav")
    os.utime(music / "0.wav")
    os.utime(music / "1.wav")
    changes = library.update([music], tiny_encoder)
    assert (changes.n_changed, changes.refused) == (2, [])
    after = {track.path.name: track.content_hash for track in library.tracks() if track.path.parent == music}
    assert (after["0.wav"], after["1.wav"]) == (before["1.wav"], before["0.wav"])


def test_another_spelling_of_a_folder_is_the_same_folder(
    library: Library, music: Path, tiny_encoder: AudioEncoder
) -> None:
    assert library.update([music / "other" / ".."], tiny_encoder).n_unchanged == 12
