"""Random crops as Clips, sharded over workers and ranks, resumable.

A run is an endless row of clips, numbered from 0. The number alone, with the seed, decides everything about
a clip: its track, where it is cut, which channel, and later its mask and noise. So any process can make any
clip, and a resumed run simply goes on counting.
"""

import logging
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import lcm
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from solfa.config import Count, Seconds, SecondsFromZero
from solfa.data.audio import AudioError, read_padded
from solfa.data.companion import Cut
from solfa.data.companions import CompanionsConfig, companions
from solfa.data.fact_texts import ClipFacts
from solfa.data.manifest import Track
from solfa.data.pairs import ClipVectors
from solfa.data.seeds import CUT, TURNS, derived_seed
from solfa.data.stored_frames import ClipCodes, ClipStates
from solfa.data.stored_teachers import ClipTeaching
from solfa.errors import ArgumentError, SolfaError
from solfa.features import MelCQTConfig, MelCQTFrames
from solfa.frames import seconds_to_samples

log = logging.getLogger(__name__)

GOLDEN_RATIO = 0.6180339887498949
COMB_STEPS = 2**20  # to an interval: sums with whole numbers are exact


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
    spectra: MelCQTFrames | None = None  # of the clips; where they were stored, the waveform is empty
    spectra_are: MelCQTConfig | None = None  # which ones were stored
    taught: Mapping[str, ClipTeaching] = field(default_factory=dict)  # by teachers, after their names
    labels: tuple[str, ...] = ()  # of each clip, as its track's tag has it; none in pre-training
    texts: tuple[str, ...] = ()  # about each clip; of pairs of music and text only
    pooled: ClipVectors | None = None  # made beforehand; the waveform is empty then
    facts: ClipFacts | None = None  # that such texts say, if they are made of facts

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
            spectra=None if self.spectra is None else self.spectra.mapped(moved),
            taught={name: replace(one, values=moved(one.values)) for name, one in self.taught.items()},
            pooled=self.pooled and replace(self.pooled, values=moved(self.pooled.values)),
            facts=self.facts and self.facts.mapped(moved),
        )

    def surrounded(self) -> "Clips":
        """The clips as teachers hear them: longer by the context on both sides."""
        if self.surroundings is None:
            return self
        return replace(self, waveform=self.surroundings, surroundings=None, context_samples=0, spectra=None)

    def generators(self, purpose: int, device: torch.device | str = "cpu") -> list[torch.Generator]:
        """A source of randomness for each clip, the same wherever and whenever the clip is made."""
        seeds = [derived_seed(self.seed, int(number), purpose) for number in self.numbers]
        return [torch.Generator(device).manual_seed(seed) for seed in seeds]


@dataclass(frozen=True, kw_only=True)
class ClipsConfig(CompanionsConfig):
    """Which clips a run sees, and what goes with them."""

    manifest: str = ""  # tracks to learn from; given on the command line
    valid_manifest: str = ""  # held-out tracks to watch; none if empty
    clip_seconds: Seconds = 30.0
    clips_per_step: Count = 192  # over all ranks and accumulated batches
    clips_per_track: Count = 1  # so many in a row are cut from the same track, each at a place of its own
    n_valid_clips: Count = 64
    channel: Literal["mean", "random"] = "mean"  # of a recording with several
    context_seconds: SecondsFromZero = 0.0  # on each side of a clip; teachers hear it, encoders do not
    start_samples: Count = 1  # clips start at multiples of it; where frames are stored, on frames
    turns: Literal["by_length", "one_each"] = "by_length"  # of tracks: every second, or track, as likely

    def __post_init__(self) -> None:
        if self.context_seconds < 0 or self.start_samples < 1:
            raise ArgumentError("data.context_seconds must be at least 0, and data.start_samples at least 1.")
        if self.codes and self.channel != "mean":
            raise ArgumentError("Stored codes are those of all channels together. Set data.channel to mean.")
        if self.spectra and (self.channel != "mean" or self.context_seconds):
            raise ArgumentError(
                "Stored spectra are those of all channels together, and heard what is around a clip. Set "
                "data.channel to mean and data.context_seconds to 0."
            )
        super().__post_init__()


class Clip(NamedTuple):
    """One clip, before it is joined to others."""

    waveform: Float[Tensor, " sample"]  # with what is around it; empty if a companion stands in its place
    number: int
    track: int  # place in the manifest
    n_unreadable: int  # tracks that could not be read before this one
    beside: tuple[Any, ...]  # what each companion says of it


class RandomClips(Dataset[Clip]):
    """Clip number ``n`` of a run: a crop of a track, at a place decided by seed and number.

    In one epoch a track comes up once for every ``clip_seconds`` that it lasts, so that every second of music
    is as likely as every other, or once, if turns are one each; each time, ``clips_per_track`` clips are cut
    from it. Weights of tracks give turns of some to others: what is not a whole turn is rounded up in some
    epochs and down in others, so that shares are exact in the long run. Tracks shorter than a clip are left
    out.

    Raises:
        StoredFramesError: stored codes or hidden states of a track are missing, or lie on another grid.
        ValueError: no track is as long as a clip.
    """

    def __init__(self, tracks: Sequence[Track], config: ClipsConfig, sample_rate: int, seed: int) -> None:
        self.tracks, self.config, self.sample_rate, self.seed = tracks, config, sample_rate, seed
        shares = np.array([int(track.seconds // config.clip_seconds) for track in tracks], dtype=np.int64)
        if config.turns == "one_each":
            shares = shares.clip(max=1)
        self.rates = shares * np.array([track.weight for track in tracks])  # of turns, against each other
        self.used: list[int] = np.flatnonzero(shares).tolist()  # places of tracks as long as a clip
        if not self.used:
            raise ArgumentError(
                f"None of the {len(tracks)} tracks lasts {config.clip_seconds:g} s, the length of a clip. "
                "Lower data.clip_seconds or add longer tracks."
            )
        self.n_turns = int(shares.sum())  # of every epoch, whatever the weights are
        self._turns = (-1, np.zeros(0, np.int64))  # an epoch, and the tracks of its turns, before shuffling
        self.n_samples = seconds_to_samples(config.clip_seconds, sample_rate)
        self.context_samples = seconds_to_samples(config.context_seconds, sample_rate)
        self.companions = companions(config, config.clip_seconds)
        grids = [companion.grid for companion in self.companions if companion.grid]
        self.start_samples = lcm(config.start_samples, *(grid.hop_length for grid in grids))
        self.has_audio = not any(companion.replaces_audio for companion in self.companions)
        used = [tracks[i] for i in self.used]
        for companion in self.companions:
            companion.check(used, sample_rate, self.context_samples)

    @property
    def n_left_out(self) -> int:
        """Tracks too short for a clip."""
        return len(self.tracks) - len(self.used)

    @property
    def hours(self) -> float:
        """Music in the tracks that are used."""
        return sum(self.tracks[i].seconds for i in self.used) / 3600

    def __len__(self) -> int:
        return 2**62  # a row without end; samplers choose the numbers

    def __getitem__(self, number: int) -> Clip:
        """A clip, of the first track from its turn on that can be read."""
        epoch, position = divmod(number // self.config.clips_per_track, self.n_turns)
        turns, order = self.turns(epoch), _order(self.seed, epoch, self.n_turns)
        for attempt in range(self.n_turns):
            place = int(turns[order[(position + attempt) % self.n_turns]])
            try:
                return self._clip(number, epoch, place, attempt)
            except (AudioError, OSError) as error:
                log.warning("Clip %d: %s cannot be read (%s); the next track takes its place.",
                            number, self.tracks[place].path, error)  # fmt: skip
        raise AudioError(f"None of the {len(self.tracks)} tracks can be read. Is the folder still there?")

    def turns(self, epoch: int) -> Int[np.ndarray, " turn"]:
        """Places of the tracks of an epoch, before shuffling."""
        if self._turns[0] != epoch:
            self._turns = (epoch, spread_turns(self.rates, self.n_turns, self.seed, epoch))
        return self._turns[1]

    def join(self, clips: Sequence[Clip]) -> Clips:
        """Single clips -> Clips."""
        heard = torch.stack([clip.waveform for clip in clips])
        context = self.context_samples if self.has_audio else 0
        beside = zip(*(clip.beside for clip in clips), strict=True)
        fields: dict[str, Any] = {}
        for companion, parts in zip(self.companions, beside, strict=True):
            fields |= companion.join(parts)
        return Clips(
            heard[:, context:-context].contiguous() if context else heard,
            self.sample_rate,
            torch.tensor([clip.number for clip in clips]),
            torch.tensor([clip.track for clip in clips]),
            self.seed,
            sum(clip.n_unreadable for clip in clips),
            surroundings=heard if context else None,
            context_samples=context,
            **fields,
        )

    def _clip(self, number: int, epoch: int, place: int, n_unreadable: int) -> Clip:
        """A clip from a random place of a track."""
        rng = np.random.default_rng(derived_seed(self.seed, number, CUT))
        track = self.tracks[place]
        start = int(rng.integers(0, self._n_starts(track))) * self.start_samples
        channel = int(rng.integers(0, 2**16)) % track.n_channels if self.config.channel == "random" else None
        cut = Cut(
            track=track, number=number, seed=self.seed, epoch=epoch, start=start,
            n_samples=self.n_samples, context_samples=self.context_samples,
        )  # fmt: skip
        waveform = self._read(cut, channel) if self.has_audio else torch.zeros(0)
        beside = tuple(companion.cut(cut) for companion in self.companions)
        return Clip(waveform, number, place, n_unreadable, beside)

    def _read(self, cut: Cut, channel: int | None) -> Float[Tensor, " sample"]:
        """The audio of a clip and what is around it."""
        track, context = cut.track, cut.context_samples
        begin = seconds_to_samples(track.start_seconds, self.sample_rate)
        wave = read_padded(
            track.source, sample_rate=self.sample_rate, start=begin + cut.start - context,
            n_samples=cut.n_samples + 2 * context,
            end=begin + seconds_to_samples(track.seconds, self.sample_rate),
            channel=channel, take_damaged=bool(track.damage),
        )  # fmt: skip
        return torch.from_numpy(wave)

    def _n_starts(self, track: Track) -> int:
        """Number of places at which a clip of a track can start."""
        ends = [companion.last_start(track, self.n_samples) for companion in self.companions]
        last = min([seconds_to_samples(track.seconds, self.sample_rate) - self.n_samples, *ends])
        return last // self.start_samples + 1


def batches(
    clips: RandomClips, numbers: Iterator[list[int]], n_workers: int, is_pinned: bool = False
) -> Generator[Clips, None, None]:
    """The clips of each list of numbers, made ahead of time by ``n_workers`` processes.

    To be closed when it is not read to its end: the processes heed no signal. Pinned clips go to a CUDA
    device while it still computes.
    """
    try:
        yield from DataLoader(
            clips,
            batch_sampler=numbers,  # type: ignore[arg-type]  # any iterator of lists will do
            num_workers=n_workers,
            collate_fn=clips.join,
            prefetch_factor=4 if n_workers else None,
            pin_memory=is_pinned,
            worker_init_fn=_leave_signals_to_the_trainer,
        )
    except SolfaError as error:
        raise type(error)(_message(error)) from error


def numbers_of_step(step: int, clips_per_step: int, rank: int, world_size: int) -> list[int]:
    """Clip numbers that one rank contributes to one step; together the ranks have them all, once."""
    first = step * clips_per_step
    return list(range(first + rank, first + clips_per_step, world_size))


def spread_turns(
    rates: Float[np.ndarray, " track"], n_turns: int, seed: int, epoch: int
) -> Int[np.ndarray, " turn"]:
    """Which track has each of the ``n_turns`` turns of an epoch, in the order of the tracks.

    Tracks lie side by side on a line of ``n_turns``, each as long as its part of the rates, and turns are the
    points of a comb of distance 1 on it. So a track has as many turns as its part is long, rounded up or
    down, and whole parts are kept as they are. From epoch to epoch the comb moves by the golden ratio, which
    spreads its places evenly: no track waits longer for its turn than its rate makes it.

    Args:
        rates: turns of each track against those of others, at least 0, some above.
        n_turns: how many there are.
        seed: where the comb of the first epoch lies.
        epoch: counted from 0.

    Source:
        Systematic sampling; Madow and Madow, On the theory of systematic sampling, 1944.
    """
    first = np.random.default_rng([seed, TURNS]).random()
    comb = round((first + epoch * GOLDEN_RATIO) % 1 * COMB_STEPS) % COMB_STEPS / COMB_STEPS
    ends = np.cumsum(rates) * (n_turns / rates.sum())
    ends[np.flatnonzero(rates)[-1] :] = n_turns  # what rounding may have made of it
    points_before = np.ceil(ends - comb).astype(np.int64)
    return np.repeat(np.arange(len(rates)), np.diff(points_before, prepend=0))


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def _message(error: SolfaError) -> str:
    """What an error says, without the traceback that PyTorch puts before it on its way from a worker."""
    return str(error).rpartition(f"{type(error).__name__}: ")[2].strip()


def _leave_signals_to_the_trainer(worker: int) -> None:
    """Ctrl-C, or a cluster's notice, reaches every process; the trainer alone decides when a run ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
