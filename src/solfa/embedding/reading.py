"""Files -> tracks with vectors; a bad file is refused with its reason, and the rest goes on."""

import os
from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from solfa.data.base import DamagedError
from solfa.data.manifest import Track
from solfa.data.prepare import as_track, hash_content
from solfa.data.refused import Refused, refusal
from solfa.embedding.encoding import Encoded, encode, read_ahead
from solfa.embedding.moments import Moments, SegmentMoments
from solfa.embedding.options import checked_count
from solfa.embedding.outcomes import Duplicate, Embedded, Stamp
from solfa.embedding.space import Pool, Space
from solfa.embedding.vectors import check_is_ready, default_windows_at_once
from solfa.embedding.windows import Window, WindowConfig, cut_judged
from solfa.frames import FrameGrid
from solfa.models import AudioEncoder


@dataclass(eq=False)
class Source:
    """A file that is being embedded, while it is read."""

    path: Path
    stamp: Stamp
    content_hash: str
    track: Track | None = None  # what it holds, which is known when its last window is


@runtime_checkable
class FrameKeeper(Protocol):
    """What takes the hidden states of files, bit by bit."""

    def add(self, path: Path, content_hash: str, states: Float[Tensor, "layer frame dim"]) -> None:
        """Some more of a file."""

    def discard(self, path: Path) -> None:
        """Forget what there was of a file: it is refused, or begins anew."""


@dataclass(frozen=True, kw_only=True)
class Batching:
    """Numbers of windows and threads at once; they change the speed, not the vectors."""

    windows_at_once: int | None = None  # in one forward pass; by default as fits the device
    n_workers: int | None = None  # threads that read and check files; likewise

    def __post_init__(self) -> None:
        for name in ("windows_at_once", "n_workers"):
            if getattr(self, name) is not None:
                checked_count(getattr(self, name), name)


def embed_files(
    paths: Sequence[Path],
    encoder: AudioEncoder,
    space: Space,
    *,
    known: Container[str] = (),
    batching: Batching | None = None,
    tags: Callable[[Path], Mapping[str, str]] | None = None,
    take_damaged: bool = False,
    frame_layers: Sequence[int] = (),
    keep_frames: FrameKeeper | None = None,
) -> Generator[Embedded | Duplicate | Refused, None, None]:
    """What becomes of each file: one outcome for each, in any order.

    A file is judged as by ``solfa data prepare`` while it is read; it is decoded once, but for one that is
    damaged and taken.

    Args:
        paths: audio files.
        encoder: in eval mode.
        space: how its vectors are made.
        known: content hashes that have a vector already.
        batching: how many at once.
        tags: further tags of a file, over those that it carries itself.
        take_damaged: leave out what is damaged of a file, and embed the rest; its track says so.
        frame_layers: layers whose hidden states are handed to ``keep_frames``.
        keep_frames: gets the hidden states of a file before its outcome is given.

    Raises:
        NotFiniteError: the encoder answers with NaN, and no file is to blame.
        ValueError: the encoder is in training mode, or its device has no use for the precision.
    """
    check_is_ready(encoder, space.precision)
    batching = batching or Batching()
    n_windows = batching.windows_at_once or default_windows_at_once(encoder)
    n_workers = batching.n_workers or (1 if n_windows == 1 else min(8, os.cpu_count() or 1))
    read = partial(
        _examine, known=known, grid=encoder.grid, windows=space.windows, tags=tags, take_damaged=take_damaged
    )
    with read_ahead(read, paths, n_workers=n_workers, n_ahead=2 * n_windows) as items:
        tracks = _Tracks(encoder, space.pool, keep_frames)
        layers = (space.layer, *frame_layers)
        for key, item in encode(items, encoder, layers, n_windows, space.precision):
            outcome = tracks.take(key, item)
            if outcome is not None:
                yield outcome


class _BeginsAnew:
    """In place of a window: the file is damaged, and what is whole of it comes as another source."""


class _Tracks:
    """Tracks whose parts are coming, each to one outcome."""

    def __init__(
        self,
        encoder: AudioEncoder,
        pool: Pool,
        keep_frames: FrameKeeper | None,
    ) -> None:
        self.encoder, self.pool, self.keep_frames = encoder, pool, keep_frames
        self._begun: dict[Source, tuple[Moments, SegmentMoments]] = {}
        self._refused: set[Source] = set()  # more of them may come, and is of no use

    def take(
        self, source: Source | None, item: Encoded | Duplicate | Refused | _BeginsAnew | Exception
    ) -> Embedded | Duplicate | Refused | None:
        """What has become of a track by its next part, or by what came instead; None if more will come."""
        if source is None or source in self._refused:
            return item if source is None and isinstance(item, Duplicate | Refused) else None
        try:
            if isinstance(item, Encoded):
                return self._add(source, item)
            if isinstance(item, _BeginsAnew):
                self._forget(source)
                return None
            outcome = item if isinstance(item, Duplicate | Refused) else refusal(source.path, item)
        except _FramesError as error:
            raise error.cause from None
        except Exception as error:
            outcome = refusal(source.path, error)
        self._forget(source)
        return outcome

    def _begin(self) -> tuple[Moments, SegmentMoments]:
        return Moments(self.pool), SegmentMoments(self.pool, self.encoder)

    def _forget(self, source: Source) -> None:
        self._refused.add(source)
        self._begun.pop(source, None)
        if self.keep_frames:
            self.keep_frames.discard(source.path)

    def _add(self, source: Source, part: Encoded) -> Embedded | None:
        whole, parts = self._begun.setdefault(source, self._begin())
        whole.add(part.states[0])
        parts.add(part.states[0], part.peaks)
        if self.keep_frames:
            try:
                self.keep_frames.add(source.path, source.content_hash, part.states[1:])
            except OSError as error:  # of the disk that they are kept on, and of no file
                raise _FramesError(error) from error
        if not part.is_last or source.track is None:
            return None
        del self._begun[source]
        segments = parts.pooled(source.track.seconds)
        return Embedded(source.track, source.stamp, whole.pooled(), segments, whole.n_frames)


class _FramesError(Exception):
    """Hidden states that cannot be kept."""

    def __init__(self, cause: OSError) -> None:
        self.cause = cause


def _examine(
    path: Path,
    *,
    known: Container[str],
    grid: FrameGrid,
    windows: WindowConfig,
    tags: Callable[[Path], Mapping[str, str]] | None,
    take_damaged: bool,
) -> Iterator[tuple[Source | None, Window | Duplicate | Refused | _BeginsAnew]]:
    """The windows of a file, or why there are none."""
    source = None
    try:
        stamp = Stamp.of(path)  # before its content: a change from now on will be seen the next time
        content_hash = hash_content(path)
        if content_hash in known:
            yield None, Duplicate(path, stamp, content_hash)
            return
        source = Source(path, stamp, content_hash)
        try:
            yield from _windows_of(source, None, grid, windows, tags)
        except DamagedError as damage:
            if not take_damaged:
                raise
            yield source, _BeginsAnew()
            source = Source(path, stamp, content_hash)
            yield from _windows_of(source, damage, grid, windows, tags)
    except Exception as error:
        yield source, refusal(path, error)


def _windows_of(
    source: Source,
    damage: DamagedError | None,
    grid: FrameGrid,
    windows: WindowConfig,
    tags: Callable[[Path], Mapping[str, str]] | None,
) -> Iterator[tuple[Source, Window]]:
    for window, info in cut_judged(source.path, grid, windows, known=damage):
        if info:
            source.track = as_track(info, source.content_hash, tags)
        yield source, window
