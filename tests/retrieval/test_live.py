"""A searcher while its library is filled, replaced, rewritten or gone, and while its model takes its time."""

import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solfa.data.manifest import Track
from solfa.embedding import Pool, Stamp, WindowConfig, describe_space
from solfa.models import AudioEncoder, load
from solfa.retrieval import ExactIndex, Library, LibraryError, QueryError, Searcher
from synth import melody, noise

WriteWav = Callable[[Path, np.ndarray], Path]
PATIENCE = 120.0  # seconds until what is held up is taken for stuck; nothing that works waits so long


class Slow:
    """Work that begins, and goes on when it is told to."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work, self.has_begun, self.may_end = work, threading.Event(), threading.Event()

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.has_begun.set()
        assert self.may_end.wait(PATIENCE)
        return self.work(*given, **named)


def answers_of(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """A thread that has begun some work, and the list that its answer will be in."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()
    return thread, answers


def check_that_others_are_answered(searcher: Searcher, slow: Slow, asked: Callable[[], Any]) -> Any:
    """Everything that needs no model is answered while ``asked`` waits for ``slow``."""
    first, first_answer = answers_of(asked)
    assert slow.has_begun.wait(PATIENCE)
    others, found = answers_of(
        lambda: (searcher.search("1"), searcher.tracks(), searcher.segments(1), searcher.map())
    )
    others.join(PATIENCE)
    were_answered = bool(found)
    slow.may_end.set()
    first.join(PATIENCE)
    assert were_answered, "others waited"
    return first_answer[0]


def make_library(path: Path, music: Path, run: Path, pool: Pool = "mean") -> Path:
    encoder = load(run)
    assert isinstance(encoder, AudioEncoder)
    space = describe_space(encoder, run, layer=2, pool=pool, windows=WindowConfig())
    with Library(path, space) as library:
        library.update([music], encoder)
    return path


@pytest.fixture
def wider(library_path: Path, tiny_run: Path, tmp_path: Path) -> Path:
    """A library of the same music whose vectors are twice as long."""
    return make_library(tmp_path / "wider.sqlite", tmp_path / "music", tiny_run, "mean+std")


def put(new: Path, path: Path) -> None:
    """Put a copy of a library in the place of another one."""
    shutil.copy(new, path.with_name("new")).replace(path)  # type: ignore[attr-defined]


def test_nobody_waits_for_a_model_that_is_loaded_for_the_words_of_somebody_else(
    own_tagged_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(load)
    monkeypatch.setattr("solfa.models.load", slow)
    with Searcher(own_tagged_library) as searcher:
        found = check_that_others_are_answered(searcher, slow, lambda: searcher.search('"piano" + 0.1 * 1'))
        assert found == searcher.search('"piano" + 0.1 * 1')


def test_nobody_waits_for_a_file_that_is_embedded_for_somebody_else(
    library_path: Path, tiny_encoder: AudioEncoder, tmp_path: Path, write_wav: WriteWav,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from solfa.embedding import embed

    slow = Slow(embed)
    monkeypatch.setattr("solfa.embedding.embed", slow)
    query = write_wav(tmp_path / "query.wav", noise(2.0, seed=5))
    with Searcher(library_path, tiny_encoder) as searcher:
        asked = f"{query} + 0.1 * 1"
        found = check_that_others_are_answered(searcher, slow, lambda: searcher.search(asked))
        assert len(found) == 7 and found == searcher.search(asked)


def test_nobody_waits_for_a_map_that_waits_for_another_process(
    library_path: Path, tiny_encoder: AudioEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(Library.store_map)
    monkeypatch.setattr(Library, "store_map", lambda library, points: slow(library, points))
    with Searcher(library_path, tiny_encoder) as searcher:
        making, points = answers_of(searcher.map)
        assert slow.has_begun.wait(PATIENCE)
        others, found = answers_of(lambda: (searcher.search("1"), searcher.tracks()))
        others.join(PATIENCE)
        were_answered = bool(found)
        slow.may_end.set()
        making.join(PATIENCE)
        assert were_answered and len(points[0]) == 8


def test_a_map_that_cannot_be_kept_is_answered_all_the_same(
    library_path: Path, tiny_encoder: AudioEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(library: Library, points: object) -> None:
        raise LibraryError("attempt to write a readonly database")

    monkeypatch.setattr(Library, "store_map", refuse)
    with Searcher(library_path, tiny_encoder) as searcher:
        assert len(searcher.map()) == 8


@pytest.mark.parametrize("when", ["while an upload is embedded", "while words are read"])
def test_a_library_that_becomes_one_of_another_model_is_searched_by_that_one(
    library_path: Path, wider: Path, tmp_path: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:  # fmt: skip
    """The vector of the old model must not meet those of the new one."""
    query, swapped = write_wav(tmp_path / "query.wav", noise(2.0, seed=5)), []
    with Searcher(library_path) as searcher:
        searcher.search("1")
        embedded = searcher._embedded

        def swap(path: Path) -> np.ndarray:
            vector = embedded(path)
            if not swapped:
                swapped.append(len(vector))
                put(wider, library_path)
            return vector

        monkeypatch.setattr(searcher, "_embedded", swap)
        ask = searcher.similar_to_upload if "upload" in when else searcher.similar_to_file
        found = ask(query, n=3)
    assert swapped == [16]
    with Searcher(wider) as searcher:
        assert found == searcher.similar_to_file(query, n=3)


def test_a_library_that_never_stays_the_same_is_given_up(
    library_path: Path, wider: Path, tmp_path: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, narrow = write_wav(tmp_path / "query.wav", noise(2.0, seed=5)), tmp_path / "narrow.sqlite"
    shutil.copy(library_path, narrow)
    turns = [wider, narrow] * 9
    with Searcher(library_path) as searcher:

        def swap(path: Path) -> np.ndarray:
            put(turns.pop(0), library_path)
            return np.ones(16, np.float32)

        monkeypatch.setattr(searcher, "_embedded", swap)
        for ask in (searcher.similar_to_upload, searcher.similar_to_file):
            with pytest.raises(LibraryError, match="again and again"):
                ask(query)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("is_warm", [False, True])
def test_vectors_of_an_earlier_model_are_forgotten(
    library_path: Path, wider: Path, is_warm: bool, centred: bool
) -> None:
    """The new library holds the same contents, so that their hashes tell nothing."""
    with Searcher(library_path, index=ExactIndex(centred)) as searcher:
        if is_warm:
            searcher.search("1")
        assert len(searcher.tracks()) == 8
        put(wider, library_path)
        found = searcher.search("1", n=3)
        assert searcher.space.pool == "mean+std"
    with Searcher(wider, index=ExactIndex(centred)) as expected:
        assert found == expected.search("1", n=3)


def test_the_model_of_the_new_library_is_loaded(
    library_path: Path, tagged_library: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(tagged_library, tmp_path / "own.sqlite"))
    with Searcher(path) as searcher:
        assert searcher.mulan() is not None and len(searcher.search("calm piano")) == 4
        put(library_path, path)
        with pytest.raises(QueryError, match="knows no words"):
            searcher.search("calm piano")
        assert searcher.mulan() is None


def test_a_library_that_is_replaced_before_anybody_asked_is_the_new_one(
    own_tagged_library: Path, tagged_library: Path
) -> None:
    with Searcher(own_tagged_library) as searcher:
        assert searcher.count() == 4
        shorter = Path(shutil.copy(tagged_library, own_tagged_library.with_name("shorter")))
        with Library(shorter) as library:
            library._remove([library.tracks()[0].path])
        put(shorter, own_tagged_library)
        assert searcher.count() == len(searcher.tracks()) == 3
        assert len(searcher.search("2")) == 2


def _remove(path: Path) -> None:
    path.unlink()


def _become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": _remove,
    "a folder": _become_folder,
    "emptied": lambda path: path.write_bytes(b""),
    "no library": lambda path: path.write_bytes(bytes(range(256)) * 200),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:20_000]),
    "damaged": lambda path: path.write_bytes(
        path.read_bytes()[:8192] + b"\xff" * (path.stat().st_size - 8192)
    ),
}


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_library_that_is_damaged_meanwhile_says_so_until_it_is_whole_again(
    own_tagged_library: Path, tagged_library: Path, damage: str, is_warm: bool
) -> None:
    with Searcher(own_tagged_library) as searcher:
        if is_warm:
            searcher.search("1")
        DAMAGES[damage](own_tagged_library)
        for _ in range(2):
            for ask in (lambda: searcher.search("1"), lambda: searcher.vectors([1, 2, 3, 4]), searcher.map):
                with pytest.raises(LibraryError, match=r"library\.sqlite"):
                    ask()
        if own_tagged_library.is_dir():
            own_tagged_library.rmdir()
        put(tagged_library, own_tagged_library)
        assert len(searcher.search("1")) == 3 and searcher.count() == 4


def test_a_library_that_is_rewritten_in_its_place_is_followed(
    library_path: Path, tagged_library: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(tagged_library, tmp_path / "own.sqlite"))
    with Searcher(path) as searcher:
        assert len(searcher.search("1")) == 3
        shutil.copyfile(library_path, path)  # as cp does it
        assert len(searcher.search("1")) == 7


def test_nothing_of_the_old_file_is_mixed_into_the_one_that_takes_its_place(
    library_path: Path, tiny_encoder: AudioEncoder, tmp_path: Path, write_wav: WriteWav
) -> None:
    """SQLite takes the log beside a file for a part of it, whichever file it was written for."""
    before = Path(shutil.copy(library_path, tmp_path / "before.sqlite"))
    with Searcher(library_path) as searcher:
        searcher.search("1")  # keeps the file open, so that the log is not removed
        write_wav(tmp_path / "music" / "new.wav", noise(2.0, seed=9))
        with Library(library_path) as library:
            library.update([tmp_path / "music"], tiny_encoder)
        assert searcher.count() == 9
        put(before, library_path)
        assert searcher.count() == len(searcher.search("1")) + 1 == 8
        with sqlite3.connect(library_path) as database:
            assert database.execute("SELECT count(*) FROM tracks").fetchall() == [(8,)]
        database.close()


def test_a_map_of_other_tracks_is_not_kept(
    library_path: Path, tmp_path: Path, tiny_encoder: AudioEncoder, write_wav: WriteWav,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The tracks change while the map is made: places of the old ones would stand for the new ones."""
    from solfa.retrieval.search import place

    def changing(vectors: np.ndarray, known: list[tuple[float, float] | None]) -> np.ndarray:
        write_wav(tmp_path / "music" / "tune.wav", melody(4.0, seed=8))
        with Library(library_path) as library:
            library.update([tmp_path / "music"], tiny_encoder)
        return place(vectors, known)

    with Searcher(library_path) as searcher:
        monkeypatch.setattr("solfa.retrieval.search.place", changing)
        assert len(searcher.map()) == 8
        with Library(library_path) as library:
            assert library.map() == []


def test_folders_of_a_library_are_named_from_its_roots(tmp_path: Path, tiny_encoder: AudioEncoder) -> None:
    space = describe_space(tiny_encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())

    def roots(*paths: str) -> list[str]:
        with Library(tmp_path / "library.sqlite", space) as library:
            library._remove([track.path for track in library.tracks()])
            for path in paths:
                track = Track(
                    path=Path(path), seconds=1.0, sample_rate=8_000, n_channels=1, content_hash="a", tags={}
                )
                library._put(track, Stamp(1, 1))
            return [str(root) for root in library.roots()]

    assert roots() == []
    assert roots("/music/a/b/1.mp3") == ["/music/a/b"]
    assert roots("/music/a/b/1.mp3", "/music/ab/2.mp3") == ["/music"]
    assert roots("/music/a/1.mp3", "/music/a.b/2.mp3", "/music/a/c/3.mp3") == ["/music"]
    assert roots("/mnt/disk/x/1.mp3", "/home/me/music/2.mp3", "/home/me/3.mp3") == ["/home/me", "/mnt/disk/x"]
    assert roots("/1.mp3", "/home/me/2.mp3", "/z.mp3") == ["/", "/home/me", "/"]
    assert roots("/a/\udcff\udcfe/1.mp3", "/a/\udcff/2.mp3") == ["/a"]
