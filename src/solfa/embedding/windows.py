"""A track of any length -> windows that overlap, cut on the encoder's frame grid.

An encoder sees one window at a time, so memory does not grow with the track. Each window has context on both
sides, from which no frame is taken:

    track     0 ........................................................ end
    window 1  [ taken taken taken taken . context ]
    window 2                  [ context . taken taken . context ]
    window 3                               [ context . taken taken taken ]

A frame is taken from the first window in whose centre it lies. The last window ends with the track and is as
long as the others; a track no longer than one window is one window, and its frames are exact.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from solfa.data.audio import AudioError, AudioInfo, AudioReader
from solfa.data.base import DamagedError
from solfa.data.damage import MISSING_SECONDS, JudgingReader
from solfa.embedding.space import WindowConfig
from solfa.frames import FrameGrid, samples_to_seconds

SECONDS_AT_ONCE = 120.0  # decoded in one go: finding a place in a file takes time


@dataclass(frozen=True)
class Window:
    """A span of a track, and which of its frames are taken."""

    waveform: Float[np.ndarray, "sample"]
    taken: slice  # of its frames
    is_last: bool
    peaks: Float[np.ndarray, "frame"]  # the largest sample of each taken frame, without what fills it up


def cut_windows(
    path: Path, grid: FrameGrid, config: WindowConfig, *, take_damaged: bool = False
) -> Iterator[Window]:
    """The windows of a file, in order; together they give every frame once.

    Args:
        path: the file, which stays open meanwhile.
        grid: the encoder's.
        config: how long they are.
        take_damaged: leave out what cannot be decoded.

    Raises:
        AudioError: the file cannot be decoded, holds no samples, or ends before its promised end.
        FileNotFoundError: the file is gone.
    """
    with AudioReader(path, sample_rate=grid.sample_rate, take_damaged=take_damaged) as reader:
        promised_seconds = 0.0 if take_damaged else reader.promised_seconds
        yield from _cut(_Buffer(path, grid.sample_rate, promised_seconds, reader), grid, config)


def cut_judged(
    path: Path, grid: FrameGrid, config: WindowConfig, *, known: DamagedError | None = None
) -> Iterator[tuple[Window, AudioInfo | None]]:
    """As ``cut_windows``, of a file that is judged while it is read: decoded once, not once for each.

    Args:
        path: the file.
        grid: the encoder's.
        config: how long windows are.
        known: its damage, if that is known: what cannot be decoded is left out.

    Returns:
        The windows; with the last one, what the file holds.

    Raises:
        AudioError: as by ``check_audio``, before the last window.
        FileNotFoundError: the file is gone.
    """
    with JudgingReader(path, sample_rate=grid.sample_rate, known=known) as reader:
        audio = _Buffer(path, grid.sample_rate, 0.0, reader, judge=reader.judge)
        for window in _cut(audio, grid, config):
            yield window, audio.info


def cut_waveform(
    waveform: Float[np.ndarray, "sample"], grid: FrameGrid, config: WindowConfig
) -> Iterator[Window]:
    """The windows of a waveform at the grid's rate, as ``cut_windows`` cuts a file."""
    audio = _Buffer(Path(), grid.sample_rate, promised_seconds=0.0)
    audio.samples, audio.is_complete = waveform, True
    yield from _cut(audio, grid, config)


def _cut(audio: "_Buffer", grid: FrameGrid, config: WindowConfig) -> Iterator[Window]:
    # Windows advance by what is taken of each, the frames between its two contexts, so that the taken spans
    # of neighbours touch: the first window also gives its first context, the last one its last.
    n_frames, n_context = (grid.seconds_to_frames(s) for s in (config.window_seconds, config.context_seconds))
    n_context = min(n_context, (n_frames - 1) // 2) if config.context_seconds else 0
    longest, step = n_frames * grid.hop_length, (n_frames - 2 * n_context) * grid.hop_length
    audio.reaches(longest)
    beginning = audio.cut(0, longest if config.wraps else 0)
    start = 0
    while audio.reaches(start + longest + 1):  # a sample beyond this window: another one follows
        taken = slice(n_context if start else 0, n_frames - n_context)
        waveform = audio.cut(start, start + longest)
        yield Window(waveform, taken, is_last=False, peaks=_peaks(waveform, grid)[taken])
        audio.forget(start)
        start += step
    audio.check_end()
    # The last window ends with the track; it starts earlier than its turn, to be as long as the others.
    last = max(0, -(-(audio.end - longest) // grid.hop_length) * grid.hop_length)
    first_taken = (start - last) // grid.hop_length + n_context if start else 0
    if n_frames == 1 and not config.wraps:  # a window is a frame, which may begin off the grid of frames
        last, first_taken = max(0, audio.end - longest), 0
    rest = audio.cut(last, audio.end)
    filled = np.concatenate([rest, beginning[: longest - len(rest)]])
    taken = slice(first_taken, None)
    own = audio.cut(start, audio.end) if n_frames == 1 else rest  # of which no other window has had any
    yield Window(filled, taken, is_last=True, peaks=_peaks(own, grid)[taken])


def _peaks(waveform: Float[np.ndarray, "sample"], grid: FrameGrid) -> Float[np.ndarray, "frame"]:
    """The largest absolute sample of each frame; the last one may be shorter."""
    firsts = np.arange(0, len(waveform), grid.hop_length)
    return np.maximum.reduceat(np.abs(waveform), firsts) if len(waveform) else np.zeros(0, np.float32)


class _Buffer:
    """The part of a file that is in memory: decoded when asked for, forgotten when used."""

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        promised_seconds: float,
        reader: AudioReader | None = None,
        judge: Callable[[], AudioInfo] | None = None,
    ) -> None:
        self.path, self.sample_rate, self.reader = path, sample_rate, reader
        self.promised_seconds, self.judge = promised_seconds, judge
        self.info: AudioInfo | None = None  # of a file that was judged
        self.samples = np.zeros(0, np.float32)
        self.start, self.is_complete = 0, False

    @property
    def end(self) -> int:
        """Sample of the track after the last one in memory."""
        return self.start + len(self.samples)

    def reaches(self, n_samples: int) -> bool:
        """Whether the track has so many samples; reads on until that is known."""
        n_wanted = round(SECONDS_AT_ONCE * self.sample_rate)
        while self.reader and self.end < n_samples and not self.is_complete:
            block = self.reader.read(self.end, n_wanted)
            self.is_complete = len(block) < n_wanted
            self.samples = np.concatenate([self.samples, block])
        return self.end >= n_samples

    def cut(self, start: int, stop: int) -> Float[np.ndarray, "sample"]:
        """Samples of the track that are in memory."""
        return self.samples[start - self.start : stop - self.start].copy()

    def forget(self, before: int) -> None:
        """Let go of the samples before ``before``."""
        self.samples = self.samples[before - self.start :]
        self.start = before

    def check_end(self) -> None:
        """Refuse a track without samples, or with fewer than promised; judge its file if that is wanted."""
        if self.judge:
            self.info = self.judge()
        seconds = samples_to_seconds(self.end, self.sample_rate)
        if not self.end:
            raise AudioError("holds no samples; copy or download it again", self.path)
        if self.promised_seconds - seconds > MISSING_SECONDS:
            raise AudioError(
                f"truncated: {seconds:.1f} of {self.promised_seconds:.1f} s can be decoded; "
                "copy or download it again",
                self.path,
            )
