"""The file of a library: made with its first track, gone on with after any stop, read without rights."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from solfa.cli.main import app
from solfa.embedding import Space, WindowConfig, describe_space
from solfa.models import AudioEncoder
from solfa.retrieval import Library, LibraryError, Searcher, known_space
from solfa.retrieval.layout import APPLICATION
from synth import melody

WriteWav = Callable[[Path, np.ndarray], Path]
NOBODY = 65534


@pytest.fixture(scope="module")
def space(tiny_encoder: AudioEncoder) -> Space:
    return describe_space(tiny_encoder, "tiny", layer=2, pool="mean", windows=WindowConfig())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, as those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="solfa-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def music(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A folder of three tracks of a second."""
    for n in range(3):
        write_wav(tmp_path / "music" / f"{n}.wav", melody(1.0, seed=n))
    return tmp_path / "music"


def test_a_run_that_fails_leaves_nothing_behind(
    tmp_path: Path, music: Path, space: Space, tiny_encoder: AudioEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    path = tmp_path / "new" / "deep" / "library.sqlite"
    monkeypatch.setattr("solfa.retrieval.file.lay_out", fail)
    with pytest.raises(LibraryError, match="full"):
        Library(path, space)
    assert not (tmp_path / "new").exists()


def test_an_index_of_nothing_makes_no_library(tmp_path: Path, tiny_run: Path, music: Path) -> None:
    library = tmp_path / "new" / "library.sqlite"
    for path in (tmp_path / "nowhere", tmp_path / "runs"):
        words = ["index", str(path), "--library", str(library), "--model", str(tiny_run)]
        (tmp_path / "runs").mkdir(exist_ok=True)
        assert CliRunner().invoke(app, words).exit_code != 0
        assert not (tmp_path / "new").exists()


def test_an_index_that_is_stopped_before_its_first_track_makes_no_library(
    tmp_path: Path, tiny_run: Path, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("solfa.embedding.embed_files", stop)
    library = tmp_path / "new" / "library.sqlite"
    words = ["index", str(music), "--library", str(library), "--model", str(tiny_run)]
    assert CliRunner().invoke(app, words).exit_code != 0
    assert not (tmp_path / "new").exists()


def test_a_place_where_no_library_can_be_is_refused_at_once(tmp_path: Path, space: Space) -> None:
    (tmp_path / "file").write_text("words")
    for path in (tmp_path, tmp_path / "file" / "library.sqlite"):
        with pytest.raises(LibraryError, match=r"cannot be used as a library.*Give another name"):
            Library(path, space, at_once=False)


def _empty(path: Path) -> None:
    path.touch()


def _without_tables(path: Path) -> None:
    """As a program leaves it that is killed after the first page was written."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 0")
        database.execute("CREATE TABLE x (y)")
        database.execute("DROP TABLE x")
    database.close()
    assert path.stat().st_size


@pytest.mark.parametrize("begin", [_empty, _without_tables])
def test_an_empty_database_is_a_new_library(
    tmp_path: Path, tiny_run: Path, music: Path, begin: Callable[[Path], None]
) -> None:
    library = tmp_path / "library.sqlite"
    begin(library)
    with pytest.raises(LibraryError, match=r"is empty.*solfa index"):
        Searcher(library)
    words = ["index", str(music), "--library", str(library), "--model", str(tiny_run)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0 and "3 added" in result.stdout


KILLED = """
import os, signal, sys
from pathlib import Path
import solfa.retrieval.file as file
from solfa.embedding import Space

real, n_calls = file.lay_out, []

def kill(*given):
    n_calls.append(given)
    if len(n_calls) > 1:  # the first is in memory
        os.kill(os.getpid(), signal.SIGKILL)
    real(*given)

file.lay_out = kill
values = dict(model="m", weights="w", license="", layer=0, pool="mean", dim=4, sample_rate=24000,
              frame_rate=25.0, window_seconds=30.0, context_seconds=5.0)
file.LibraryFile(Path(sys.argv[1]), Space(**values))
"""


@pytest.mark.skipif(os.name == "nt", reason="kills")
def test_a_kill_between_making_and_filling_the_file_is_no_end(
    tmp_path: Path, space: Space, music: Path, tiny_encoder: AudioEncoder
) -> None:
    path = tmp_path / "library.sqlite"
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)]).returncode == -9
    assert path.exists() and known_space(path) is None
    with Library(path, space) as library:
        assert library.update([music], tiny_encoder).n_added == 3


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM vectors WHERE content_hash = '{0}'",
        "DELETE FROM segments WHERE content_hash = '{0}'",
        "UPDATE vectors SET vector = x'0000' WHERE content_hash = '{0}'",
        "UPDATE vectors SET vector = 'text' WHERE content_hash = '{0}'",
        "UPDATE segments SET direction = x'00' WHERE content_hash = '{0}'",
        "UPDATE segments SET length = 9e999 WHERE content_hash = '{0}'",
        "NaN in vectors.vector",
        "NaN in segments.direction",
    ],
)
def test_a_vector_that_is_missing_short_or_no_number_is_refused_and_embedded_anew(
    tmp_path: Path, space: Space, music: Path, tiny_encoder: AudioEncoder, damage: str
) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([music], tiny_encoder)
        tracks = library.tracks()
        expected = library.vectors(tracks)
        if damage.startswith("NaN"):
            table, column = damage.split()[-1].split(".")
            dtype = "<f4" if table == "vectors" else "<f2"
            blob = np.full(space.dim, np.nan, dtype).tobytes()
            query = f"UPDATE {table} SET {column} = ? WHERE content_hash = ?"
            library._rows(query, (blob, tracks[0].content_hash))
        else:
            library._rows(damage.format(tracks[0].content_hash))
        if "DELETE FROM segments" not in damage:  # as in the first layout
            with (
                Searcher(library.path, tiny_encoder) as searcher,
                pytest.raises(LibraryError, match="solfa index"),
            ):
                searcher.similar(tracks[0].id)
                searcher.similar(tracks[1].id)
        changes = library.update([music], tiny_encoder)
        assert (changes.n_changed, changes.n_unchanged) == (1, 2)
        np.testing.assert_allclose(library.vectors(library.tracks()), expected, rtol=0, atol=1e-6)
        assert all(len(library.segments(track)) == 1 for track in library.tracks())
        assert library.update([music], tiny_encoder).n_unchanged == 3


def test_a_model_that_answers_with_nan_adds_nothing(
    tmp_path: Path, space: Space, music: Path, tiny_encoder: AudioEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled = "solfa.embedding.reading.Moments.pooled"
    monkeypatch.setattr(pooled, lambda moments: moments.total.float() * float("nan"))
    with Library(tmp_path / "library.sqlite", space) as library:
        changes = library.update([music], tiny_encoder)
        assert (len(library), len(changes.refused)) == (0, 3)
        assert "not a number" in changes.refused[0].reason


READ = """
import os, sys
from pathlib import Path
import sklearn.decomposition  # what the map needs, while Python's own folder may still be read
from solfa.retrieval import Library, Searcher
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
path = Path(sys.argv[1])
with Searcher(path) as searcher:
    print(len(searcher.tracks()), len(searcher.similar(1)), len(searcher.map()), searcher.track(1).tags)
"""


@pytest.mark.skipif(os.name == "nt", reason="has other rights")
@pytest.mark.parametrize("layout", ["this", "earlier"])
def test_a_library_where_one_may_not_write_can_be_searched(
    folder: Path, space: Space, music: Path, tiny_encoder: AudioEncoder, layout: str
) -> None:
    path = folder / "it's 100 %, music?#.sqlite"
    with Library(path, space) as library:
        library.update([music], tiny_encoder)
    if layout == "earlier":
        to_second_layout(path)
    content = path.read_bytes()
    path.chmod(0o444)
    folder.chmod(0o555)
    try:
        done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True)
    finally:
        folder.chmod(0o755)
    assert done.stdout == "3 2 3 {'artist': 'A'}\n" if layout == "earlier" else "3 2 3 {}\n", done.stderr
    assert path.read_bytes() == content and list(folder.iterdir()) == [path]


def to_second_layout(path: Path) -> None:
    """The same library as the second layout held it, with a tag."""
    with sqlite3.connect(path) as database:
        database.executescript(
            "DROP TABLE tags; DROP TABLE refused; DROP INDEX track_places;"
            "ALTER TABLE tracks DROP COLUMN damage; ALTER TABLE tracks DROP COLUMN place;"
            "ALTER TABLE tracks DROP COLUMN tag_reader;"
            "CREATE TABLE tags (track INTEGER NOT NULL REFERENCES tracks (id) ON DELETE CASCADE, "
            "name TEXT NOT NULL, value TEXT NOT NULL, folded TEXT NOT NULL, "
            "PRIMARY KEY (track, name)) WITHOUT ROWID;"
            "CREATE INDEX tag_names ON tags (name);"
            "INSERT INTO tags SELECT id, 'artist', 'A', 'a' FROM tracks; PRAGMA user_version = 2"
        )
    database.close()


def test_a_library_of_the_second_layout_is_renewed_and_its_tags_are_read_again(
    tmp_path: Path, space: Space, tiny_encoder: AudioEncoder
) -> None:
    import zoo

    (tmp_path / "music").mkdir()
    zoo.write_tagged(tmp_path / "music" / "a.flac", [("ARTIST", "A"), ("ARTIST", "B"), ("DISCNUMBER", "2")])
    with Library(tmp_path / "library.sqlite", space) as library:
        library.update([tmp_path / "music"], tiny_encoder)
        vectors = library.vectors(library.tracks())
    to_second_layout(tmp_path / "library.sqlite")
    with Library(tmp_path / "library.sqlite", space) as library:
        assert library.track(1).tags == {"artist": "A"}
        assert library.update([tmp_path / "music"], tiny_encoder).n_unchanged == 1
        assert library.track(1).tags == {"artist": "A; B", "disc": "2"}
        np.testing.assert_array_equal(library.vectors(library.tracks()), vectors)


@pytest.mark.parametrize(
    "fields", ["null", "[]", "{", "7", '{"dim": 4}', "[" * 100_000, '"text"', json.dumps({"dim": "many"})]
)
def test_a_damaged_description_is_named(tmp_path: Path, space: Space, fields: str) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        library._rows("UPDATE space SET fields = ?", (fields,))
    with pytest.raises(ValueError, match=r"library\.sqlite.*[Mm]ake it again"):
        Library(tmp_path / "library.sqlite")


def test_a_width_that_is_none_is_damage(tmp_path: Path, space: Space) -> None:
    with Library(tmp_path / "library.sqlite", space) as library:
        library._rows("UPDATE space SET fields = ?", (json.dumps(asdict(space) | {"dim": "many"}),))
    with pytest.raises(LibraryError, match=r"library\.sqlite is damaged.*make it again"):
        Library(tmp_path / "library.sqlite")


def test_a_library_keeps_its_number() -> None:
    assert APPLICATION == 0x736F6C66
