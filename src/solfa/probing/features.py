"""Items of a task -> features of every layer, computed once and kept in a folder.

    DIR/features.json      what they are: encoder, clip rule, layers
    DIR/files.jsonl        content of each file, so that a second run need not read it
    DIR/items/KEY.npy      float32 (clip layer dim): means over time; or float16 (frame layer dim)

KEY is the content of the file and the stretch of it. An array has its name only once it is whole. Where an
encoder's frames are computed, the means of their clips are kept too, in the folder that has them.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.checkpoint import write_text
from solfa.config import Config, load_config, to_dict
from solfa.data.audio import AudioError, read_audio
from solfa.data.prepare import Refused
from solfa.embedding import Precision, Stamp, WindowConfig, default_windows, fingerprint, hash_content
from solfa.embedding.encoding import Piece, encode, read_ahead
from solfa.embedding.growing import append_lines, mend_lines, read_lines
from solfa.embedding.space import Pool
from solfa.embedding.vectors import check_is_ready, default_windows_at_once
from solfa.embedding.windows import Window, cut_waveform
from solfa.frames import FrameGrid
from solfa.models import AudioEncoder
from solfa.models.mulan import ClipEncoder
from solfa.probing.baselines import Baseline
from solfa.tasks.base import ClipRule, FrameClasses, FrameEvents, Item, Stems, Task

Rows = Literal["clips", "frames"]
DESCRIPTION, FILES, ITEMS, PARTIAL = "features.json", "files.jsonl", "items", ".partial"
CLIP_MARGIN_SECONDS = 1.0  # that a window is longer than a clip: a clip must not become two windows


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig(Config):
    """What is kept of an encoder's hidden states. Equal configurations give equal features."""

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
    pool: Pool = "mean"  # of the frames of a clip; the other one makes rows twice as wide
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
        """How clips that are too long for one pass are cut."""
        return WindowConfig(
            window_seconds=self.window_seconds, context_seconds=self.context_seconds, wraps=self.wraps
        )


@dataclass(frozen=True)
class Features:
    """The features of a task's items, on the disk."""

    folder: Path
    config: FeaturesConfig
    kept: tuple[tuple[Item, str], ...]  # items, and the keys of their arrays
    refused: tuple[Refused, ...]
    n_computed: int  # arrays that were not there before

    def array(self, key: str) -> Float[np.ndarray, "row layer dim"]:
        """The rows of an item; frames stay on the disk."""
        rows = np.load(_path(self.folder, key), mmap_mode="r" if self.config.rows == "frames" else None)
        return np.asarray(rows)  # slices of a memmap cost several times as much

    def frame_times(self, n_frames: int) -> Float[np.ndarray, "frame"]:
        """Where the frames of an item start, in seconds from its beginning.

        Clips begin on multiples of their length, which need not be a multiple of a frame's.
        """
        times = self.config.grid.frame_times(n_frames)
        if self.config.clip_seconds is None or self.config.frames_per_clip is None:
            return times
        clip, frame = np.divmod(np.arange(n_frames), self.config.frames_per_clip)
        return clip * self.config.clip_seconds + times[frame]


def extract(
    task: Task,
    items: Sequence[Item],
    encoder: AudioEncoder | Baseline,
    folder: Path,
    *,
    layers: Sequence[int] | None = None,
    precision: Precision = "float32",
    progress: Callable[[int, str], None] = lambda done, note: None,
) -> Features:
    """Features of ``items``, computed unless they are in ``folder`` already.

    Args:
        task: says how items are cut, and whether frames are wanted.
        items: of any split.
        encoder: it is put into eval mode. A baseline has features of its own for clips and for frames.
        folder: features of each encoder and clip rule get a folder of their own in it.
        layers: numbers of the layers, as in ``HiddenStates``; all if omitted.
        precision: of the forward pass.
        progress: is told how many items are done, with a name.

    Raises:
        NotFiniteError: the encoder answers with NaN, and no file is to blame.
    """
    gives_means = has_frames(task) and not isinstance(encoder, Baseline)  # that has another for clips
    encoder, pool, is_raw = _encoder_for(task, encoder)
    encoder.eval()
    check_is_ready(encoder, precision)
    config = _describe(task, encoder, layers or range(encoder.n_layers + 1), precision)
    config = replace(config, pool=pool, is_raw=is_raw)
    means_place = _place_of_means(folder, config) if gives_means else None
    config = _with_frames_averaged(config, task.clips.frame_rate)
    place = folder / config.id  # tasks that cut the same recordings in the same way share it
    _begin(place, config)
    keys, refused = _keys(place, items)
    wanted = {key: item for item, key in keys.items() if not _path(place, key).exists()}
    n_computed, n_there = 0, len(items) - len(wanted) - len(refused)
    for n_done, (key, outcome) in enumerate(_compute(wanted, encoder, config), n_there + 1):
        if isinstance(outcome, Refused):
            refused.append(outcome)
        else:
            if means_place:
                _write(_path(means_place, key), outcome.means)
            _write(_path(place, key), outcome.frames or outcome.means)
            n_computed += 1
        progress(n_done, wanted[key].path.name)
    kept = tuple((item, key) for item, key in keys.items() if _path(place, key).exists())
    return Features(place, config, kept, tuple(refused), n_computed)


def has_frames(task: Task) -> bool:
    """Whether the features of a task are frames, and not means over clips."""
    return isinstance(task.kind, FrameClasses | FrameEvents | Stems)


def _encoder_for(task: Task, encoder: AudioEncoder | Baseline) -> tuple[AudioEncoder, Pool, bool]:
    """What encodes the clips or frames of a task, how it is pooled, and whether it has no common scale."""
    if not isinstance(encoder, Baseline):
        return encoder, "mean", False
    if has_frames(task):
        return encoder.frames, "mean", encoder.is_raw
    return encoder.clips, encoder.pool, encoder.is_raw


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


def _describe(
    task: Task, encoder: AudioEncoder, layers: Sequence[int], precision: Precision
) -> FeaturesConfig:
    windows, seconds = default_windows(encoder), task.clips.seconds
    if seconds is not None and not isinstance(encoder, ClipEncoder):
        margin = max(CLIP_MARGIN_SECONDS, 1 / encoder.frame_rate)
        windows = WindowConfig(window_seconds=seconds + margin, context_seconds=0.0)
    return FeaturesConfig(
        weights=fingerprint(encoder),
        rows="frames" if has_frames(task) else "clips",
        layers=tuple(layers),
        sample_rate=encoder.sample_rate,
        hop_length=encoder.grid.hop_length,
        clip_seconds=seconds,
        frames_per_clip=None if seconds is None else _n_frames(encoder, seconds),
        min_ratio=task.clips.min_ratio,
        channel=task.clips.channel,
        n_most=task.clips.n_most,
        window_seconds=windows.window_seconds,
        context_seconds=windows.context_seconds,
        wraps=windows.wraps,
        precision=precision,
    )


def _with_frames_averaged(config: FeaturesConfig, frame_rate: float | None) -> FeaturesConfig:
    """With as few frames, of the mean of several of the encoder's, as there are at that rate or above it."""
    if config.rows == "clips" or frame_rate is None:
        return config
    n_in_one = max(1, int(config.grid.frame_rate / frame_rate))
    n_frames = config.frames_per_clip
    return replace(
        config,
        hop_length=config.hop_length * n_in_one,
        frames_per_clip=None if n_frames is None else -(-n_frames // n_in_one),
    )


def _n_frames(encoder: AudioEncoder, seconds: float) -> int:
    return encoder.frontend.n_frames(encoder.grid.seconds_to_samples(seconds))


def _begin(place: Path, config: FeaturesConfig) -> None:
    (place / ITEMS).mkdir(parents=True, exist_ok=True)
    if not (place / DESCRIPTION).exists():
        write_text(place / DESCRIPTION, json.dumps(to_dict(config), indent=2) + "\n")
    elif load_config(FeaturesConfig, place / DESCRIPTION) != config:
        raise ValueError(f"{place / DESCRIPTION} was changed. Remove {place} and run again.")
    mend_lines(place / FILES)
    for leftover in (place / ITEMS).glob(f"*{PARTIAL}"):
        leftover.unlink()


def _place_of_means(folder: Path, config: FeaturesConfig) -> Path:
    """Where the means of clips are kept whose frames are those of ``config``."""
    means = replace(config, rows="clips")
    place = folder / means.id
    _begin(place, means)
    return place


def _path(place: Path, key: str) -> Path:
    return place / ITEMS / f"{key}.npy"


def _keys(place: Path, items: Sequence[Item]) -> tuple[dict[Item, str], list[Refused]]:
    """The key of each item, and the files that cannot be read; content is hashed where a file is new."""
    known = {(line["path"], line["n_bytes"], line["modified_ns"]): line for line in read_lines(place / FILES)}
    hashes: dict[Path, str | Refused] = {}
    new = []
    for path in dict.fromkeys(item.path for item in items):
        try:
            stamp = Stamp.of(path)
            line = known.get((str(path), stamp.n_bytes, stamp.modified_ns))
            hashes[path] = line["content_hash"] if line else hash_content(path)
            if not line:
                new.append({"path": str(path), **asdict(stamp), "content_hash": hashes[path]})
        except OSError as error:
            reason = f"cannot be read ({error.strerror}); check the file and its permissions"
            hashes[path] = Refused(path=path, reason=reason)
    append_lines(place / FILES, new)
    keys = {
        item: hashlib.sha256(f"{content} {item.start} {item.seconds}".encode()).hexdigest()[:32]
        for item in items
        if isinstance(content := hashes[item.path], str)
    }
    return keys, [found for found in hashes.values() if isinstance(found, Refused)]


@dataclass(frozen=True, eq=False)
class _Clip:
    """A clip that is being encoded."""

    key: str
    is_last: bool


@dataclass
class _Growing:
    """What there is of an item so far."""

    n_in_one: int = 1  # frames of the encoder, of which one is kept as their mean
    n_most: int | None = (
        None  # frames of a clip that are kept; one for what is left over would shift the next
    )
    frames: list[Float[Tensor, "frame layer dim"]] = field(default_factory=list)  # if they are wanted
    rest: list[Float[Tensor, "frame layer dim"]] = field(default_factory=list)  # too few for a mean so far
    means: list[Float[Tensor, "1 layer dim"]] = field(default_factory=list)  # of each clip
    total: Float[Tensor, "layer dim"] | None = None  # of the clip that is being encoded
    n_frames: int = 0

    def add(self, piece: Piece, rows: Rows, pool: Pool) -> None:
        if rows == "frames":
            self._add_frames(piece)
        summed = piece.states.sum(1, dtype=torch.float64)
        if pool == "mean+std":
            summed = torch.cat([summed, piece.states.double().square().sum(1)], -1)
        self.total = summed if self.total is None else self.total + summed
        self.n_frames += piece.states.shape[1]
        if piece.is_last:
            self.means.append(_pooled(self.total / self.n_frames, pool)[None])
            self.total, self.n_frames = None, 0

    def _add_frames(self, piece: Piece) -> None:
        """Frames of a clip; at its end, a mean of those that are left."""
        end = None if self.n_most is None else max(0, self.n_most - self.n_frames)
        frames = torch.cat([*self.rest, piece.states.transpose(0, 1)[:end]])
        n_means = len(frames) // self.n_in_one
        n_whole = n_means * self.n_in_one
        self.frames.append(frames[:n_whole].unflatten(0, (n_means, self.n_in_one)).mean(1).half())
        self.rest = [frames[n_whole:]]
        if piece.is_last and len(frames) > n_whole:
            self.frames.append(frames[n_whole:].mean(0, keepdim=True).half())
            self.rest = []


def _pooled(means: Float[Tensor, "layer mean"], pool: Pool) -> Float[Tensor, "layer dim"]:
    """Means over time; or these and deviations, of means of frames and of their squares."""
    if pool == "mean":
        return means.float()
    mean, square = means.chunk(2, -1)
    return torch.cat([mean, (square - mean.square()).clamp(min=0).sqrt()], -1).float()


def _compute(
    wanted: dict[str, Item], encoder: AudioEncoder, config: FeaturesConfig
) -> Iterator[tuple[str, _Growing | Refused]]:
    """The rows of each item, or why there are none."""
    n_windows = default_windows_at_once(encoder)
    n_workers = 1 if n_windows == 1 else min(8, os.cpu_count() or 1)
    read = partial(_examine, config=config, grid=encoder.grid)
    n_in_one = config.hop_length // encoder.grid.hop_length
    n_most = None if config.clip_seconds is None else _n_frames(encoder, config.clip_seconds)
    growing: dict[str, _Growing] = {}
    spoilt: set[str] = set()
    with read_ahead(read, wanted.items(), n_workers=n_workers, n_ahead=2 * n_windows) as items:
        for clip, item in encode(items, encoder, config.layers, n_windows, config.precision):
            if clip.key in spoilt:
                continue
            if not isinstance(item, Piece):
                spoilt.add(clip.key)
                growing.pop(clip.key, None)
                yield clip.key, Refused(path=wanted[clip.key].path, reason=_reason(item))
                continue
            so_far = growing.setdefault(clip.key, _Growing(n_in_one, n_most))
            so_far.add(item, config.rows, config.pool)
            if item.is_last and clip.is_last:
                yield clip.key, growing.pop(clip.key)


def _examine(
    wanted: tuple[str, Item], *, config: FeaturesConfig, grid: FrameGrid
) -> Iterator[tuple[_Clip, Window | AudioError | OSError]]:
    """The windows of an item's clips, or why there are none."""
    key, item = wanted
    try:
        waveform = _read(item, config)
    except (AudioError, OSError) as error:
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


def _reason(error: Exception) -> str:
    if isinstance(error, AudioError):
        return error.reason
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror}); check the file and its permissions"
    return str(error)


def _write(path: Path, rows: Sequence[Tensor]) -> None:
    partial_path = path.with_name(path.name + PARTIAL)
    with partial_path.open("wb") as file:
        np.save(file, torch.cat(list(rows)).numpy())
    partial_path.replace(path)
