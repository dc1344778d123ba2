"""Random crops as Clips, sharded over workers and ranks, resumable.

A run is an endless row of clips, numbered from 0. The number alone, with the seed, decides everything about
a clip: its track, where it is cut, which channel, and later its mask and noise. So any process can make any
clip, and a resumed run simply goes on counting.
"""

import logging
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import lcm
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from solfa.config import Config, Count, LayerNumber, Seconds, SecondsFromZero
from solfa.data.audio import AudioError, read_padded
from solfa.data.captions import CaptionsConfig, check_captions, draw_caption
from solfa.data.manifest import LABEL, Track
from solfa.data.stored_frames import (
    ClipCodes,
    ClipStates,
    StoredCodeFrames,
    StoredFrames,
    StoredFramesError,
    StoredHiddenStates,
)
from solfa.errors import ArgumentError
from solfa.frames import samples_to_seconds, seconds_to_samples

log = logging.getLogger(__name__)

CUT, MASK, NOISE, MIX, CAPTION = range(5)  # purposes of randomness: each draws from a stream of its own


@dataclass(frozen=True)
class Clips:
    """Waveforms of one length, and where their randomness comes from."""

    waveform: Float[Tensor, "clip sample"]
    sample_rate: int  # Hz
    numbers: Int[Tensor, " clip"]  # place of each clip in the row of the run
    tracks: Int[Tensor, " clip"]  # place of its track in the manifest
    seed: int = 0
    n_unreadable: int = 0  # clips that had to be replaced by others while these were made
    surroundings: Float[Tensor, "clip longer"] | None = None  # the clips and what is around them
    context_samples: int = 0  # that the surroundings have on each side of a clip
    codes: ClipCodes | None = None  # made beforehand; of the surroundings, where there are any
    hidden: ClipStates | None = None  # made beforehand; the waveform is empty then
    labels: tuple[str, ...] = ()  # of each clip, as its track's tag has it; none in pre-training
    texts: tuple[str, ...] = ()  # about each clip; of pairs of music and text only

    def __len__(self) -> int:
        return len(self.waveform)

    def to(self, device: torch.device) -> "Clips":
        """The same clips on another device."""
        return self._with(lambda values: values.to(device, non_blocking=True))

    def pin_memory(self) -> "Clips":
        """The same clips in pages that stay where they are, from which a CUDA device fetches by itself."""
        return self._with(lambda values: values.pin_memory())

    def _with(self, moved: Callable[[Tensor], Tensor]) -> "Clips":
        return replace(
            self,
            waveform=moved(self.waveform),
            surroundings=None if self.surroundings is None else moved(self.surroundings),
            codes=self.codes and replace(self.codes, values=moved(self.codes.values)),
            hidden=self.hidden and replace(self.hidden, values=moved(self.hidden.values)),
        )

    def surrounded(self) -> "Clips":
        """The clips as teachers hear them: longer by the context on both sides."""
        if self.surroundings is None:
            return self
        return replace(self, waveform=self.surroundings, surroundings=None, context_samples=0)

    def generators(self, purpose: int, device: torch.device | str = "cpu") -> list[torch.Generator]:
        """A source of randomness for each clip, the same wherever and whenever the clip is made."""
        seeds = [derived_seed(self.seed, int(number), purpose) for number in self.numbers]
        return [torch.Generator(device).manual_seed(seed) for seed in seeds]


@dataclass(frozen=True, kw_only=True)
class ClipsConfig(Config):
    """Which clips a run sees."""

    manifest: str = ""  # tracks to learn from; given on the command line
    valid_manifest: str = ""  # held-out tracks to watch; none if empty
    clip_seconds: Seconds = 30.0
    clips_per_step: Count = 192  # over all ranks and accumulated batches
    clips_per_track: Count = 1  # so many in a row are cut from the same track, each at a place of its own
    n_valid_clips: Count = 64
    channel: Literal["mean", "random"] = "mean"  # of a recording with several
    context_seconds: SecondsFromZero = 0.0  # on each side of a clip; teachers hear it, encoders do not
    start_samples: Count = 1  # clips start at multiples of it; where frames are stored, on frames
    codes: str = ""  # folder of 'solfa data label', whose codes go with the clips
    frames: str = ""  # folder of 'solfa embed --frames', whose hidden states stand in place of audio
    frames_layer: LayerNumber | None = None  # which of them; may be null where there is one only
    turns: Literal["by_length", "one_each"] = "by_length"  # of tracks: every second, or track, as likely
    labels: str = ""  # of fine-tuning: a CSV with the columns path and label, or the name of a task
    captions: CaptionsConfig | None = None  # of pairs of music and text

    def __post_init__(self) -> None:
        if self.context_seconds < 0 or self.start_samples < 1:
            raise ArgumentError("data.context_seconds must be at least 0, and data.start_samples at least 1.")
        if self.codes and self.channel != "mean":
            raise ArgumentError("Stored codes are those of all channels together. Set data.channel to mean.")
        if self.codes and self.frames:
            raise ArgumentError(
                "data.frames stand in place of audio, and codes are for audio: set one of them."
            )
        super().__post_init__()


class Clip(NamedTuple):
    """One clip, before it is joined to others."""

    waveform: Float[Tensor, " sample"]  # with what is around it; empty if frames stand in its place
    number: int
    track: int  # place in the manifest
    n_unreadable: int  # tracks that could not be read before this one
    codes: Int[Tensor, "codebook frame"] | None = None
    hidden: Float[Tensor, "frame dim"] | None = None


class RandomClips(Dataset[Clip]):
    """Clip number ``n`` of a run: a crop of a track, at a place decided by seed and number.

    In one epoch a track comes up once for every ``clip_seconds`` that it lasts, so that every second of music
    is as likely as every other, or once, if turns are one each; each time, ``clips_per_track`` clips are cut
    from it. Tracks shorter than a clip are left out.

    Raises:
        StoredFramesError: stored codes or hidden states of a track are missing, or lie on another grid.
        ValueError: no track is as long as a clip.
    """

    def __init__(self, tracks: Sequence[Track], config: ClipsConfig, sample_rate: int, seed: int) -> None:
        self.tracks, self.config, self.sample_rate, self.seed = tracks, config, sample_rate, seed
        shares = np.array([int(track.seconds // config.clip_seconds) for track in tracks], dtype=np.int64)
        if config.turns == "one_each":
            shares = shares.clip(max=1)
        self.turns = np.repeat(np.arange(len(tracks)), shares)  # the tracks of an epoch, before shuffling
        if not len(self.turns):
            raise ArgumentError(
                f"None of the {len(tracks)} tracks lasts {config.clip_seconds:g} s, the length of a clip. "
                "Lower data.clip_seconds or add longer tracks."
            )
        self.n_samples = seconds_to_samples(config.clip_seconds, sample_rate)
        self.context_samples = seconds_to_samples(config.context_seconds, sample_rate)
        if config.captions:
            check_captions([tracks[i] for i in np.unique(self.turns)], config.captions)
        self.codes = StoredCodeFrames(Path(config.codes)) if config.codes else None
        self.hidden = StoredHiddenStates(Path(config.frames), config.frames_layer) if config.frames else None
        self.start_samples = lcm(config.start_samples, *(s.grid.hop_length for s in self._stored))
        for stored in self._stored:
            self._check(stored)

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

    def __getitem__(self, number: int) -> Clip:
        """A clip, of the first track from its turn on that can be read."""
        epoch, position = divmod(number // self.config.clips_per_track, len(self.turns))
        order = _order(self.seed, epoch, len(self.turns))
        for attempt in range(len(self.turns)):
            track = int(self.turns[order[(position + attempt) % len(self.turns)]])
            try:
                return self._cut(Clip(torch.zeros(0), number, track, attempt))
            except (AudioError, OSError) as error:
                log.warning("Clip %d: %s cannot be read (%s); the next track takes its place.",
                            number, self.tracks[track].path, error)  # fmt: skip
        raise AudioError(f"None of the {len(self.tracks)} tracks can be read. Is the folder still there?")

    def join(self, clips: Sequence[Clip]) -> Clips:
        """Single clips -> Clips."""
        heard, context = torch.stack([clip.waveform for clip in clips]), self.context_samples
        has_context = bool(context) and not self.hidden
        return Clips(
            heard[:, context:-context].contiguous() if has_context else heard,
            self.sample_rate,
            torch.tensor([clip.number for clip in clips]),
            torch.tensor([clip.track for clip in clips]),
            self.seed,
            sum(clip.n_unreadable for clip in clips),
            surroundings=heard if has_context else None,
            context_samples=context if has_context else 0,
            codes=self._joined_codes(clips),
            hidden=self._joined_states(clips),
            labels=tuple(self.tracks[clip.track].tags[LABEL] for clip in clips) if self.config.labels else (),
            texts=self._texts(clips),
        )

    def _texts(self, clips: Sequence[Clip]) -> tuple[str, ...]:
        """What is said of each clip: decided by seed and number, as its place in the track is."""
        config = self.config.captions
        if not config:
            return ()
        draws = (np.random.default_rng(derived_seed(self.seed, clip.number, CAPTION)) for clip in clips)
        return tuple(
            draw_caption(self.tracks[clip.track], config, rng) for clip, rng in zip(clips, draws, strict=True)
        )

    def _joined_codes(self, clips: Sequence[Clip]) -> ClipCodes | None:
        if not self.codes:
            return None
        values = torch.stack([clip.codes for clip in clips if clip.codes is not None])
        return ClipCodes(values, self.codes.description.codebook_size, self.codes.grid)

    def _joined_states(self, clips: Sequence[Clip]) -> ClipStates | None:
        if not self.hidden:
            return None
        values = torch.stack([clip.hidden for clip in clips if clip.hidden is not None])
        return ClipStates(values, self.hidden.grid, self.hidden.source)

    def _cut(self, clip: Clip) -> Clip:
        """Fill in what a clip holds, from a random place of its track."""
        rng = np.random.default_rng(derived_seed(self.seed, clip.number, CUT))
        track, context = self.tracks[clip.track], self.context_samples
        start = int(rng.integers(0, self._n_starts(track))) * self.start_samples
        channel = int(rng.integers(0, 2**16)) if self.config.channel == "random" else None
        if self.hidden:
            states = self._rows(self.hidden, track, start, 0)
            return clip._replace(hidden=torch.from_numpy(states.astype(np.float32)))
        begin = seconds_to_samples(track.start_seconds, self.sample_rate)
        wave = read_padded(
            track.path, sample_rate=self.sample_rate, start=begin + start - context,
            n_samples=self.n_samples + 2 * context,
            end=begin + seconds_to_samples(track.seconds, self.sample_rate),
            channel=None if channel is None else channel % track.n_channels,
            take_damaged=bool(track.damage),
        )  # fmt: skip
        clip = clip._replace(waveform=torch.from_numpy(wave))
        if not self.codes:
            return clip
        codes = self._rows(self.codes, track, start, context)
        return clip._replace(codes=torch.from_numpy(codes.T.astype(np.int64)))

    def _n_starts(self, track: Track) -> int:
        """How many places a clip of a track can start at."""
        end = seconds_to_samples(track.seconds, self.sample_rate)
        n_free = end - self.n_samples
        for stored in self._stored:
            hop = stored.grid.hop_length
            n_free = min(n_free, (stored.n_frames(track.content_hash) - self.n_samples // hop) * hop)
        if n_free < 0:  # the last frame was not whole
            raise AudioError("its stored frames are fewer than those of a clip; use shorter clips")
        return n_free // self.start_samples + 1

    def _rows(self, stored: StoredFrames, track: Track, start: int, context: int) -> np.ndarray:
        """The stored frames of a clip and its context."""
        hop = stored.grid.hop_length
        first, n_context, n_frames = start // hop, context // hop, self.n_samples // hop
        return stored.rows(track.content_hash, first - n_context, first + n_frames + n_context)

    @property
    def _stored(self) -> list[StoredFrames]:
        return [stored for stored in (self.codes, self.hidden) if stored]

    def _check(self, stored: StoredFrames) -> None:
        """Refuse stored frames of which there are not enough, or that lie elsewhere."""
        if stored.grid.sample_rate != self.sample_rate:
            raise StoredFramesError(
                f"{stored.folder} is of audio at {stored.grid.sample_rate} Hz, and this run hears "
                f"{self.sample_rate} Hz. Make its frames with a model at {self.sample_rate} Hz."
            )
        if self.context_samples % stored.grid.hop_length:
            seconds = samples_to_seconds(stored.grid.hop_length, self.sample_rate)
            raise StoredFramesError(
                f"data.context_seconds is not a whole number of the frames in {stored.folder}. Make it a "
                f"multiple of {seconds:g}."
            )
        stored.require([self.tracks[i] for i in np.unique(self.turns)])


def batches(
    clips: RandomClips, numbers: Iterator[list[int]], n_workers: int, is_pinned: bool = False
) -> Generator[Clips, None, None]:
    """The clips of each list of numbers, made ahead of time by ``n_workers`` processes.

    To be closed when it is not read to its end: the processes heed no signal. Pinned clips go to a CUDA
    device while it still computes.
    """
    yield from DataLoader(
        clips,
        batch_sampler=numbers,  # type: ignore[arg-type]  # any iterator of lists will do
        num_workers=n_workers,
        collate_fn=clips.join,
        prefetch_factor=4 if n_workers else None,
        pin_memory=is_pinned,
        worker_init_fn=_leave_signals_to_the_trainer,
    )


def numbers_of_step(step: int, clips_per_step: int, rank: int, world_size: int) -> list[int]:
    """Clip numbers that one rank contributes to one step; together the ranks have them all, once."""
    first = step * clips_per_step
    return list(range(first + rank, first + clips_per_step, world_size))


def derived_seed(*parts: int) -> int:
    """A seed that is a fixed function of its parts, and unrelated to that of any other parts."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]) >> 1


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def _leave_signals_to_the_trainer(worker: int) -> None:
    """Ctrl-C, or a cluster's notice, reaches every process; the trainer alone decides when a run ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
