"""How fast symbolic music becomes audio, on one core: seconds of music for a second of processor time.

    python benchmarks/rendering.py CORPUS --soundfont timgm6mb --tracks 3

Loading a soundfont is told apart: a worker does it once.
"""

import argparse
import time
from pathlib import Path

from solfa_free.pieces import choose_pieces
from solfa_free.rendered import find_pieces
from solfa_free.rendering import Renderer, RenderingConfig
from solfa_free.soundfonts import fetch_soundfont


def main() -> None:
    """Time it with and without oversampling."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="'notes', POP909 as folder or archive, or a folder of MIDI files")
    parser.add_argument("--soundfont", default="timgm6mb")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--tracks", type=int, default=3)
    given = parser.parse_args()
    pieces = choose_pieces(find_pieces(given.corpus), given.tracks)
    soundfont = fetch_soundfont(given.soundfont, given.cache)
    for oversampling in (1, 2):
        begun = time.process_time()
        renderer = Renderer(soundfont.path, RenderingConfig(oversampling=oversampling))
        loaded = time.process_time()
        scores = [piece.score() for piece in pieces]
        read = time.process_time()
        seconds = sum(len(renderer.render(score)) for score in scores) / renderer.config.sample_rate
        done = time.process_time()
        print(
            f"{soundfont.name}, oversampling {oversampling}: {seconds:.0f} s of music at "
            f"{seconds / (done - read):.0f} times real time; reading scores {read - loaded:.2f} s, "
            f"loading the soundfont {loaded - begun:.2f} s"
        )


if __name__ == "__main__":
    main()
