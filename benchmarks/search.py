"""Exact search and LanceDB on a synthetic library: times, recall, memory, side by side in one run.

    python benchmarks/search.py --tracks 100000 --dim 512 --out /tmp/benchmark [--lance]

The vectors lie around a thousand directions, as music does around styles; queries are vectors of the library
with noise. Recall@10 is the share of the ten truly nearest that an index finds. The library is made through
the layout of solfa, then opened as a user would. --lance takes: pip install 'solfa[search]'.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from solfa.data.manifest import Track
from solfa.embedding import Space
from solfa.embedding.outcomes import Stamp
from solfa.retrieval import ExactIndex, Filters, Library, Searcher
from solfa.retrieval.index import Index, units

ROWS_AT_ONCE = 20_000


def tags_of(n: int) -> dict[str, str]:
    """Tags of a made track: ten on an album, an artist of three albums, one of two dozen genres."""
    album = n // 10
    return {
        "title": f"Piece {n}", "artist": f"Artist {album // 3}", "album": f"Album {album}",
        "track": str(n % 10 + 1), "year": str(1950 + album % 75), "genre": f"Genre {album % 24}",
    }  # fmt: skip


def make_library(path: Path, n_tracks: int, dim: int) -> None:
    """A library of tagged tracks and their vectors, without files behind them, one segment each."""
    space = Space(
        model="synthetic", weights="", license="", layer=0, pool="mean", dim=dim, sample_rate=24_000,
        frame_rate=25.0, window_seconds=30.0, context_seconds=5.0,
    )  # fmt: skip
    random = np.random.default_rng(0)
    directions = random.standard_normal((1_000, dim)).astype(np.float32)
    with Library(path, space) as library:
        for start in range(0, n_tracks, ROWS_AT_ONCE):
            numbers = range(start, min(start + ROWS_AT_ONCE, n_tracks))
            rows = directions[random.integers(0, 1_000, len(numbers))]
            rows = rows + 0.7 * random.standard_normal(rows.shape).astype(np.float32)
            with library._transaction():
                for n in numbers:
                    library._put(made_track(n), Stamp(1, 1))
                library._database.executemany(
                    "INSERT INTO vectors VALUES (?, ?)",
                    [(str(n), row.tobytes()) for n, row in zip(numbers, rows, strict=True)],
                )


def made_track(n: int) -> Track:
    """A track in the folder of its album, in one of a hundred folders."""
    return Track(
        path=Path(f"/music/{n // 10 % 100}/{n // 10}/{n}.mp3"), seconds=180.0, sample_rate=44_100,
        n_channels=2, content_hash=str(n), tags=tags_of(n),
    )  # fmt: skip


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints how long something took, and the largest memory of the process so far."""
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    unit = 1024**2 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(f"{what:44} {seconds:9.2f} s   peak memory {peak:8.0f} MB", flush=True)


def times_of(ask: Callable[[int], object], n_queries: int) -> dict[str, float]:
    """Median and 95th percentile on the clock, and median of the processor's time, in milliseconds."""
    took, worked = [], []
    for number in range(n_queries):
        start, work = time.perf_counter(), time.process_time()
        ask(number)
        took.append(1_000 * (time.perf_counter() - start))
        worked.append(1_000 * (time.process_time() - work))
    return {
        "median_ms": float(np.median(took)), "p95_ms": float(np.percentile(took, 95)),
        "processor_ms": float(np.median(worked)),
    }  # fmt: skip


def queries_of(library: Library, n_queries: int) -> np.ndarray:
    """Directions near those of some tracks."""
    random = np.random.default_rng(1)
    contents = library.contents()
    chosen = [contents[n][1] for n in random.integers(0, len(contents), n_queries)]
    vectors = library.vectors_of(chosen)
    return units(vectors + 0.3 * random.standard_normal(vectors.shape).astype(np.float32))


def main() -> None:
    """Make the library, ask both indexes, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--out", type=Path, help="folder for the library; a temporary one if omitted")
    parser.add_argument("--lance", action="store_true", help="LanceDB besides")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(arguments, arguments.out or Path(folder))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """All figures, printed on the way."""
    path = folder / f"library-{arguments.tracks}-{arguments.dim}.sqlite"
    if not path.exists():
        with timed(f"make {arguments.tracks} tracks x {arguments.dim}"):
            make_library(path, arguments.tracks, arguments.dim)
    indexes: dict[str, Index] = {"exact": ExactIndex()}
    if arguments.lance:
        from solfa.retrieval.lance import LanceIndex

        indexes["LanceDB"] = LanceIndex(path.with_suffix(".lance"))
    figures: dict[str, dict[str, float]] = {}
    with Library(path) as library:
        queries = queries_of(library, arguments.queries)
        truth: list[set[int]] = []
        for name, index in indexes.items():
            with timed(f"{name}: first reading"):
                index.follow(library)
            with timed(f"{name}: reading again, nothing new"):
                index.follow(library)
            answers = [{id for id, _ in index.nearest(query, 10)} for query in queries]
            truth = truth or answers
            recall = float(np.mean([len(a & b) / 10 for a, b in zip(truth, answers, strict=True)]))
            ask = lambda n, index=index: index.nearest(queries[n], 10)  # noqa: E731
            figures[name] = times_of(ask, len(queries)) | {"recall_at_10": recall}
            show(name, figures[name])
    with Searcher(path) as searcher:
        with timed("Searcher: first query"):
            searcher.similar(1)
        figures["Searcher, exact"] = times_of(lambda n: searcher.similar(n + 1), len(queries))
        show("Searcher, exact", figures["Searcher, exact"])
        chosen = Filters.parse(["folder=7", "seconds=60-"])
        figures["Searcher, filtered"] = times_of(
            lambda n: searcher.similar(n + 1, filters=chosen), len(queries)
        )
        show("Searcher, filtered", figures["Searcher, filtered"])
    return figures


def show(name: str, figures: dict[str, float]) -> None:
    """One line of the table."""
    recall = f"   recall@10 {figures['recall_at_10']:.3f}" if "recall_at_10" in figures else ""
    times = f"median {figures['median_ms']:8.2f} ms   p95 {figures['p95_ms']:8.2f} ms"
    print(f"{name:20} {times}   processor {figures['processor_ms']:8.2f} ms{recall}", flush=True)


if __name__ == "__main__":
    main()
