"""What players ask of a large library over OpenSubsonic: processor seconds of first and of later calls.

    python benchmarks/players.py --tracks 100000 --out /tmp/benchmark

The library is that of benchmarks/search.py: albums of ten made tracks, three albums an artist, no files
behind them. The application is asked in its own process, without a network between; what it remembers of
albums is gathered by the first call and again after a track has changed.

It takes: pip install 'solfa[serve]' httpx
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from search import make_library, timed

from solfa.retrieval import Library, Searcher
from solfa.serving import ServingConfig, build_app

N_ASKED = 3  # times, after the first
FIRST = 1  # the number of a track
MADE = "made by benchmarks/players.py"

Asked = tuple[str, dict[str, Any]]


def methods_of(client: TestClient) -> list[Asked]:
    """Calls as players make them, with ids of this library."""
    (found,) = answer(client, "getAlbumList2", {"type": "newest", "size": 1})["albumList2"]["album"]
    songs = answer(client, "getRandomSongs", {"size": 500})["randomSongs"]["song"]
    every: list[Asked] = [
        ("ping", {}), ("getArtists", {}), ("getIndexes", {}), ("getGenres", {}),
        ("getArtist", {"id": found["artistId"]}), ("getAlbum", {"id": found["id"]}),
    ]  # fmt: skip
    every += [
        ("getAlbumList2", {"type": kind, "size": 500})
        for kind in ("alphabeticalByName", "alphabeticalByArtist", "newest", "random", "starred")
    ]
    every += [
        ("getAlbumList2", {"type": "alphabeticalByName", "size": 500, "offset": 9_000}),
        ("getAlbumList2", {"type": "byGenre", "genre": "Genre 3", "size": 500}),
        ("getAlbumList2", {"type": "byYear", "fromYear": 1990, "toYear": 1999, "size": 500}),
        ("getSongsByGenre", {"genre": "Genre 3", "count": 500}),
        ("getRandomSongs", {"size": 500}), ("getRandomSongs", {"size": 50, "genre": "Genre 3"}),
        ("search3", {"query": "", "songCount": 500, "songOffset": 0}),
        ("search3", {"query": "", "songCount": 500, "songOffset": 90_000}),
        ("search3", {"query": "piece 77"}), ("search3", {"query": "artist 3"}),
        ("getSong", {"id": FIRST}), ("getSimilarSongs", {"id": FIRST, "count": 50}),
        ("getSonicSimilarTracks", {"id": FIRST, "count": 50}),
        ("findSonicPath", {"startSongId": FIRST, "endSongId": FIRST + 500, "count": 10}),
        ("star", {"id": FIRST}), ("getStarred2", {}), ("star", {"albumId": found["id"]}), ("getArtists", {}),
        ("createPlaylist", {"name": MADE, "songId": [song["id"] for song in songs]}), ("getPlaylists", {}),
    ]  # fmt: skip
    return every


def answer(client: TestClient, method: str, values: dict[str, Any]) -> dict[str, Any]:
    """What a method answers; an error ends the program."""
    response = client.get(f"/rest/{method}", params={"f": "json", "v": "1.16.1", "c": "bench", **values})
    whole: dict[str, Any] = response.json()["subsonic-response"]
    if whole["status"] != "ok":
        raise SystemExit(f"{method} {values}: {whole['error']['message']}")
    return whole


def seconds_of(client: TestClient, asked: Asked) -> list[float]:
    """Seconds of the processor for a call, the first time and some times more; what is made is made once."""
    took = []
    for _ in range(1 if asked[0].startswith("create") else 1 + N_ASKED):
        start = time.process_time()
        answer(client, *asked)
        took.append(time.process_time() - start)
    return took


def main() -> None:
    """Make the library, ask, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--out", type=Path, help="folder for the library; a temporary one if omitted")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure((arguments.out or Path(folder)) / f"players-{arguments.tracks}.sqlite", arguments)


def measure(path: Path, arguments: argparse.Namespace) -> None:
    """All figures, printed on the way."""
    if not path.exists():
        with timed(f"make {arguments.tracks} tracks x {arguments.dim}"):
            make_library(path, arguments.tracks, arguments.dim)
    config = ServingConfig(is_editable=True, is_private=True)
    with Searcher(path, reads_files=False) as searcher:
        client = TestClient(build_app(searcher, config), base_url="http://127.0.0.1:8765")
        gathering: Asked = ("getAlbumList2", {"type": "newest", "size": 1})
        print(f"albums are gathered in {seconds_of(client, gathering)[0]:.2f} s", flush=True)
        for asked in methods_of(client):
            first, *more = seconds_of(client, asked)
            again = f"   again {np.median(more):8.3f} s" if more else ""
            values = {name: value for name, value in asked[1].items() if name != "songId"}
            print(f"{asked[0]:22} {values!s:62.62} first {first:8.3f} s{again}", flush=True)
        with Library(path) as library:
            library.remove_playlist(library.playlist(MADE))
            library.remove(library.tracks(n=1, offset=len(library) - 1))
        print(f"albums are gathered after a change in {seconds_of(client, gathering)[0]:.2f} s", flush=True)


if __name__ == "__main__":
    main()
