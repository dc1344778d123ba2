"""The map of a library: seconds of a processor, and how many neighbours it keeps.

    python benchmarks/map.py music.sqlite

Segments stand for tracks, so that a hundred real tracks make thousands of vectors. "Kept" is the share of the
ten nearest by sound that are among the ten nearest on the map. t-SNE of all and the two principal components
are beside it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors

from solfa.retrieval import Library, project, projection
from solfa.retrieval.index import units

N_NEAREST = 10


def vectors_of(path: Path) -> np.ndarray:
    """The vectors of all segments of a library, in a fixed order of their own."""
    with Library(path) as library:
        segments = [segment.vector for track in library.tracks() for segment in library.segments(track)]
    return np.random.default_rng(0).permutation(np.array(segments, np.float32))


def nearest(places: np.ndarray) -> np.ndarray:
    """The rows nearest to each row."""
    found = NearestNeighbors(n_neighbors=N_NEAREST + 1).fit(places)
    return found.kneighbors(places, return_distance=False)[:, 1:]


def main() -> None:
    """Place the segments in three ways and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", type=Path)
    vectors = vectors_of(parser.parse_args().library)
    by_sound = nearest(units(vectors))
    components = projection._principal(units(vectors))
    ways: dict[str, Callable[[], np.ndarray]] = {
        "the map": lambda: project(vectors),
        "principal components": lambda: components[:, :2],
        "t-SNE of all": lambda: projection._neighboured(components),
    }
    print(f"{len(vectors)} vectors")
    for name, way in ways.items():
        start = time.process_time()
        places = way()
        seconds = time.process_time() - start
        kept = np.mean([len({*a} & {*b}) / N_NEAREST for a, b in zip(by_sound, nearest(places), strict=True)])
        print(f"{name:22} {seconds:7.1f} s   kept {kept:.3f}", flush=True)


if __name__ == "__main__":
    main()
