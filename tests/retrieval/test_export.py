"""Other programs read what a library holds, whatever its files are called."""

import builtins
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solfa.retrieval import Library, LibraryTrack
from solfa.retrieval.export import (
    ExportError,
    export_json,
    export_parquet,
    moved,
    playlist,
    relative_to,
    write_playlist,
)


def track(path: str, **tags: str) -> LibraryTrack:
    return LibraryTrack(
        id=1, path=Path(path), seconds=61.6, sample_rate=24_000, n_channels=1, content_hash="", tags=tags
    )


def test_json_lines_hold_tracks_tags_and_vectors(tagged_library: Path, tmp_path: Path) -> None:
    with Library(tagged_library) as library:
        assert export_json(library, tmp_path / "out.jsonl") == 4
        vectors = library.vectors(library.tracks())
        space = library.space.id
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    np.testing.assert_array_equal(np.array([row["vector"] for row in rows], np.float32), vectors)
    assert rows[1]["tags"] == {"genre": "noise"} and rows[1]["path"].endswith("new/hiss.wav")
    assert {row["space"] for row in rows} == {space}


def test_parquet_holds_the_same_or_says_how_to_get_there(
    tagged_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_arrow(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    real: Callable[..., Any] = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without_arrow)
    with (
        Library(tagged_library) as library,
        pytest.raises(ExportError, match=r"pip install 'solfa\[search\]'"),
    ):
        export_parquet(library, tmp_path / "out.parquet")
    monkeypatch.undo()
    parquet = pytest.importorskip("pyarrow.parquet")
    with Library(tagged_library) as library:
        export_parquet(library, tmp_path / "out.parquet")
        vectors = library.vectors(library.tracks())
    table = parquet.read_table(tmp_path / "out.parquet").to_pydict()
    np.testing.assert_array_equal(np.array(table["vector"], np.float32), vectors)
    assert os.fsdecode(table["path_bytes"][1]) == table["path"][1]
    assert dict(table["tags"][1]) == {"genre": "noise"}


def test_a_playlist_names_each_track_on_one_line(tmp_path: Path) -> None:
    odd = os.fsdecode(b"/m/\xff new\nline #1.mp3")
    write_playlist(
        [track("/m/a b.mp3", artist="\u00c9rik", title="One\r\n#EXTM3U"), track(odd), track("/m/\u00e9.ogg")],
        tmp_path / "list.m3u8",
    )
    assert (tmp_path / "list.m3u8").read_text(encoding="utf-8").split("\n") == [
        "#EXTM3U",
        "#EXTINF:62,\u00c9rik - One #EXTM3U",
        "/m/a b.mp3",
        "#EXTINF:62,\\xff new line #1",
        "file:///m/%FF%20new%0Aline%20%231.mp3",
        "#EXTINF:62,\u00e9",
        "/m/\u00e9.ogg",
        "",
    ]


def test_a_playlist_can_be_moved_together_with_its_music_or_go_to_another_machine() -> None:
    tracks = [track("/home/me/Music/a/b.mp3"), track("/home/me/Music/live/c.mp3"), track("/disk/d.mp3")]

    def lines(named: Any) -> list[str]:
        return playlist(tracks, named).splitlines()[2::2]

    assert lines(relative_to(Path("/home/me/Lists"))) == [
        "./../Music/a/b.mp3", "./../Music/live/c.mp3", "./../../../disk/d.mp3",
    ]  # fmt: skip
    prefixes = ["/home/me/Music=/mnt/nas", "/home/me/Music/live=D:\\Live"]
    assert lines(moved(prefixes, tracks)) == ["/mnt/nas/a/b.mp3", "D:\\Live\\c.mp3", "/disk/d.mp3"]


@pytest.mark.parametrize("prefix", ["/home/me/Music", "=/mnt", "/home=", "/elsewhere=/mnt"])
def test_a_prefix_that_leads_nowhere_is_explained(prefix: str) -> None:
    with pytest.raises(ExportError, match="OLD=NEW"):
        moved([prefix], [track("/home/me/Music/a.mp3")])
