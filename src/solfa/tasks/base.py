"""Task: a labelled data set as a probe sees it, and its items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from solfa.errors import SolfaError
from solfa.tasks.kinds import LabelKind, Span

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


Label = (
    int
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[Span, ...]
    | tuple[tuple[float, ...], ...]
    | tuple[Path, ...]
)


@dataclass(frozen=True)
class Item:
    """A labelled span of a file."""

    path: Path
    split: Split
    label: Label
    track: str  # predictions of items of the same track are averaged before they are scored
    group: str  # artist, piece, kit: what must not stand in two splits
    start: float = 0.0  # seconds
    seconds: float | None = None  # to the end of the file if None
    content: str = ""  # hash of the audio where it is known: must not stand in two splits
    soundfont: str = ""  # of rendered audio: what plays in test must not play elsewhere


@dataclass(frozen=True, kw_only=True)
class ClipRule:
    """Rule by which an item is cut into clips for the encoder (MARBLE v2)."""

    seconds: float | None  # None: the whole item at once
    min_ratio: float = 0.8  # a last clip that is shorter than this share of a clip is left out
    channel: Literal["first", "mean"] = "mean"
    n_most: int | None = None  # clips of an item that are kept, from its beginning; all if None
    frame_rate: float | None = None  # Hz; where an encoder has several frames for one of these, their mean


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set with its protocol. What cannot be said is the word "unknown", never a guess."""

    name: str  # as in ``solfa probe NAME``
    title: str
    kind: LabelKind[Any]
    metrics: tuple[str, ...]  # names of ``probing.scoring``; the first one chooses epoch, layer and rate
    clips: ClipRule
    licence: str
    size: str  # tracks, hours
    split_source: str  # whose split it is
    faults: str  # known errors in the data
    download: str  # what to fetch, from where, and how it must lie in the folder
    source: str  # paper of the data set, and of the protocol
    load: Callable[
        [Path], Sequence[Item]
    ]  # folder -> items; TaskError if it is not there or not as it must be
    averages: Literal["logits", "probabilities"] = "logits"  # of the clips and items of a track
    version: Callable[[Path], str] | None = None  # of the data: scores compare if it is equal
    folders: tuple[str, ...] = ()  # names its folder may have below a root of data; its own name if empty


class TaskError(SolfaError, ValueError):
    """Data that are missing or not as they must be; the message names the cure."""
