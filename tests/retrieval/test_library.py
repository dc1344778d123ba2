"""A library follows its music, keeps one space, and survives interruption and company."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import solfa
from solfa.data.prepare import NoAudioError
from solfa.embedding import Space, SpaceError, WindowConfig, describe_space
from solfa.models import AudioEncoder
from solfa.retrieval import Changes, Library, LibraryError
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]


@pytest.fixture(scope="module")
def space(tiny_encoder: AudioEncoder) -> Space:
    return describe_space(tiny_encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A folder of four tracks of two seconds."""
    for n in range(4):
        write_wav(tmp_path / "music" / f"track {n}.wav", melody(2.0, seed=n))
    return tmp_path / "music"


@pytest.fixture
def library(tmp_path: Path, space: Space) -> Iterator[Library]:
    with Library(tmp_path / "library.sqlite", space) as opened:
        yield opened


def counts(changes: Changes) -> tuple[int, int, int, int, int]:
    return (
        changes.n_added, changes.n_changed, changes.n_moved, changes.n_removed, changes.n_unchanged,
    )  # fmt: skip


def names(library: Library) -> list[str]:
    return [track.path.name for track in library.tracks()]


def test_a_library_holds_the_vectors_that_embed_gives(
    library: Library, tiny_encoder: AudioEncoder, music: Path
) -> None:
    assert counts(library.update([music], tiny_encoder)) == (4, 0, 0, 0, 0)
    vectors = library.vectors(library.tracks())
    np.testing.assert_allclose(vectors, solfa.embed(music, tiny_encoder).numpy(), rtol=0, atol=1e-5)
    assert len(library) == 4


def test_an_update_without_changes_reads_nothing(
    library: Library, tiny_encoder: AudioEncoder, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.update([music], tiny_encoder)
    monkeypatch.setattr("solfa.embedding.reading.hash_content", lambda path: pytest.fail(f"read {path}"))
    assert counts(library.update([music], tiny_encoder)) == (0, 0, 0, 0, 4)


def test_an_update_follows_what_happened_to_the_files(
    library: Library, tiny_encoder: AudioEncoder, music: Path, write_wav: WriteWav
) -> None:
    library.update([music], tiny_encoder)
    (music / "track 0.wav").rename(music / "moved.wav")
    write_wav(music / "track 1.wav", melody(3.0, seed=8))
    (music / "track 2.wav").unlink()
    write_wav(music / "new.wav", melody(2.0, seed=9))
    assert counts(library.update([music], tiny_encoder)) == (1, 1, 1, 1, 1)
    assert names(library) == ["moved.wav", "new.wav", "track 1.wav", "track 3.wav"]
    expected = solfa.embed([track.path for track in library.tracks()], tiny_encoder)
    np.testing.assert_allclose(library.vectors(library.tracks()), expected.numpy(), rtol=0, atol=1e-5)


def test_a_vector_that_nobody_needs_is_removed(
    library: Library, tiny_encoder: AudioEncoder, music: Path
) -> None:
    library.update([music], tiny_encoder)
    gone = library.tracks()[0]
    gone.path.unlink()
    library.update([music], tiny_encoder)
    assert library.vector_of(gone.content_hash) is None


def test_two_copies_share_a_vector_and_survive_each_other(
    library: Library, tiny_encoder: AudioEncoder, music: Path
) -> None:
    (music / "copy.wav").write_bytes((music / "track 0.wav").read_bytes())
    assert library.update([music], tiny_encoder).n_added == 5
    (music / "track 0.wav").unlink()
    library.update([music], tiny_encoder)
    assert library.vector_of(library.tracks()[0].content_hash) is not None
    assert names(library)[0] == "copy.wav"


def test_tracks_of_other_folders_are_left_alone(
    library: Library, tiny_encoder: AudioEncoder, music: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    library.update([music], tiny_encoder)
    write_wav(tmp_path / "more" / "a.wav", melody(2.0, seed=9))
    assert counts(library.update([tmp_path / "more"], tiny_encoder)) == (1, 0, 0, 0, 0)
    assert len(library) == 5


def test_an_empty_folder_removes_nothing(library: Library, tiny_encoder: AudioEncoder, music: Path) -> None:
    library.update([music], tiny_encoder)
    for path in music.iterdir():
        path.unlink()
    with pytest.raises(NoAudioError, match="is empty"):  # more likely a disk that is not there
        library.update([music], tiny_encoder)
    assert len(library) == 4


def test_a_bad_file_is_reported_and_the_rest_goes_on(
    library: Library, tiny_encoder: AudioEncoder, music: Path
) -> None:
    (music / "track 1b.mp3").write_text("words " * 999)
    changes = library.update([music], tiny_encoder)
    assert changes.n_added == 4
    assert [(bad.path.name, "not audio" in bad.reason) for bad in changes.refused] == [("track 1b.mp3", True)]


def test_a_file_that_became_bad_keeps_its_earlier_vector(
    library: Library, tiny_encoder: AudioEncoder, music: Path
) -> None:
    library.update([music], tiny_encoder)
    (music / "track 1.wav").write_text("being copied")
    assert len(library.update([music], tiny_encoder).refused) == 1
    assert "track 1.wav" in names(library)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_any_file_name_and_tag_survives(
    library: Library, tiny_encoder: AudioEncoder, tmp_path: Path, write_wav: WriteWav
) -> None:
    wanted = ["emoji \U0001f3b5.wav", "new\nline.wav", "quote'\".wav", os.fsdecode(b"bytes \xff.wav")]
    for n, name in enumerate(wanted):
        write_wav(tmp_path / "a.wav", melody(1.0, seed=n)).rename(tmp_path / name)
    library.update([tmp_path], tiny_encoder)
    assert sorted(names(library)) == sorted(wanted)


def test_a_library_refuses_vectors_of_another_space(
    library: Library, tiny_encoder: AudioEncoder, other_run: Path, space: Space
) -> None:
    other = describe_space(solfa.load(other_run), other_run, layer=2, pool="mean", windows=WindowConfig())
    with pytest.raises(SpaceError, match=r"holds vectors of tiny.*weights.*another place"):
        Library(library.path, other)


def test_a_library_is_opened_without_naming_its_space(library: Library, space: Space) -> None:
    with Library(library.path) as again:
        assert again.space == space


def test_a_missing_library_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match=r"no library .*solfa index MUSIC"):
        Library(tmp_path / "none.sqlite")


@pytest.mark.parametrize("content", [b"words " * 999, b""])
def test_a_file_that_is_no_library_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "library.sqlite").write_bytes(content)
    with pytest.raises(LibraryError, match=r"library.*Give another name"):
        Library(tmp_path / "library.sqlite")
    assert (tmp_path / "library.sqlite").read_bytes() == content


def test_another_database_is_refused(tmp_path: Path, space: Space) -> None:
    with sqlite3.connect(tmp_path / "a.sqlite") as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    with pytest.raises(LibraryError, match="no library of solfa"):
        Library(tmp_path / "a.sqlite", space)


def test_an_interrupted_update_goes_on_where_it_was(
    library: Library, tiny_encoder: AudioEncoder, music: Path
) -> None:
    def interrupt(n_done: int, name: str) -> None:
        if n_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.update([music], tiny_encoder, progress=interrupt)
    assert len(library) == 2
    assert counts(library.update([music], tiny_encoder)) == (2, 0, 0, 0, 2)


def test_a_change_that_fails_leaves_nothing_behind(
    library: Library, tiny_encoder: AudioEncoder, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Library, *arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch, pytest.raises(LibraryError, match=r"full.*Free some space"):
        patch.setattr(Library, "_put", full)
        library.update([music], tiny_encoder)
    assert library._rows("SELECT count(*) FROM vectors") == [(0,)]


def test_several_programs_write_at_once(
    tmp_path: Path, tiny_encoder: AudioEncoder, space: Space, music: Path, write_wav: WriteWav
) -> None:
    folders = [music]
    for group in range(2):
        folders.append(tmp_path / f"group {group}")
        for n in range(3):
            write_wav(folders[-1] / f"{n}.wav", melody(1.0, seed=10 * (group + 1) + n))
    failures: list[BaseException] = []

    def index(folder: Path) -> None:
        try:
            with Library(tmp_path / "shared.sqlite", space) as library:
                library.update([folder], tiny_encoder)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=index, args=(folder,)) for folder in [*folders, music]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with Library(tmp_path / "shared.sqlite") as library:
        assert len(library) == 10


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import solfa
from solfa.embedding import WindowConfig, describe_space
from solfa.retrieval import Library

run, music, out = map(Path, sys.argv[1:])

def index():
    child = os.fork()
    if child:
        return child
    encoder = solfa.load(run)
    space = describe_space(encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())
    with Library(out, space) as library:
        library.update([music], encoder)
    os._exit(0)

n_kills = 0
for seed in range(6):
    chance = random.Random(seed)
    for child in (index(), index()):
        time.sleep(chance.uniform(0.1, 0.5))
        os.kill(child, signal.SIGKILL)
        n_kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
print(n_kills)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_programs_killed_at_any_moment_leave_a_whole_library(
    tmp_path: Path, tiny_run: Path, tiny_encoder: AudioEncoder, space: Space, write_wav: WriteWav
) -> None:
    for n in range(60):
        write_wav(tmp_path / "music" / f"{n:02d}.wav", melody(4.0, seed=n))
    out = tmp_path / "library.sqlite"
    command = [sys.executable, "-c", KILLED, str(tiny_run), str(tmp_path / "music"), str(out)]
    assert int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) > 1
    with Library(out, space) as library:
        assert library._rows("PRAGMA integrity_check") == [("ok",)]
        assert library.vectors(library.tracks()).any(axis=1).all()
        library.update([tmp_path / "music"], tiny_encoder)
        assert len(library) == 60


def test_vectors_of_all_and_of_some_contents_are_the_same(
    library_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a large library are read row after row, in place of being asked for one by one."""
    with Library(library_path) as library:
        hashes = [content_hash for _, content_hash in library.contents()][::-1]
        one_by_one = library.vectors_of(hashes)
        monkeypatch.setattr("solfa.retrieval.contents.FEWEST_OF_ALL", 2)
        monkeypatch.setattr(library, "_among", lambda *_: pytest.fail("asked for one by one"))
        np.testing.assert_array_equal(library.vectors_of(hashes), one_by_one)
        np.testing.assert_array_equal(library.vectors_of([*hashes, hashes[0]])[-1], one_by_one[0])
        with pytest.raises(LibraryError, match="lacks vectors"):
            library.vectors_of([*hashes, "unknown"])
