"""Shards: which engine reads files by number and by ranges, and a day of audio streamed through ours.

    solfa data prepare MUSIC --out tracks.jsonl
    python benchmarks/shards.py engines tracks.jsonl --mb 300
    python benchmarks/shards.py day tracks.jsonl --hours 24

``engines`` packs the same files by each library that is installed (litdata, pylance, mosaicml-streaming,
webdataset), and asks each for whole files and for 64 KiB of a file, at random; then a byte is turned in what
it wrote, and all files are read. ``day`` streams clips from shards, is killed in the middle and goes on; one
clip of six is also read from the files, by turns before and after. Seconds are those of the processor.
"""

import argparse
import hashlib
import importlib.util
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from solfa.data.clips import ClipsConfig, RandomClips
from solfa.data.packing import Companions, pack
from solfa.data.shards import Shards, read_tracks
from solfa.json_files import mend_lines

RANGE_BYTES = 2**16
READS = 400
COMPARED = 6  # one of so many clips of a day is read from the files too
Whole = Callable[[int], bytes]
Part = Callable[[int, int], bytes]  # file and first byte


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, option, default in (
        ("engines", "--mb", 300),
        ("day", "--hours", 24),
        ("listen", "--hours", 24),
    ):
        command = commands.add_parser(name)
        command.add_argument("manifest", type=Path)
        command.add_argument(option, type=float, default=default)
        if name == "listen":
            command.add_argument("journal", type=Path)
            command.add_argument("shards")
    options = parser.parse_args()
    if options.command == "engines":
        compare_engines(options.manifest, options.mb)
    elif options.command == "day":
        stream_a_day(options.manifest, options.hours)
    else:
        listen(options.manifest, options.shards, options.hours, options.journal)


# --- engines ------------------------------------------------------------------------------------------------


def compare_engines(manifest: Path, megabytes: float) -> None:
    """Print a line for each engine."""
    paths, total = [], 0.0
    for track in read_tracks(str(manifest)):
        if total < megabytes:
            paths.append(track.path)
            total += track.path.stat().st_size / 1e6
    print(f"{len(paths)} files, {total:.0f} MB")
    row = "{:20} {:>9} {:>14} {:>16} {:>18}  {}"
    print(
        row.format("engine", "packed s", "whole files/s", "64-KiB parts/s", "opened (s, MB)", "a turned byte")
    )
    for name, module, engine in ENGINES:
        if module and importlib.util.find_spec(module) is None:
            print(row.format(name, "", "", "", "", "not installed"))
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(row.format(name, *measured(engine, paths, Path(folder))), flush=True)
            except ImportError as error:  # of what it needs besides
                print(row.format(name, "", "", "", "", error))


def measured(engine: Any, paths: list[Path], folder: Path) -> list[str]:
    """The figures of an engine, as texts."""
    begun = time.perf_counter()
    engine.pack(paths, folder)
    packed = time.perf_counter() - begun
    memory, begun = resident_mb(), time.perf_counter()
    whole, part = engine.opened(folder)
    opened = f"{time.perf_counter() - begun:.2f}, {resident_mb() - memory:.0f}"
    if whole is None:
        return [
            f"{packed:.1f}",
            "in order only",
            "no",
            opened,
            found_of(lambda: list(engine.all(folder)), paths),
        ]
    rng = np.random.default_rng(0)
    places = rng.integers(0, len(paths), READS)
    rates = [f"{per_second(lambda: [whole(int(n)) for n in places]):.0f}", "no"]
    if part:
        starts = [int(rng.integers(0, max(1, paths[n].stat().st_size - RANGE_BYTES))) for n in places]
        for n, start in zip(places[:20], starts, strict=False):
            with paths[n].open("rb") as file:
                file.seek(start)
                assert part(int(n), start) == file.read(RANGE_BYTES)
        rates[1] = f"{per_second(lambda: [part(int(n), s) for n, s in zip(places, starts, strict=True)]):.0f}"
    if engine.pack is Plain.pack:
        return [f"{packed:.1f}", *rates, opened, "-"]
    turn_a_byte(folder)
    again, _ = engine.opened(folder)
    return [f"{packed:.1f}", *rates, opened, found_of(lambda: [again(n) for n in range(len(paths))], paths)]


def per_second(read: Callable[[], Any]) -> float:
    """How many of all reads a second has; the second of two rounds."""
    read()
    begun = time.perf_counter()
    read()
    return READS / (time.perf_counter() - begun)


def turn_a_byte(folder: Path) -> None:
    """Turn a byte in the middle of the largest file."""
    largest = max(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


def found_of(read: Callable[[], list[bytes]], paths: list[Path]) -> str:
    """What becomes of a turned byte."""
    try:
        contents = read()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:60].replace("\n", " ")
    sums = {hashlib.sha256(path.read_bytes()).digest() for path in paths}
    n_wrong = sum(hashlib.sha256(content).digest() not in sums for content in contents)
    return f"{n_wrong} wrong, nothing said"


class Plain:
    """Files as they are."""

    @staticmethod
    def pack(paths: list[Path], folder: Path) -> None:
        """Copy them."""
        for number, path in enumerate(paths):
            shutil.copyfile(path, folder / f"{number:06d}")

    @staticmethod
    def opened(folder: Path) -> tuple[Whole, Part]:
        """By name."""

        def part(number: int, start: int) -> bytes:
            with (folder / f"{number:06d}").open("rb") as file:
                file.seek(start)
                return file.read(RANGE_BYTES)

        return lambda number: (folder / f"{number:06d}").read_bytes(), part


class Ours:
    """Tar files with a table of contents."""

    @staticmethod
    def pack(paths: list[Path], folder: Path) -> None:
        """As ``solfa data shard`` does."""
        from solfa.data.manifest import Track, hash_content, write_manifest

        tracks = [
            Track(path=path, seconds=1, sample_rate=1, n_channels=1, content_hash=hash_content(path))
            for path in paths
        ]
        write_manifest(tracks, folder / "list.jsonl")
        pack(tracks, folder / "list.jsonl", str(folder / "shards"), Companions())

    @staticmethod
    def opened(folder: Path) -> tuple[Whole, Part]:
        """By the table."""
        members = [track.member for track in Shards(folder / "shards").tracks()]

        def part(number: int, start: int) -> bytes:
            with members[number].open("rb", 0) as file:
                file.seek(start)
                return file.read(RANGE_BYTES)

        def whole(number: int) -> bytes:
            with members[number].open("rb", 0) as file:
                return file.read(members[number].size)

        return whole, part


class Lance:
    """A table with a column of blobs."""

    @staticmethod
    def pack(paths: list[Path], folder: Path) -> None:
        """One file a row."""
        import lance
        import pyarrow as pa

        blob = pa.field("audio", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
        schema = pa.schema([pa.field("number", pa.int64()), blob])

        def batches() -> Iterator[Any]:
            for number, path in enumerate(paths):
                columns = [pa.array([number]), pa.array([path.read_bytes()], pa.large_binary())]
                yield pa.record_batch(columns, schema=schema)

        lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches()), str(folder / "table.lance"))

    @staticmethod
    def opened(folder: Path) -> tuple[Whole, Part]:
        """By the number of the row."""
        import lance

        table = lance.dataset(str(folder / "table.lance"))

        def part(number: int, start: int) -> bytes:
            (blob,) = table.take_blobs("audio", indices=[number])
            with blob as file:
                file.seek(start)
                return bytes(file.read(RANGE_BYTES))

        def whole(number: int) -> bytes:
            (blob,) = table.take_blobs("audio", indices=[number])
            with blob as file:
                return bytes(file.readall())

        return whole, part


class LitData:
    """Chunks with a table of their own."""

    @staticmethod
    def pack(paths: list[Path], folder: Path) -> None:
        """Chunks of 64 MB."""
        from litdata.streaming.writer import BinaryWriter

        writer = BinaryWriter(str(folder / "chunks"), chunk_bytes=64 * 10**6)
        for number, path in enumerate(paths):
            writer[number] = {"audio": path.read_bytes()}
        writer.done()
        writer.merge()

    @staticmethod
    def opened(folder: Path) -> tuple[Whole, None]:
        """By number."""
        from litdata import StreamingDataset

        samples = StreamingDataset(str(folder / "chunks"))
        return lambda number: samples[number]["audio"], None


class Mosaic:
    """MDS files."""

    @staticmethod
    def pack(paths: list[Path], folder: Path) -> None:
        """Shards of 64 MB."""
        from streaming import MDSWriter

        with MDSWriter(out=str(folder / "mds"), columns={"audio": "bytes"}, hashes=["sha1"]) as writer:
            for path in paths:
                writer.write({"audio": path.read_bytes()})

    @staticmethod
    def opened(folder: Path) -> tuple[Whole, None]:
        """By number."""
        from streaming import StreamingDataset

        samples = StreamingDataset(local=str(folder / "mds"), batch_size=1)
        return lambda number: samples[number]["audio"], None


class WebDataset:
    """Tar files, read in order."""

    @staticmethod
    def pack(paths: list[Path], folder: Path) -> None:
        """Shards of 64 MB."""
        import webdataset

        with webdataset.ShardWriter(str(folder / "%05d.tar"), maxsize=64e6, verbose=0) as writer:
            for number, path in enumerate(paths):
                writer.write({"__key__": f"{number:06d}", "audio": path.read_bytes()})

    @staticmethod
    def opened(folder: Path) -> tuple[None, None]:
        """Not by number."""
        turn_a_byte(folder)
        return None, None

    @staticmethod
    def all(folder: Path) -> Iterator[bytes]:
        """All files."""
        import webdataset

        shards = sorted(str(path) for path in folder.glob("*.tar"))
        return (sample["audio"] for sample in webdataset.WebDataset(shards, shardshuffle=False))


ENGINES = (
    ("plain files", "", Plain), ("solfa data shard", "", Ours), ("pylance", "lance", Lance),
    ("litdata", "litdata", LitData), ("mosaicml-streaming", "streaming", Mosaic),
    ("webdataset", "webdataset", WebDataset),
)  # fmt: skip


# --- a day --------------------------------------------------------------------------------------------------


def stream_a_day(manifest: Path, hours: float) -> None:
    """Pack, listen in another process, kill it in the middle, go on, and look at what was heard."""
    with tempfile.TemporaryDirectory() as folder:
        shards, journal = str(Path(folder) / "shards"), Path(folder) / "heard.jsonl"
        done = pack(read_tracks(str(manifest)), manifest, shards, Companions())
        print(f"{done.n_packed} files, {done.n_bytes / 1e9:.2f} GB in {done.n_shards} shards")
        command = [
            sys.executable,
            __file__,
            "listen",
            str(manifest),
            str(journal),
            shards,
            "--hours",
            str(hours),
        ]
        n_clips = int(hours * 3600 / 30)
        running = subprocess.Popen(command)
        while running.poll() is None and n_lines(journal) < n_clips // 2:
            time.sleep(0.2)
        running.send_signal(signal.SIGKILL)
        running.wait()
        print(f"killed after clip {n_lines(journal)} of {n_clips}")
        subprocess.run(command, check=True)
        rows = [json.loads(line) for line in journal.read_text().splitlines()]
        numbers = [row["number"] for row in rows]
        print(
            f"{len(numbers)} clips of 30 s ({len(numbers) / 120:.1f} h), missing "
            f"{n_clips - len(set(numbers))}, doubled {len(numbers) - len(set(numbers))}, unreadable "
            f"{sum(row['unreadable'] for row in rows)}"
        )
        both = [row for row in rows if "files" in row]
        files, sharded = (sum(row[name] for row in both) for name in ("files", "shards"))
        print(
            f"{len(both)} of them also from files, {sum(not row['same'] for row in both)} of these other; "
            f"processor: files {files:.1f} s, shards {sharded:.1f} s; throughput ratio {files / sharded:.3f}"
        )
        marks = [rows[place]["mb"] for place in np.linspace(len(rows) // 20, len(rows) - 1, 8).astype(int)]
        print(f"memory (MB) along the way: {', '.join(f'{mb:.0f}' for mb in marks)}")


def listen(manifest: Path, shards: str, hours: float, journal: Path) -> None:
    """Read clips from files and from shards, from the first that the journal does not have."""
    config = ClipsConfig(clip_seconds=30.0, channel="random")
    rows = [RandomClips(read_tracks(one), config, 24_000, 0) for one in (str(manifest), shards)]
    mend_lines(journal)
    with journal.open("a") as file:
        for number in range(n_lines(journal), int(hours * 3600 / 30)):
            turns = () if number % COMPARED else (0,)
            order = (*turns, 1) if number // COMPARED % 2 else (1, *turns)
            clips, row = {}, {"number": number}
            for which in order:
                begun = time.process_time()
                clips[which] = rows[which][number]
                row[("files", "shards")[which]] = time.process_time() - begun
            if turns:
                row["same"] = clips[0].waveform.equal(clips[1].waveform) and clips[0][1:] == clips[1][1:]
            row |= {"unreadable": clips[1].n_unreadable, "mb": resident_mb()}
            file.write(json.dumps(row) + "\n")
            file.flush()


def n_lines(path: Path) -> int:
    """Whole lines of a file; the number of clips that were heard."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def resident_mb() -> float:
    """Memory of this process, in MB."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
