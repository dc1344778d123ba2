"""A library of the first layout is renewed; segments follow their tracks; damage is named."""

import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from solfa.data.manifest import Track
from solfa.embedding import Space, WindowConfig, describe_space
from solfa.models import AudioEncoder
from solfa.retrieval import Library, LibraryError, Searcher
from solfa.retrieval.file import APPLICATION
from synth import melody, noise

WriteWav = Callable[[Path, np.ndarray], Path]
FIRST_LAYOUT = """
CREATE TABLE space (number INTEGER PRIMARY KEY CHECK (number = 1), fields TEXT NOT NULL,
    made_with TEXT NOT NULL);
CREATE TABLE tracks (path BLOB PRIMARY KEY, content_hash TEXT NOT NULL, n_bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL, seconds REAL NOT NULL, sample_rate INTEGER NOT NULL,
    n_channels INTEGER NOT NULL, decoder TEXT NOT NULL, tags TEXT NOT NULL);
CREATE INDEX track_contents ON tracks (content_hash);
CREATE TABLE vectors (content_hash TEXT PRIMARY KEY, vector BLOB NOT NULL);
"""


@pytest.fixture(scope="module")
def space(tiny_encoder: AudioEncoder) -> Space:
    return describe_space(tiny_encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A folder of a tune of 24 s and three of 2 s."""
    write_wav(tmp_path / "music" / "long.wav", melody(24.0))
    for n in range(3):
        write_wav(tmp_path / "music" / f"{n}.wav", melody(2.0, seed=n))
    return tmp_path / "music"


def first_layout(path: Path, library: Library) -> Path:
    """The same library as the first layout held it."""
    database = sqlite3.connect(path)
    database.executescript(FIRST_LAYOUT)
    database.execute("INSERT INTO space VALUES (1, ?, '{}')", (json.dumps(asdict(library.space)),))
    for track in library.tracks():
        status = track.path.stat()
        row = (
            os.fsencode(track.path), track.content_hash, status.st_size, status.st_mtime_ns, track.seconds,
            track.sample_rate, track.n_channels, track.decoder, json.dumps({"artist": "B\udc80\0y"}),
        )  # fmt: skip
        database.execute("INSERT INTO tracks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        vector = library.vectors([track])[0].tobytes()
        database.execute("INSERT INTO vectors VALUES (?, ?)", (track.content_hash, vector))
    database.executescript(f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1")
    database.close()
    return path


def test_a_library_of_the_first_layout_is_renewed_and_completed(
    tmp_path: Path, space: Space, tiny_encoder: AudioEncoder, music: Path
) -> None:
    with Library(tmp_path / "new.sqlite", space) as library:
        library.update([music], tiny_encoder)
        old = first_layout(tmp_path / "old.sqlite", library)
        expected = library.vectors(library.tracks())
    with Library(old) as renewed:
        tracks = renewed.tracks()
        np.testing.assert_array_equal(renewed.vectors(tracks), expected)
        assert [track.id for track in tracks] == [1, 2, 3, 4]
        assert tracks[0].artist == "B? y"
        assert len(renewed.segments(tracks[3])) == 1  # of the whole track, until there are better
    with Searcher(old) as searcher:
        match = searcher.similar(1, n=1)[0]
        assert (match.start, match.end) == (0, match.track.seconds)
    with Library(old, space) as renewed:
        assert renewed.update([music], tiny_encoder).n_changed == 4
        assert [track.id for track in renewed.tracks()] == [1, 2, 3, 4]
        assert len(renewed.segments(renewed.track(4))) == 2
        assert renewed.update([music], tiny_encoder).n_unchanged == 4


def test_a_layout_of_the_future_is_refused_with_the_cure(tmp_path: Path, space: Space) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        library._rows("PRAGMA user_version = 6")
    with pytest.raises(LibraryError, match=r"layout 6, this one has 5.*solfa index"):
        Library(tmp_path / "library.sqlite")


def test_a_moved_file_keeps_number_vectors_segments_and_place(
    tmp_path: Path, space: Space, tiny_encoder: AudioEncoder, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([music], tiny_encoder)
        before = next(track for track in library.tracks() if track.path.stem == "long")
        vector, segments = library.vectors([before]), library.segments(before)
        library.store_map((track.id, 0.5, -0.5) for track in library.tracks())
        (music / "further").mkdir()
        (music / "long.wav").rename(music / "further" / "away.wav")
        monkeypatch.setattr(
            "solfa.embedding.reading.cut_judged", lambda *given: pytest.fail("embedded again")
        )
        assert library.update([music], tiny_encoder).n_moved == 1
        after = library.track(before.id)
        assert after.path == music / "further" / "away.wav"
        np.testing.assert_array_equal(library.vectors([after]), vector)
        assert [(s.start, s.end) for s in library.segments(after)] == [(s.start, s.end) for s in segments]
        assert len(library.map()) == 4


def test_segments_are_the_vectors_of_their_stretches(
    tmp_path: Path, space: Space, tiny_encoder: AudioEncoder, music: Path
) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([music / "long.wav"], tiny_encoder)
        track = library.tracks()[0]
        first, last = library.segments(track)
        whole = library.vectors([track])[0]
    assert (first.start, first.end, last.start, last.end) == (0, 10, 10, 24)  # 4 s would be too few
    np.testing.assert_allclose((10 * first.vector + 14 * last.vector) / 24, whole, rtol=0, atol=5e-3)


def test_a_changed_file_keeps_its_number_and_loses_what_it_had(
    tmp_path: Path, space: Space, tiny_encoder: AudioEncoder, music: Path, write_wav: WriteWav
) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([music], tiny_encoder)
        before = next(track for track in library.tracks() if track.path.stem == "long")
        library.store_map([(before.id, 0.5, -0.5)])
        write_wav(before.path, noise(3.0))
        assert library.update([music], tiny_encoder).n_changed == 1
        assert library.track(before.id).seconds == 3.0
        assert library.map() == []
        assert library._rows("SELECT count(*) FROM segments") == [(4,)]


def test_numbers_are_not_given_again(
    tmp_path: Path, space: Space, tiny_encoder: AudioEncoder, music: Path, write_wav: WriteWav
) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([music], tiny_encoder)
        last = max(track.id for track in library.tracks())
        library.track(last).path.unlink()
        write_wav(music / "later.wav", noise(1.0))
        library.update([music], tiny_encoder)
        assert {track.path.stem: track.id for track in library.tracks()}["later"] > last


@pytest.mark.parametrize("table", ["vectors", "segments"])
def test_a_damaged_vector_is_named_with_the_cure(
    tmp_path: Path, space: Space, tiny_encoder: AudioEncoder, music: Path, table: str
) -> None:
    column = {"vectors": "vector", "segments": "direction"}[table]
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([music], tiny_encoder)
        library._rows(f"UPDATE {table} SET {column} = x'00'")
    with Searcher(tmp_path / "library.sqlite") as searcher, pytest.raises(LibraryError, match="Remove it"):
        searcher.similar(1)


def test_a_damaged_file_is_named_with_the_cure(
    tmp_path: Path, space: Space, tiny_encoder: AudioEncoder, music: Path
) -> None:
    path = tmp_path / "library.sqlite"
    with Library(path, space) as library:
        library.update([music], tiny_encoder)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)  # all pages but the first
    path.write_bytes(data)
    expected = r"cannot be used as a library .*Remove it and make it again"
    with pytest.raises(LibraryError, match=expected), Searcher(path) as searcher:
        searcher.similar(1)


def test_tags_of_a_manifest_are_kept(tagged_library: Path) -> None:
    with Library(tagged_library) as library:
        tags: dict[str, Track] = {track.path.stem: track for track in library.tracks()}
    assert tags["bach"].tags == {
        "artist": "J. S. Bach", "year": "1722", "genre": "baroque", "tempo_bpm": "72",
    }  # fmt: skip
