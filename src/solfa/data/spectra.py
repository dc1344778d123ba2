"""Tracks -> stored spectra, computed once; a bad file is refused with its reason, the rest goes on."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from solfa.data.audio import read_padded
from solfa.data.manifest import Track
from solfa.data.prepare import write_refused
from solfa.data.refused import Refused, refusal
from solfa.data.stored_spectra import SpectraDescription, StoredSpectra
from solfa.features import MelCQT
from solfa.files import FolderLock
from solfa.frames import seconds_to_samples

BLOCK_SECONDS = 60.0  # computed in one go, besides context
REFUSED = "refused.jsonl"

Steps = UInt8[np.ndarray, "frame step"]


@dataclass
class Stored:
    """What one run did."""

    n_stored: int = 0
    n_known: int = 0  # were there already, or have the content of another
    refused: list[Refused] = field(default_factory=list)


class SpectraOfTracks:
    """Computes the spectra of whole tracks, a block at a time.

    A frame is the one that the whole track gives in one go, but for what rounding makes of it: blocks overlap
    by as much as the longest window of a frame reaches.
    """

    def __init__(self, description: SpectraDescription) -> None:
        self.description, self.features = description, MelCQT(description.spectra)
        spectra, self.grid = description.spectra, description.grid
        reach = max(spectra.mel.n_fft, spectra.log_cqt.constant_q.kernel_samples(0)) // 2
        self.context_frames = -(-reach // self.grid.hop_length) + 1  # a frame of constant-Q is centred inside

    @torch.inference_mode()
    def steps(self, track: Track) -> Steps | Refused:
        """The rounded frames of a track, or why there are none."""
        try:
            if track.start_seconds:
                reason = "a stretch of a file, and features are of whole files; prepare the stretch as a file"
                return Refused(path=track.path, reason=reason)
            return np.concatenate(list(self._blocks(track)))
        except Exception as error:  # of whatever class: no file ends the computing of the others
            return refusal(track.path, error)

    def _blocks(self, track: Track) -> Iterator[Steps]:
        hop, context = self.grid.hop_length, self.context_frames
        n_samples = seconds_to_samples(track.seconds, self.grid.sample_rate)
        n_frames, block = n_samples // hop, self.grid.seconds_to_frames(BLOCK_SECONDS)
        for first in range(0, max(1, n_frames), block):
            last = min(first + block, n_frames)
            begin = max(0, first - context)
            end = n_samples if last + context >= n_frames else (last + context) * hop
            waveform = read_padded(
                track.path, sample_rate=self.grid.sample_rate, start=begin * hop,
                n_samples=end - begin * hop, end=n_samples, take_damaged=bool(track.damage),
            )  # fmt: skip
            frames = self.features(torch.from_numpy(waveform)[None])
            yield self.description.steps(frames.cut(last - first, first - begin))


def store_spectra(
    tracks: Sequence[Track],
    out: Path,
    *,
    description: SpectraDescription | None = None,
    n_workers: int = 1,
    progress: Callable[[int, str], None] | None = None,
) -> Stored:
    """Store the spectra of tracks that are not there yet; bad files are reported and left out.

    Interrupted at any moment, all whole tracks are kept, and the same call goes on.

    Args:
        tracks: known by the content that their manifest states.
        out: the folder to fill.
        description: which spectra, and how they are rounded; those of the small encoders if None.
        n_workers: processes, of one thread each; none besides this one if 1.
        progress: told how many tracks are done, and the name of the last.

    Raises:
        StoredFramesError: ``out`` holds other spectra.
        WriteError: the disk has no room for more.
        BlockingIOError: another process is writing to ``out``.
    """
    description = description or SpectraDescription()
    done = Stored()
    with FolderLock(out):
        stored = StoredSpectra.begin(out, description)
        missing: dict[tuple[str, float], Track] = {}
        for track in tracks:
            n_frames = seconds_to_samples(track.seconds, stored.grid.sample_rate) // stored.grid.hop_length
            if track.start_seconds or not stored.holds(track.content_hash, n_frames):
                same = missing.setdefault((track.content_hash, track.start_seconds), track)
                missing[track.content_hash, track.start_seconds] = max(same, track, key=lambda t: t.seconds)
        done.n_known = len(tracks) - len(missing)
        for track, steps in _computed(list(missing.values()), description, n_workers):
            if isinstance(steps, Refused):
                done.refused.append(steps)
            else:
                stored.write(track.content_hash, steps)
                done.n_stored += 1
            if progress:
                progress(done.n_known + done.n_stored + len(done.refused), track.path.name)
        write_refused(sorted(done.refused, key=lambda one: one.path), out / REFUSED)
    return done


def _computed(
    tracks: Sequence[Track], description: SpectraDescription, n_workers: int
) -> Iterator[tuple[Track, Steps | Refused]]:
    """Tracks with their frames, as they are done."""
    n_workers = min(n_workers, max(1, len(tracks)))
    if n_workers == 1:
        computing = SpectraOfTracks(description)
        yield from ((track, computing.steps(track)) for track in tracks)
        return
    # Spawned: a fork of a process that computes with threads may hang.
    with ProcessPoolExecutor(
        n_workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(description,)
    ) as pool:
        # A few at a time: what is computed and not yet written takes memory.
        waiting = {}
        for track in tracks:
            waiting[pool.submit(_steps_in_worker, track)] = track
            if len(waiting) >= 2 * n_workers:
                done = next(as_completed(waiting))
                yield waiting.pop(done), done.result()
        yield from ((waiting[done], done.result()) for done in as_completed(waiting))


_worker: list[SpectraOfTracks] = []  # of a spawned process: kernels take a second to make


def _start_worker(description: SpectraDescription) -> None:
    torch.set_num_threads(1)
    _worker.append(SpectraOfTracks(description))


def _steps_in_worker(track: Track) -> Steps | Refused:
    return _worker[0].steps(track)
