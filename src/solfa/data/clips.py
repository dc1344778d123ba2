"""Random crops as Clips, sharded over workers and ranks, resumable.

A run is an endless row of clips, numbered from 0. The number alone, with the seed, decides everything about
a clip: its track, where it is cut, which channel, and later its mask and noise. So any process can make any
clip, and a resumed run simply goes on counting.
"""

import logging
import signal
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from solfa.config import Config
from solfa.data.audio import AudioError, read_audio
from solfa.data.manifest import Track
from solfa.frames import seconds_to_samples

log = logging.getLogger(__name__)

CUT, MASK, NOISE, MIX = range(4)  # purposes of randomness: each draws from a stream of its own


@dataclass(frozen=True)
class Clips:
    """Waveforms of one length, and where their randomness comes from."""

    waveform: Float[Tensor, "clip sample"]
    sample_rate: int  # Hz
    numbers: Int[Tensor, " clip"]  # place of each clip in the row of the run
    tracks: Int[Tensor, " clip"]  # place of its track in the manifest
    seed: int = 0
    n_unreadable: int = 0  # clips that had to be replaced by others while these were made

    def __len__(self) -> int:
        return len(self.waveform)

    def to(self, device: torch.device) -> "Clips":
        """The same clips on another device."""
        return replace(self, waveform=self.waveform.to(device, non_blocking=True))

    def generators(self, purpose: int, device: torch.device | str = "cpu") -> list[torch.Generator]:
        """A source of randomness for each clip, the same wherever and whenever the clip is made."""
        seeds = [derived_seed(self.seed, int(number), purpose) for number in self.numbers]
        return [torch.Generator(device).manual_seed(seed) for seed in seeds]


@dataclass(frozen=True, kw_only=True)
class ClipsConfig(Config):
    """Which clips a run sees."""

    manifest: str = ""  # tracks to learn from; given on the command line
    valid_manifest: str = ""  # held-out tracks to watch; none if empty
    clip_seconds: float = 30.0
    clips_per_step: int = 192  # over all ranks and accumulated batches
    clips_per_track: int = 1  # so many clips in a row are cut from the same track, each at a place of its own
    n_valid_clips: int = 64
    channel: Literal["mean", "random"] = "mean"  # of a recording with several


class RandomClips(Dataset[tuple[Tensor, int, int, int]]):
    """Clip number ``n`` of a run: a crop of a track, at a place decided by seed and number.

    In one epoch a track comes up once for every ``clip_seconds`` that it lasts, so that every second of music
    is as likely as every other; each time, ``clips_per_track`` clips are cut from it. Tracks shorter than a
    clip are left out.
    """

    def __init__(self, tracks: Sequence[Track], config: ClipsConfig, sample_rate: int, seed: int) -> None:
        self.tracks, self.config, self.sample_rate, self.seed = tracks, config, sample_rate, seed
        shares = np.array([int(track.seconds // config.clip_seconds) for track in tracks], dtype=np.int64)
        self.turns = np.repeat(np.arange(len(tracks)), shares)  # the tracks of an epoch, before shuffling
        if not len(self.turns):
            raise ValueError(
                f"None of the {len(tracks)} tracks lasts {config.clip_seconds:g} s, the length of a clip. "
                "Lower data.clip_seconds or add longer tracks."
            )

    @property
    def n_left_out(self) -> int:
        """Tracks too short for a clip."""
        return len(self.tracks) - len(np.unique(self.turns))

    @property
    def hours(self) -> float:
        """Music in the tracks that are used."""
        return sum(self.tracks[i].seconds for i in np.unique(self.turns)) / 3600

    def __len__(self) -> int:
        return 2**62  # a row without end; samplers choose the numbers

    def __getitem__(self, number: int) -> tuple[Tensor, int, int, int]:
        """Waveform, number, place of its track, and how many tracks could not be read before that one."""
        epoch, position = divmod(number // self.config.clips_per_track, len(self.turns))
        order = _order(self.seed, epoch, len(self.turns))
        for attempt in range(len(self.turns)):
            track = int(self.turns[order[(position + attempt) % len(self.turns)]])
            try:
                return self._cut(track, number), number, track, attempt
            except (AudioError, OSError) as error:
                log.warning("Clip %d: %s cannot be read (%s); the next track takes its place.",
                            number, self.tracks[track].path, error)  # fmt: skip
        raise AudioError(f"None of the {len(self.tracks)} tracks can be read. Is the folder still there?")

    def _cut(self, track: int, number: int) -> Tensor:
        rng = np.random.default_rng(derived_seed(self.seed, number, CUT))
        n_samples = seconds_to_samples(self.config.clip_seconds, self.sample_rate)
        longest = seconds_to_samples(self.tracks[track].seconds, self.sample_rate)
        start = int(rng.integers(0, longest - n_samples + 1))
        channel = int(rng.integers(0, 2**16)) if self.config.channel == "random" else None
        wave = read_audio(
            self.tracks[track].path, sample_rate=self.sample_rate, start=start, n_samples=n_samples,
            channel=None if channel is None else channel % self.tracks[track].n_channels,
        )  # fmt: skip
        if len(wave) < n_samples - 2:  # the manifest rounds, a resampler too
            raise AudioError(f"it ends {n_samples - len(wave)} samples early; prepare the manifest again")
        return torch.from_numpy(np.pad(wave, (0, max(0, n_samples - len(wave)))))


def batches(clips: RandomClips, numbers: Iterator[list[int]], n_workers: int) -> Generator[Clips, None, None]:
    """The clips of each list of numbers, made ahead of time by ``n_workers`` processes.

    To be closed when it is not read to its end: the processes heed no signal.
    """
    yield from DataLoader(
        clips,
        batch_sampler=numbers,  # type: ignore[arg-type]  # any iterator of lists will do
        num_workers=n_workers,
        collate_fn=partial(_join, sample_rate=clips.sample_rate, seed=clips.seed),
        prefetch_factor=4 if n_workers else None,
        worker_init_fn=_leave_signals_to_the_trainer,
    )


def numbers_of_step(step: int, clips_per_step: int, rank: int, world_size: int) -> list[int]:
    """Clip numbers that one rank contributes to one step; together the ranks have them all, once."""
    first = step * clips_per_step
    return list(range(first + rank, first + clips_per_step, world_size))


def derived_seed(*parts: int) -> int:
    """A seed that is a fixed function of its parts, and unrelated to that of any other parts."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def _leave_signals_to_the_trainer(worker: int) -> None:
    """Ctrl-C, or a cluster's notice, reaches every process; the trainer alone decides when a run ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _join(items: list[tuple[Tensor, int, int, int]], sample_rate: int, seed: int) -> Clips:
    """Single clips -> Clips."""
    waveforms, numbers, tracks, unreadable = zip(*items, strict=True)
    return Clips(
        torch.stack(waveforms),
        sample_rate,
        torch.tensor(numbers),
        torch.tensor(tracks),
        seed,
        sum(unreadable),
    )
