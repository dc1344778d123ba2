"""The layout of a library: its tables, how they are made, and how those of earlier layouts are renewed."""

import json
import os
import re
import sqlite3
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from solfa.data.tags import values_of
from solfa.embedding.space import Space

APPLICATION, SCHEMA_VERSION = 0x736F6C66, 5  # both stand in the header of the file
SPACE = """
CREATE TABLE space (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    fields TEXT NOT NULL,            -- JSON object
    made_with TEXT NOT NULL          -- JSON object: versions of what made the first vectors
);
CREATE TABLE vectors (
    content_hash TEXT PRIMARY KEY,
    vector BLOB NOT NULL             -- float32, little endian
);
"""
TRACKS = """
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- kept by a file that is moved, and never given again
    path BLOB NOT NULL UNIQUE,       -- as the file system has it: a name need not be text
    content_hash TEXT NOT NULL,      -- SHA-256 of the file's bytes
    n_bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    seconds REAL NOT NULL,
    sample_rate INTEGER NOT NULL,
    n_channels INTEGER NOT NULL,
    decoder TEXT NOT NULL,
    damage TEXT NOT NULL DEFAULT '[]', -- JSON: stretches of the file that were left out
    place BLOB NOT NULL DEFAULT x'', -- in the order of lists: folder, album, disc, number, name
    tag_reader INTEGER NOT NULL DEFAULT 0  -- which one read the tags, as earlier ones left some out
);
CREATE INDEX track_contents ON tracks (content_hash);
CREATE INDEX track_places ON tracks (place, path);
"""
TAGS = """
CREATE TABLE tags (
    track INTEGER NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,         -- from 0: a tag may have several values
    value TEXT NOT NULL,
    folded TEXT NOT NULL,            -- the value without its case, to be searched
    PRIMARY KEY (track, name, number)
) WITHOUT ROWID;
CREATE INDEX tag_names ON tags (name);
CREATE TABLE refused (
    path BLOB PRIMARY KEY,
    reason TEXT NOT NULL,
    mark TEXT NOT NULL               -- what the file was like then, or empty, to be tried each time
) WITHOUT ROWID;
"""
SEGMENTS = """
CREATE TABLE segments (
    content_hash TEXT NOT NULL,
    number INTEGER NOT NULL,         -- from 0, in the order of time
    start REAL NOT NULL,             -- seconds
    end REAL NOT NULL,
    length REAL NOT NULL,            -- of the vector
    direction BLOB NOT NULL,         -- the vector scaled to length 1, as float16, little endian
    PRIMARY KEY (content_hash, number)
) WITHOUT ROWID;
CREATE TABLE map (
    track INTEGER PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
    x REAL NOT NULL,
    y REAL NOT NULL
);
"""
NAMES = (
    # The words of each track's names; `rowid` is the number of the track.
    "CREATE VIRTUAL TABLE IF NOT EXISTS names USING fts5 (title, artist, album, way, "
    "tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')",
    "CREATE TRIGGER IF NOT EXISTS names_gone AFTER DELETE ON tracks BEGIN "
    "DELETE FROM names WHERE rowid = old.id; END",
)
NAME_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")  # of BattleTheme2
LETTER_WORD = re.compile(r"([\u3040-\u30ff\u3400-\u9fff])")  # Japanese and Chinese stand without spaces
TAG_READER = 1  # goes up when more of the tags of files are read


def lay_out(database: sqlite3.Connection, space: Space) -> None:
    """Make the tables of a new library; inside a transaction."""
    from solfa.embedding.store import made_with  # asks PyTorch for its version

    _execute_all(database, SPACE + TRACKS + TAGS + SEGMENTS)
    _make_names(database)
    values = json.dumps(asdict(space)), json.dumps(made_with())
    database.execute("INSERT INTO space VALUES (1, ?, ?)", values)
    database.execute(f"PRAGMA application_id = {APPLICATION}")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def renew(database: sqlite3.Connection, version: int) -> None:
    """Turn an earlier layout into this one; inside a transaction.

    The first layout has no segments: until the next update gives them, a track is its own only segment. Both
    have the first value of a tag only: the next update reads the others. The third took no damaged files, and
    the fourth had no index of names.
    """
    if version == 1:
        _from_first(database)
    elif version == 2:
        _from_second(database)
    if version in (2, 3):
        database.execute("ALTER TABLE tracks ADD COLUMN damage TEXT NOT NULL DEFAULT '[]'")
    _make_names(database)
    _fill_names(database)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def put_tags(database: sqlite3.Connection, track: int, tags: Mapping[str, str]) -> None:
    """Replace the tags of a track; a text that names several values becomes several."""
    database.execute("DELETE FROM tags WHERE track = ?", (track,))
    rows = [
        (track, storable(name), number, storable(value), storable(value).casefold())
        for name, text in tags.items()
        for number, value in enumerate(values_of(text) or [text])
    ]
    database.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?)", rows)


def put_names(database: sqlite3.Connection, track: int, path: Path, tags: Mapping[str, str]) -> None:
    """Replace the names that a track is found by: title, artists, album, and the way to its file."""
    artists = " ".join(tags[name] for name in ("artist", "albumartist", "composer") if name in tags)
    way = " ".join((*path.parts[1:-1], path.stem))
    texts = (tags.get("title") or path.stem, artists, tags.get("album", ""), way)
    row = [divided(storable(text)) for text in texts]
    database.execute(
        "INSERT OR REPLACE INTO names (rowid, title, artist, album, way) VALUES (?, ?, ?, ?, ?)",
        (track, *row),
    )


def divided(text: str) -> str:
    """Text in which words are apart that a name may join: of BattleTheme2 also Battle, Theme and 2."""
    text = unicodedata.normalize("NFC", text)
    apart = NAME_BREAK.sub(" ", text)
    return LETTER_WORD.sub(r" \1 ", text if apart == text else f"{text} {apart}")


def place_of(path: Path, tags: Mapping[str, str]) -> bytes:
    """Where a track stands in lists: by folder, and there by album, disc, number and name."""
    album = storable(tags.get("album", "")).casefold()
    numbers = f"{_number(tags, 'disc'):06d}{_number(tags, 'track'):06d}" if album else ""
    return b"\0".join(
        [os.fsencode(path.parent) + b"/", album.encode(), numbers.encode(), os.fsencode(path.name)]
    )


def _number(tags: Mapping[str, str], name: str) -> int:
    digits = tags.get(name, "").split("/")[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 6 else 0


def _make_names(database: sqlite3.Connection) -> None:
    for statement in NAMES:
        database.execute(statement)


def _fill_names(database: sqlite3.Connection) -> None:
    tags: dict[int, dict[str, str]] = {}
    for track, name, value in database.execute("SELECT track, name, value FROM tags ORDER BY number"):
        of_track = tags.setdefault(track, {})
        of_track[name] = f"{of_track[name]}; {value}" if name in of_track else value
    for track, path in database.execute("SELECT id, path FROM tracks").fetchall():
        put_names(database, track, Path(os.fsdecode(path)), tags.get(track, {}))


def _from_first(database: sqlite3.Connection) -> None:
    _execute_all(
        database,
        "DROP INDEX track_contents; ALTER TABLE tracks RENAME TO old_tracks;" + TRACKS + TAGS + SEGMENTS,
    )
    columns = "content_hash, n_bytes, modified_ns, seconds, sample_rate, n_channels, decoder"
    database.execute(
        f"INSERT INTO tracks (path, {columns}) SELECT path, {columns} FROM old_tracks ORDER BY path"
    )
    joined = "SELECT id, path, tags FROM tracks JOIN old_tracks USING (path)"
    for track, path, text in database.execute(joined).fetchall():
        tags = json.loads(text)
        put_tags(database, track, tags)
        _put_place(database, track, path, tags)
    database.execute("DROP TABLE old_tracks")


def _from_second(database: sqlite3.Connection) -> None:
    _execute_all(
        database,
        "DROP INDEX tag_names; ALTER TABLE tags RENAME TO old_tags;"
        "ALTER TABLE tracks ADD COLUMN place BLOB NOT NULL DEFAULT x'';"
        "ALTER TABLE tracks ADD COLUMN tag_reader INTEGER NOT NULL DEFAULT 0;"
        "CREATE INDEX track_places ON tracks (place, path);" + TAGS,
    )
    database.execute("INSERT INTO tags SELECT track, name, 0, value, folded FROM old_tags")
    database.execute("DROP TABLE old_tags")
    tags: dict[int, dict[str, str]] = {}
    ordering = ("album", "disc", "track")
    for track, name, value in database.execute("SELECT track, name, value FROM tags"):
        if name in ordering:
            tags.setdefault(track, {})[name] = value
    for track, path in database.execute("SELECT id, path FROM tracks").fetchall():
        _put_place(database, track, path, tags.get(track, {}))


def _put_place(database: sqlite3.Connection, track: int, path: bytes, tags: Mapping[str, str]) -> None:
    place = place_of(Path(os.fsdecode(path)), tags)
    database.execute("UPDATE tracks SET place = ? WHERE id = ?", (place, track))


def _execute_all(database: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        database.execute(statement)


def storable(value: str) -> str:
    """What SQLite can keep as text: any tag but for what no reader of tags could show."""
    return value.encode("utf-8", "replace").decode().replace("\0", " ")
