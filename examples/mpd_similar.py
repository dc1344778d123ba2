"""Queue tracks in MPD that sound like the one that it plays.

    python examples/mpd_similar.py --library music.sqlite --music ~/Music
    python examples/mpd_similar.py --library music.sqlite --music ~/Music --follow

Once, or with --follow whenever the last track of the queue begins, until Ctrl-C. It talks to MPD through mpc,
which takes the server from MPD_HOST and MPD_PORT.
"""

import argparse
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from solfa.cli.place import place_of
from solfa.retrieval import Library, Searcher

LONGEST_WAIT = 10.0  # seconds


def mpc(*words: str, seconds: float | None = None) -> list[str]:
    """The lines that mpc prints."""
    command = ["mpc", "--quiet", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds)
    except FileNotFoundError:
        sys.exit("mpc is not there. Install it; Debian calls the package mpc.")
    except subprocess.CalledProcessError as error:
        sys.exit(f"mpc says: {error.stderr.strip()}. Is MPD running, and are MPD_HOST and MPD_PORT right?")
    return done.stdout.splitlines()


def queue_similar(searcher: Searcher, music: Path, n: int) -> int:
    """Queue up to n tracks like the one that plays; gives how many."""
    playing = [line for line in mpc("current", "--format", "%file%") if line]
    if not playing:
        sys.exit("MPD plays nothing. Begin a track: mpc play")
    with Library(searcher.path) as library:
        track = library.at(music / playing[0])
    if track is None:
        sys.exit(
            f"{music / playing[0]} is not in {searcher.path}. --music is the music_directory of MPD; what is "
            "new there comes in by: solfa index"
        )
    queued = set(mpc("playlist", "--format", "%file%"))
    known = set(mpc("listall"))
    n_queued = 0
    for match in searcher.similar(track.id, n=n + len(queued)):
        if not match.track.path.is_relative_to(music):
            continue
        file = match.track.path.relative_to(music).as_posix()
        if file in known - queued and n_queued < n:
            mpc("add", file)
            n_queued += 1
            print(f"queued {file}", flush=True)
    return n_queued


def follow(searcher: Searcher, music: Path, n: int) -> None:
    """Queue more whenever the last track of the queue begins; ends where there is nothing else."""
    while True:
        position = [line for line in mpc("current", "--format", "%position%") if line]
        is_last = bool(position) and int(position[0]) == len(mpc("playlist"))
        if is_last and not queue_similar(searcher, music, n):
            sys.exit("There is nothing else that MPD and the library have both.")
        with suppress(subprocess.TimeoutExpired):  # what happens between two looks is seen at the next one
            mpc("idle", "player", "playlist", seconds=LONGEST_WAIT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--library", type=Path, help="yours if left out")
    parser.add_argument("--music", type=Path, required=True, help="music_directory of MPD")
    parser.add_argument("--n", type=int, default=5, help="tracks at a time")
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C")
    asked = parser.parse_args()
    with Searcher(place_of(asked.library)) as opened, suppress(KeyboardInterrupt):
        (follow if asked.follow else queue_similar)(opened, asked.music.absolute(), asked.n)
