"""Put what solfa finds into a playlist of a music server of Subsonic's kind: Navidrome, supysonic, others.

    SUBSONIC_PASSWORD=... python examples/subsonic_playlist.py 'calm piano - drums' --name 'Sunday morning' \\
        --server http://127.0.0.1:4533 --user anna --library music.sqlite

A track of the library is known to the server by its title, its artist and its length. It needs py-sonic:
pip install py-sonic
"""

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import libsonic

from solfa.cli.place import place_of
from solfa.retrieval import LibraryTrack, Searcher

SAME_SECONDS = 3  # servers round, and count silence at the ends of some formats


def song_of(server: libsonic.Connection, track: LibraryTrack) -> str | None:
    """The id that a server has for a track, if it has it."""
    songs = server.search3(track.title, artistCount=0, albumCount=0, songCount=50)["searchResult3"].get(
        "song", []
    )
    for song in songs:
        is_title = song["title"].casefold() == track.title.casefold()
        is_artist = not track.artist or song.get("artist", "").casefold() == track.artist.casefold()
        if is_title and is_artist and abs(song.get("duration", track.seconds) - track.seconds) < SAME_SECONDS:
            return str(song["id"])
    return None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("query", help="as of solfa search")
    parser.add_argument("--name", required=True, help="of the new playlist")
    parser.add_argument("--server", required=True, help="its address, such as http://127.0.0.1:4533")
    parser.add_argument("--user", required=True)
    parser.add_argument(
        "--plain", action="store_true", help="send the password as it is: supysonic wants that"
    )
    parser.add_argument("--library", type=Path, help="yours if left out")
    parser.add_argument("--n", type=int, default=20, help="at most so many tracks")
    asked = parser.parse_args()
    address = urlsplit(asked.server)
    port = address.port or (443 if address.scheme == "https" else 80)
    server = libsonic.Connection(
        f"{address.scheme}://{address.hostname}",
        asked.user,
        os.environ.get("SUBSONIC_PASSWORD", ""),
        port=port,
        legacyAuth=asked.plain,
    )
    with Searcher(place_of(asked.library)) as searcher:
        tracks = [match.track for match in searcher.search(asked.query, asked.n)]
    known = [(track, song_of(server, track)) for track in tracks]
    ids = [id for _, id in known if id]
    for track, id in known:
        print("  " if id else "? ", track.artist, "-", track.title)
    if not ids:
        sys.exit("The server has none of these tracks. Let it scan the same music first.")
    server.createPlaylist(name=asked.name, songIds=ids)
    print(f"{asked.name}: {len(ids)} of {len(tracks)} tracks")
