"""A library, or what was found in it, for other programs: JSON lines, Parquet, playlists."""

import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import Any

from solfa.data.manifest import damage_values
from solfa.errors import SolfaError
from solfa.files import whole_file, write_text
from solfa.json_files import write_json_lines
from solfa.retrieval.contents import LibraryTrack
from solfa.retrieval.library import Library

ROWS_AT_ONCE = 10_000
WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # how a place on Windows begins
Named = Callable[[Path], PurePath]  # a path as a playlist has it
CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


class ExportError(SolfaError, ValueError):
    """An export that cannot be made; the message names the cure."""


def export_json(library: Library, out: Path) -> int:
    """One JSON object for each track, by path: what is known of it, and its vector; gives how many."""
    tracks = library.tracks()
    write_json_lines(_rows(library, tracks), out)
    return len(tracks)


def export_parquet(library: Library, out: Path) -> int:
    """As ``export_json``, as a table; it takes pyarrow. The space stands in the metadata as ``solfa_space``.

    The column ``path`` is readable text, and ``path_bytes`` the name as the file system has it.
    """
    arrow, parquet = _pyarrow()
    tracks = library.tracks()
    schema = arrow.schema(
        {
            "id": arrow.int64(), "path": arrow.string(), "path_bytes": arrow.binary(),
            "seconds": arrow.float64(), "sample_rate": arrow.int32(), "channels": arrow.int32(),
            "content_hash": arrow.string(), "tags": arrow.map_(arrow.string(), arrow.string()),
            "damage": arrow.list_(arrow.struct({"start": arrow.float64(), "seconds": arrow.float64()})),
            "space": arrow.string(), "vector": arrow.list_(arrow.float32(), library.space.dim),
        },
        metadata={"solfa_space": json.dumps(asdict(library.space))},
    )  # fmt: skip
    with whole_file(out) as partial, parquet.ParquetWriter(partial, schema) as writer:
        for n in range(0, len(tracks), ROWS_AT_ONCE):
            rows = [_readable(row) for row in _rows(library, tracks[n : n + ROWS_AT_ONCE])]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    return len(tracks)


def write_playlist(tracks: Iterable[LibraryTrack], out: Path, named: Named | None = None) -> None:
    """An extended M3U in UTF-8, whole or not at all.

    Paths are absolute, or as ``named`` gives them. One that a line of text cannot hold is written as a file://
    address, or with escapes if it is relative.
    """
    write_text(out, playlist(tracks, named))


def relative_to(folder: Path) -> Named:
    """Paths as they are seen from a folder, so that it can be moved together with the music."""
    start = Path(os.path.abspath(folder))  # noqa: PTH100  # links stay what they are

    def named(path: Path) -> PurePath:
        try:
            return Path(os.path.relpath(path, start))
        except ValueError:  # another drive
            return path

    return named


def moved(prefixes: Sequence[str], tracks: Sequence[LibraryTrack]) -> Named:
    """Paths as another machine has them: ``OLD=NEW`` for each folder, the longest that fits counts.

    NEW may be a place on Windows, too.

    Raises:
        ExportError: a prefix has no sign ``=``, or none of the tracks lies below it.
    """
    places: dict[Path, PurePath] = {}
    for text in prefixes:
        old, is_pair, new = text.partition("=")
        if not (old and is_pair and new):
            raise ExportError(f"A prefix is OLD=NEW, such as /home/me/Music=/mnt/music; not {text!r:.200}.")
        folder = Path(os.path.abspath(Path(old).expanduser()))  # noqa: PTH100
        if not any(track.path.is_relative_to(folder) for track in tracks):
            raise ExportError(f"No track lies below {folder}. Give a folder of the music: OLD=NEW.")
        places[folder] = PureWindowsPath(new) if WINDOWS.match(new) else PurePosixPath(new)

    def named(path: Path) -> PurePath:
        fitting = [folder for folder in places if path.is_relative_to(folder)]
        if not fitting:
            return path
        folder = max(fitting, key=lambda one: len(one.parts))
        return places[folder].joinpath(*path.relative_to(folder).parts)

    return named


def playlist(tracks: Iterable[LibraryTrack], named: Named | None = None) -> str:
    """The text of a playlist; see ``write_playlist``. ``named`` turns paths into those that it holds."""
    lines = ["#EXTM3U"]
    for track in tracks:
        name = " - ".join(word for word in (track.artist, track.title) if word)
        lines += [
            f"#EXTINF:{round(track.seconds)},{CONTROL.sub(' ', _shown(name))}",
            _address(named(track.path) if named else track.path),
        ]
    return "\n".join(lines) + "\n"


def _rows(library: Library, tracks: Sequence[LibraryTrack]) -> Iterator[dict[str, Any]]:
    for n in range(0, len(tracks), ROWS_AT_ONCE):
        part = tracks[n : n + ROWS_AT_ONCE]
        for track, vector in zip(part, library.vectors(part), strict=True):
            yield {
                "id": track.id, "path": str(track.path), "seconds": track.seconds,
                "sample_rate": track.sample_rate, "channels": track.n_channels,
                "content_hash": track.content_hash, "tags": track.tags,
                "damage": damage_values(track.damage), "space": library.space.id, "vector": vector.tolist(),
            }  # fmt: skip


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    path = row["path"]
    return row | {"path": _shown(path), "path_bytes": os.fsencode(path), "tags": list(row["tags"].items())}


def _shown(name: str) -> str:
    """A file name as text: what is no text in it becomes an escape."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _address(path: PurePath) -> str:
    name = str(path)
    is_plain = not CONTROL.search(name) and _shown(name) == name and name == name.strip()
    if isinstance(path, PureWindowsPath) and not isinstance(path, Path):
        return CONTROL.sub(" ", _shown(name))
    if not path.is_absolute():  # behind ./ no name is taken for a comment or an address
        return os.path.join(".", name if is_plain else urllib.parse.quote(os.fsencode(name)))  # noqa: PTH118
    return name if is_plain else "file://" + urllib.parse.quote(os.fsencode(name))


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ExportError(
            "Parquet needs pyarrow. Install it: pip install 'solfa[search]'. "
            "Or write JSON lines, which need nothing: --out FILE.jsonl"
        ) from error
    return pyarrow, pyarrow.parquet
