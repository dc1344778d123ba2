"""How fast a training run is fed: clips of stored spectra against clips of audio, on one core.

Four loaders make the same clips, in batches, in one run: audio that is decoded; audio from which spectra are
computed, which is what an encoder of spectra needs of it; stored spectra; and stored spectra with every
change of ``AugmentationConfig``. Seconds are those of the processor, so that other programs matter little.

    solfa data features tracks.jsonl --out features
    python benchmarks/reading.py tracks.jsonl features [--clips 320] [--seconds 10]

The first clip of each stored track is slower: its array is read whole then, and compared with its sum. So
stored spectra are told twice, at first and later on.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from solfa.data.augmenting import AugmentationConfig
from solfa.data.clips import Clips, ClipsConfig, RandomClips
from solfa.data.manifest import Track, read_manifest
from solfa.data.stored_spectra import StoredSpectra
from solfa.features import MelCQT

CLIPS_PER_BATCH = 32
EVERYTHING = AugmentationConfig(transposition_probability=1.0, stretch_probability=1.0)
ROW = "{:44} {:>9} {:>14} {:>16}"


def main() -> None:
    """Print a line for each loader."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a clip")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    stored = StoredSpectra(options.features)
    known = stored.arrays.keys()
    tracks = [track for track in read_manifest(options.manifest) if track.content_hash in known]
    hours = sum(track.seconds for track in tracks) / 3600
    print(f"{options.clips} clips of {options.seconds:g} s, of {len(tracks)} tracks ({hours:.1f} h)")
    print(ROW.format("clips of", "CPU s", "x real time", "h per core-s"))
    spectra, features = MelCQT(stored.description.spectra), str(options.features)
    rate = stored.grid.sample_rate
    of_audio = RandomClips(tracks, ClipsConfig(clip_seconds=options.seconds), rate, 0)
    of_frames = RandomClips(tracks, ClipsConfig(clip_seconds=options.seconds, spectra=features), rate, 0)
    changed = RandomClips(
        tracks,
        ClipsConfig(clip_seconds=options.seconds, spectra=features, augmentation=EVERYTHING),
        rate,
        0,
    )
    with torch.inference_mode():
        measure("audio", of_audio, options, lambda clips: None)
        measure("audio, and its spectra", of_audio, options, lambda clips: spectra(clips.waveform))
        measure("stored spectra, at first", of_frames, options, lambda clips: None)
        measure("stored spectra", of_frames, options, lambda clips: None)
        measure(
            "stored spectra, changed (all augmentation)", warm(changed, tracks), options, lambda clips: None
        )


def measure(
    name: str, source: RandomClips, options: argparse.Namespace, use: Callable[[Clips], object]
) -> None:
    """Make the clips in batches and print what that took."""
    before = time.process_time()
    for first in range(0, options.clips, CLIPS_PER_BATCH):
        numbers = range(first, min(first + CLIPS_PER_BATCH, options.clips))
        use(source.join([source[number] for number in numbers]))
    taken = time.process_time() - before
    heard = options.clips * options.seconds
    print(
        ROW.format(name, f"{taken:.2f}", f"{heard / taken:,.0f}", f"{heard / 3600 / taken:.3f}"), flush=True
    )


def warm(source: RandomClips, tracks: list[Track]) -> RandomClips:
    """The same loader, after its arrays were compared with their sums."""
    for companion in source.companions:
        for track in tracks:
            companion.last_start(track, source.n_samples)
    return source


if __name__ == "__main__":
    main()
