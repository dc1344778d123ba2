"""Names are found by their words, whatever their case, accents and script, and go with their tracks."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from solfa.data.manifest import Track
from solfa.embedding import Space, Stamp
from solfa.models import AudioEncoder
from solfa.retrieval import Filters, Library, LibraryError, QueryError, Searcher
from solfa.retrieval.names import Name, completed, find_named

SPACE = Space(
    model="none", weights="", license="", layer=0, pool="mean", dim=2, sample_rate=24_000, frame_rate=25.0,
    window_seconds=30.0, context_seconds=5.0,
)  # fmt: skip
NAMES: dict[str, dict[str, str]] = {
    "Wesnoth/battle.ogg": {
        "title": "Battle Theme",
        "artist": "Aleksi Aubry",
        "album": "The Battle for Wesnoth",
    },
    "Wesnoth/sad.ogg": {"title": "Sad", "artist": "Tyler Johnson", "album": "The Battle for Wesnoth"},
    "amoebax/KerberosBackground2.ogg": {},
    "amoebax/menu.ogg": {"title": "Menü", "artist": "Àlex Almarza; Somebody", "composer": "Érik Satie"},
    "Saddle/01.ogg": {"title": "新世界より", "artist": "東京 Orchestra"},
}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of names without vectors."""
    with Library(tmp_path / "library.sqlite", SPACE) as opened:
        for name, tags in NAMES.items():
            put(opened, Path("/home/anna/Music", name), tags)
    return tmp_path / "library.sqlite"


def put(library: Library, path: Path, tags: dict[str, str]) -> None:
    track = Track(
        path=path, seconds=60.0, sample_rate=24_000, n_channels=1, content_hash=str(path), tags=tags
    )
    with library._transaction():
        library._put(track, Stamp(n_bytes=1, modified_ns=1))


def found(path: Path, text: str, n: int = 9, filters: Filters | None = None) -> list[str]:
    with Library(path) as library:
        return [f"{t.path.parent.name}/{t.path.name}" for t in find_named(library, text, n, filters)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kerberos", ["amoebax/KerberosBackground2.ogg"]),
        ("Background 2", ["amoebax/KerberosBackground2.ogg"]),
        ("KERBEROSBACKGROUND2", ["amoebax/KerberosBackground2.ogg"]),
        ("almarza", ["amoebax/menu.ogg"]),
        ("alex menu", ["amoebax/menu.ogg"]),
        ("satie", ["amoebax/menu.ogg"]),
        ("E\u0301rik", ["amoebax/menu.ogg"]),
        ("sad", ["Wesnoth/sad.ogg"]),
        ("sadd", ["Saddle/01.ogg"]),
        ("世界", ["Saddle/01.ogg"]),
        ("amoebax", ["amoebax/KerberosBackground2.ogg", "amoebax/menu.ogg"]),
        ("battle", ["Wesnoth/battle.ogg", "Wesnoth/sad.ogg"]),
        ("battle kerberos", []),
        ('"battle" OR NEAR(x) title:*', []),
        ("- + *", []),
        ("anna", []),
        ("music", []),
    ],
)
def test_tracks_are_found_by_the_words_of_their_names(library: Path, text: str, expected: list[str]) -> None:
    assert found(library, text) == expected


def test_filters_and_number_bound_what_is_found_by_name(library: Path) -> None:
    assert found(library, "battle", n=1) == ["Wesnoth/battle.ogg"]
    assert found(library, "battle", filters=Filters.parse(["artist=tyler"])) == ["Wesnoth/sad.ogg"]


def test_names_are_completed_each_once(library: Path) -> None:
    with Library(library) as opened:
        assert completed(opened, "battle for w", 9) == [Name("The Battle for Wesnoth", "album")]
        assert completed(opened, "ty", 9) == [Name("Tyler Johnson", "artist")]
        assert completed(opened, "sadd", 9) == [Name("Saddle", "folder")]
        assert completed(opened, "b", 2)[0] == Name("Battle Theme", "title")
        assert not completed(opened, " ", 9)


def test_names_follow_their_tracks(library: Path) -> None:
    with Library(library) as opened:
        put(opened, Path("/home/anna/Music/Wesnoth/sad.ogg"), {"title": "Happy"})
        opened._remove([Path("/home/anna/Music/Wesnoth/battle.ogg")])
    assert found(library, "happy") == ["Wesnoth/sad.ogg"]
    assert found(library, "tyler") == found(library, "theme") == []


@pytest.mark.parametrize("version", [3, 4])
def test_a_library_of_an_earlier_layout_gets_its_names(library: Path, version: int) -> None:
    with sqlite3.connect(library) as database:
        database.executescript(f"DROP TRIGGER names_gone; DROP TABLE names; PRAGMA user_version = {version}")
        if version == 3:
            database.execute("ALTER TABLE tracks DROP COLUMN damage")
    database.close()
    assert found(library, "alex") == ["amoebax/menu.ogg"]


def test_a_sqlite_without_fts5_is_told_with_the_cure(
    library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("solfa.retrieval.layout.NAMES", ("CREATE VIRTUAL TABLE names USING fts99 (title)",))
    with pytest.raises(LibraryError, match=r"no such module.*whose SQLite has it"):
        Library(tmp_path / "new.sqlite", SPACE)


def test_a_model_without_words_answers_by_name(library_path: Path, tiny_encoder: AudioEncoder) -> None:
    with Searcher(library_path) as searcher:
        answer = searcher.answer("tune")
        assert [track.path.stem for track in answer.named] == ["tune"] and not answer.matches
        assert "knows no words" in answer.notices[0]
        assert not searcher.answer("named: nothing of that name").named
        with pytest.raises(QueryError, match="knows no words"):
            searcher.answer("calm piano")


def test_names_are_found_above_the_answers_by_sound(tagged_library: Path, tmp_path: Path) -> None:
    with Searcher(Path(shutil.copy(tagged_library, tmp_path / "library.sqlite"))) as searcher:
        answer = searcher.answer("Gymnopedie")
        assert [track.title for track in answer.named] == ["Gymnopédie"] and len(answer.matches) == 4
        assert not searcher.answer("sounds like: Gymnopedie").named
        answer = searcher.answer("named: gymnopedie")
        assert answer.named and not answer.matches
        assert [name.text for name in searcher.names("sat")] == ["Érik Satie"]
