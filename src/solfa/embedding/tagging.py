"""Files -> what a tagger says of them, over the track and over time; a bad file is refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from solfa.data.refused import Refused, check_is_file, refusal
from solfa.embedding.windows import Window, WindowConfig, cut_judged
from solfa.frames import FrameGrid, samples_to_seconds
from solfa.models.checks import NotFiniteError
from solfa.models.tagger import Tagger

CLIPS_AT_ONCE = 8


@dataclass(frozen=True)
class TaggedSpan:
    """Answers of a tagger about a span of a track."""

    start: float  # seconds
    end: float
    answers: Float[Tensor, " label"]  # as ``Tagger.predict`` gives them


@dataclass(frozen=True)
class Tagged:
    """Answers of a tagger about a track, by the mean over its clips, and about each span."""

    path: Path
    answers: Float[Tensor, " label"]
    spans: tuple[TaggedSpan, ...]


@runtime_checkable
class ClipTagger(Protocol):
    """Something that says how well labels fit clips, and a track by the mean over its clips."""

    @property
    def grid(self) -> FrameGrid:
        """On which clips are cut."""
        ...

    @property
    def clip_seconds(self) -> float:
        """Length of its own clips."""
        ...

    def heard(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip value"]:
        """Values of each clip, whose mean over clips stands for the track; on the CPU."""
        ...

    def answers(self, heard: Float[Tensor, "clip value"]) -> Float[Tensor, "clip label"]:
        """Answers for such values."""
        ...


@dataclass(frozen=True)
class LearnedLabels:
    """A tagger with labels that it has learned: the mean over clips is that of its answers."""

    tagger: Tagger

    @property
    def grid(self) -> FrameGrid:
        """That of its encoder."""
        return self.tagger.grid

    @property
    def clip_seconds(self) -> float:
        """Of the clips that it learned from."""
        return self.tagger.config.clip_seconds

    def heard(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip value"]:
        """Its answers."""
        return self.tagger.predict(waveform).cpu()

    def answers(self, heard: Float[Tensor, "clip value"]) -> Float[Tensor, "clip label"]:
        """The same."""
        return heard


def tag_files(
    paths: Sequence[Path], tagger: Tagger | ClipTagger, *, clip_seconds: float | None = None
) -> Iterator[Tagged | Refused]:
    """What becomes of each file, in order; each is decoded once, and never in memory as a whole.

    Args:
        paths: audio files.
        tagger: in eval mode.
        clip_seconds: length of the spans that a track is cut into; that of the clips that it learned
            from if omitted. The last one ends with the track and is as long, so that it may overlap.

    Raises:
        NotFiniteError: the tagger answers with NaN, and no file is to blame.
    """
    says = LearnedLabels(tagger) if isinstance(tagger, Tagger) else tagger
    for path in paths:
        try:
            check_is_file(path)
            yield tag_file(path, says, clip_seconds)
        except NotFiniteError:
            raise
        except Exception as error:
            yield refusal(path, error)


@torch.no_grad()
def tag_file(path: Path, tagger: ClipTagger, clip_seconds: float | None = None) -> Tagged:
    """Answers of a tagger about one file. Raises AudioError if it cannot be read or would be refused."""
    cut = WindowConfig(window_seconds=clip_seconds or tagger.clip_seconds, context_seconds=0.0)
    windows = (window for window, _ in cut_judged(path, tagger.grid, cut))
    heard: list[Tensor] = []
    spans: list[TaggedSpan] = []
    while batch := list(islice(windows, CLIPS_AT_ONCE)):
        # Windows of a track are of one length: a shorter one is its only one.
        heard.append(tagger.heard(torch.stack([torch.from_numpy(window.waveform) for window in batch])))
        for window, answers in zip(batch, tagger.answers(heard[-1]), strict=True):
            spans.append(_span(window, answers, spans, tagger.grid))
    whole = tagger.answers(torch.cat(heard).mean(0)[None])[0]
    return Tagged(path, whole, tuple(spans))


def _span(window: Window, answers: Tensor, before: Sequence[TaggedSpan], grid: FrameGrid) -> TaggedSpan:
    """Where a window lies: it begins where the last one ended, less the frames that are not taken again."""
    overlap = samples_to_seconds((window.taken.start or 0) * grid.hop_length, grid.sample_rate)
    start = (before[-1].end if before else 0.0) - overlap
    return TaggedSpan(start, start + samples_to_seconds(len(window.waveform), grid.sample_rate), answers)
