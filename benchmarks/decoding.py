"""How fast audio is decoded and resampled to 24 kHz, in times real time on one core.

Whole files, and random crops of 10 s. The baseline for crops decodes the whole file and slices it, in the
same minute on the same machine. Files come from a manifest (of each format the one of median length); formats
that it lacks are made here.

    python benchmarks/decoding.py [tracks.jsonl] [--crops 40]

With ``--long``: what a second of audio costs in files of 2, 10 and 60 minutes that have no index, read one
stretch after the other as they are for embedding. It should not grow with the length.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import soundfile

from solfa.data.audio import AudioReader, probe_audio, read_audio
from solfa.data.manifest import read_manifest

SAMPLE_RATE = 24000
CROP_SECONDS = 10
LONG_MINUTES = (2, 10, 60)
STRETCH_SECONDS = 120
LONG_ROW = "{:8} {:>8} {:>9} {:>13} {:>9}"
ROW = "{:8} {:30} {:>8} {:>11} {:>10} {:>8} {:>6}"
KINDS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "opus": "OPUS", "mp3": "MPEG_LAYER_III"}


def main() -> None:
    """Print one line per format."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path, nargs="?", help="where to find real files")
    parser.add_argument("--crops", type=int, default=40)
    parser.add_argument("--long", action="store_true", help="long files without an index instead")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    real = real_files(options.manifest) if options.manifest else {}
    with tempfile.TemporaryDirectory() as folder:
        if options.long:
            measure_long(Path(folder))
            return
        print(ROW.format("format", "file", "seconds", "whole file", "10 s crop", "sliced", "ratio"))
        for kind, path in make_files(Path(folder), real).items():
            print(measure(kind, path, options.crops), flush=True)


def measure(kind: str, path: Path, n_crops: int) -> str:
    """Times real time for a file: decoded whole, in crops, and in crops sliced from the whole."""
    seconds = probe_audio(path).seconds
    length = CROP_SECONDS * SAMPLE_RATE
    last = round((seconds - CROP_SECONDS) * SAMPLE_RATE)
    starts = [int(start) for start in np.random.default_rng(0).integers(0, last, n_crops)]

    def read_crops() -> None:
        for start in starts:
            read_audio(path, sample_rate=SAMPLE_RATE, start=start, n_samples=length)

    whole_seconds = best_of(2, lambda: read_audio(path, sample_rate=SAMPLE_RATE))
    crop_seconds = best_of(2, read_crops) / n_crops
    speeds = [seconds / whole_seconds, CROP_SECONDS / crop_seconds, CROP_SECONDS / whole_seconds]
    shown = [f"{speed:.0f}x" for speed in speeds]
    return ROW.format(kind, path.name[:30], f"{seconds:.0f}", *shown, f"{whole_seconds / crop_seconds:.1f}")


def measure_long(folder: Path) -> None:
    """Print what a second of audio costs in files of several lengths."""
    print(LONG_ROW.format("format", "minutes", "seconds", "ms per second", "speed"))
    for kind in ("webm", "mka", "mp3"):
        for minutes in LONG_MINUTES:
            path = make_long(folder / f"{minutes}.{kind}", minutes)
            start = time.perf_counter()
            n_read = sum(len(stretch) for stretch in read_on(path)) / SAMPLE_RATE
            taken = time.perf_counter() - start
            speed = f"{n_read / taken:.0f}x"
            print(
                LONG_ROW.format(kind, minutes, f"{taken:.1f}", f"{1e3 * taken / n_read:.2f}", speed),
                flush=True,
            )


def read_on(path: Path) -> Iterator[np.ndarray]:
    """A file in stretches, as it is read for embedding."""
    with AudioReader(path, sample_rate=SAMPLE_RATE) as reader:
        position = 0
        while len(stretch := reader.read(position, STRETCH_SECONDS * SAMPLE_RATE)):
            yield stretch
            position += len(stretch)


def make_long(path: Path, minutes: int) -> Path:
    """Two minutes of noise, again and again; an MP3 without the header that says how long it is."""
    noise, rate = _noise()
    once = path.with_name(f"once{path.suffix}")
    if path.suffix == ".mp3":
        soundfile.write(once, noise[: 120 * rate], rate, bitrate_mode="VARIABLE", compression_level=0.5)
        frames = once.read_bytes()
        path.write_bytes(frames[frames.index(b"\xff\xfb", 4) :] * (minutes // 2))
        return path
    codec = {".webm": "libopus", ".mka": "aac"}[path.suffix]
    _encode(once, noise[: 120 * rate], rate, codec, "matroska")
    with av.open(once) as given, av.open(path, "w", format="matroska") as container:
        stream = container.add_stream_from_template(given.streams.audio[0])
        for number in range(minutes // 2):
            given.seek(0)
            for packet in given.demux(given.streams.audio[0]):
                if packet.dts is not None:
                    packet.pts = packet.dts = packet.pts + number * 120_000  # ms
                    packet.stream = stream
                    container.mux(packet)
    return path


def best_of(n_times: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of several goes: others use this machine too."""
    taken = []
    for _ in range(n_times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def real_files(manifest: Path) -> dict[str, Path]:
    """For each format, a track of about the median length."""
    by_kind: dict[str, list[tuple[float, Path]]] = {}
    for track in read_manifest(manifest):
        by_kind.setdefault(track.path.suffix[1:].lower(), []).append((track.seconds, track.path))
    return {kind: sorted(found)[len(found) // 2][1] for kind, found in by_kind.items()}


def make_files(folder: Path, real: dict[str, Path]) -> dict[str, Path]:
    """The real files, and the formats that they lack, encoded from one of them or from noise."""
    source = next(iter(real.values()), None)
    samples, rate = soundfile.read(source, dtype="float32", always_2d=True) if source else _noise()
    samples = samples[: 300 * rate]
    files = dict(real)
    for kind, subtype in KINDS.items():
        if kind not in files:
            files[kind] = folder / f"made.{kind}"
            container = "OGG" if kind == "opus" else kind.upper()
            with soundfile.SoundFile(
                files[kind], "w", rate, samples.shape[1], subtype, format=container
            ) as file:
                for start in range(0, len(samples), rate):
                    file.write(samples[start : start + rate])
    files["m4a"] = files.get("m4a") or _encode(folder / "made.m4a", samples, rate, "aac", "mp4")
    return files


def _noise() -> tuple[np.ndarray, int]:
    return np.random.default_rng(0).standard_normal((48000 * 180, 2)).astype(np.float32) * 0.1, 48000


def _encode(path: Path, samples: np.ndarray, rate: int, codec: str, container_format: str) -> Path:
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(path, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        for start in range(0, len(samples), 960):
            block = np.ascontiguousarray(samples[start : start + 960].T)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    main()
