"""Items -> rows of features: clips are read, cut and encoded; their frames are kept, averaged or both."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.config import Config, to_dict
from solfa.data.audio import AudioError, read_audio
from solfa.data.refused import Refused, refusal
from solfa.embedding import Precision, WindowConfig
from solfa.embedding.encoding import Encoded, encode, read_ahead
from solfa.embedding.moments import Moments
from solfa.embedding.space import Pool
from solfa.embedding.vectors import default_windows_at_once
from solfa.embedding.windows import Window, cut_waveform
from solfa.frames import FrameGrid
from solfa.models import AudioEncoder
from solfa.tasks.base import ClipRule, Item

Rows = Literal["clips", "frames"]


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig(Config):
    """Settings of stored features. Equal configurations give equal features."""

    weights: str  # SHA-256 of the encoder's configuration and weights
    rows: Rows  # a mean over time for each clip, or every frame
    layers: tuple[int, ...]
    sample_rate: int  # Hz
    hop_length: int  # samples from row to row where frames are kept; several of the encoder's if averaged
    clip_seconds: float | None
    frames_per_clip: int | None  # None with clip_seconds
    min_ratio: float
    channel: Literal["first", "mean"]
    n_most: int | None
    window_seconds: float
    context_seconds: float
    wraps: bool
    precision: Precision
    pool: Pool = "mean"  # of the frames of a clip; mean+std makes rows twice as wide
    is_raw: bool = False  # of no common scale: standardised before a head reads them

    @property
    def id(self) -> str:
        """The same for equal features, another for different ones."""
        return hashlib.sha256(json.dumps(to_dict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def grid(self) -> FrameGrid:
        """Where frames lie on a clip."""
        return FrameGrid(self.sample_rate, self.hop_length)

    @property
    def windows(self) -> WindowConfig:
        """Windows for clips that are too long for one pass."""
        return WindowConfig(
            window_seconds=self.window_seconds, context_seconds=self.context_seconds, wraps=self.wraps
        )


def clip_starts(n_samples: int, clip_samples: int, rule: ClipRule) -> list[tuple[int, int]]:
    """First and last sample of each clip of a stretch.

    Whole clips lie one after the other; the rest is a clip if it is long enough. A stretch shorter than
    one clip is one. Departs from MARBLE, which leaves such a stretch out: no test item may get lost.
    """
    starts = range(0, n_samples, clip_samples)
    clips = [(start, min(start + clip_samples, n_samples)) for start in starts]
    if len(clips) > 1 and clips[-1][1] - clips[-1][0] < rule.min_ratio * clip_samples:
        clips.pop()
    return clips[: rule.n_most]


def frames_of_clip(encoder: AudioEncoder, seconds: float) -> int:
    """Frames that lie wholly in a clip."""
    return encoder.frontend.n_frames(encoder.grid.seconds_to_samples(seconds))


@dataclass(frozen=True, eq=False)
class _Clip:
    """A clip that is being encoded."""

    key: str
    is_last: bool


@dataclass
class ItemRows:
    """What there is of an item so far."""

    pool: Pool  # of the frames of a clip
    n_in_one: int = 1  # frames of the encoder, of which one is kept as their mean
    n_most: int | None = None  # frames of a clip; one for what is left over stands in the next clip
    frames: list[Float[Tensor, "frame layer dim"]] = field(default_factory=list)  # if they are wanted
    rest: list[Float[Tensor, "frame layer dim"]] = field(default_factory=list)  # too few for a mean so far
    means: list[Float[Tensor, "1 layer dim"]] = field(default_factory=list)  # of each clip
    clip: Moments | None = None  # of the clip that is being encoded

    def add(self, part: Encoded, rows: Rows) -> None:
        """Take in what follows; a clip is averaged when it is over."""
        self.clip = self.clip or Moments(self.pool)
        if rows == "frames":
            self._add_frames(part, self.clip.n_frames)
        self.clip.add(part.states)
        if part.is_last:
            self.means.append(self.clip.pooled()[None])
            self.clip = None

    def _add_frames(self, part: Encoded, n_before: int) -> None:
        """Frames of a clip; at its end, a mean of those that are left."""
        end = None if self.n_most is None else max(0, self.n_most - n_before)
        frames = torch.cat([*self.rest, part.states.transpose(0, 1)[:end]])
        n_means = len(frames) // self.n_in_one
        n_whole = n_means * self.n_in_one
        self.frames.append(frames[:n_whole].unflatten(0, (n_means, self.n_in_one)).mean(1).half())
        self.rest = [frames[n_whole:]]
        if part.is_last and len(frames) > n_whole:
            self.frames.append(frames[n_whole:].mean(0, keepdim=True).half())
            self.rest = []


def compute_rows(
    wanted: dict[str, Item], encoder: AudioEncoder, config: FeaturesConfig
) -> Iterator[tuple[str, ItemRows | Refused]]:
    """The rows of each item, or why there are none."""
    n_windows = default_windows_at_once(encoder)
    n_workers = 1 if n_windows == 1 else min(8, os.cpu_count() or 1)
    read = partial(_examine, config=config, grid=encoder.grid)
    n_in_one = config.hop_length // encoder.grid.hop_length
    n_most = None if config.clip_seconds is None else frames_of_clip(encoder, config.clip_seconds)
    growing: dict[str, ItemRows] = {}
    spoilt: set[str] = set()
    with read_ahead(read, wanted.items(), n_workers=n_workers, n_ahead=2 * n_windows) as items:
        for clip, item in encode(items, encoder, config.layers, n_windows, config.precision):
            if clip.key in spoilt:
                continue
            if not isinstance(item, Encoded):
                spoilt.add(clip.key)
                growing.pop(clip.key, None)
                yield clip.key, refusal(wanted[clip.key].path, item)
                continue
            so_far = growing.setdefault(clip.key, ItemRows(config.pool, n_in_one, n_most))
            so_far.add(item, config.rows)
            if item.is_last and clip.is_last:
                yield clip.key, growing.pop(clip.key)


def _examine(
    wanted: tuple[str, Item], *, config: FeaturesConfig, grid: FrameGrid
) -> Iterator[tuple[_Clip, Window | Exception]]:
    """The windows of an item's clips, or why there are none."""
    key, item = wanted
    try:
        waveform = _read(item, config)
    except Exception as error:  # of whatever class: no file ends a probe
        yield _Clip(key, is_last=True), error
        return
    n_samples = len(waveform)
    longest = config.grid.seconds_to_samples(config.clip_seconds) if config.clip_seconds else n_samples
    rule = ClipRule(seconds=config.clip_seconds, min_ratio=config.min_ratio, n_most=config.n_most)
    clips = clip_starts(n_samples, longest, rule)
    for start, end in clips:
        clip = _Clip(key, is_last=end == clips[-1][1])
        for window in cut_waveform(waveform[start:end], grid, config.windows):
            yield clip, window


def _read(item: Item, config: FeaturesConfig) -> Float[np.ndarray, "sample"]:
    in_samples = config.grid.seconds_to_samples
    waveform = read_audio(
        item.path,
        sample_rate=config.sample_rate,
        start=in_samples(item.start),
        n_samples=None if item.seconds is None else in_samples(item.seconds),
        channel=0 if config.channel == "first" else None,
    )
    if not len(waveform):
        raise AudioError(f"has no samples from {item.start:g} s on; copy or download it again", item.path)
    return waveform
