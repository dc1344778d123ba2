"""Files -> probabilities of a tagger's labels, over the track and over time; a bad file is refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from solfa.data.refused import Refused, check_is_file, refusal
from solfa.embedding.windows import Window, WindowConfig, cut_judged
from solfa.frames import samples_to_seconds
from solfa.models.checks import NotFiniteError
from solfa.models.tagger import Tagger

CLIPS_AT_ONCE = 8


@dataclass(frozen=True)
class TaggedSpan:
    """What a tagger says of a span of a track."""

    start: float  # seconds
    end: float
    answers: Float[Tensor, " label"]  # as ``Tagger.predict`` gives them


@dataclass(frozen=True)
class Tagged:
    """What a tagger says of a track: the mean over its clips, and each span."""

    path: Path
    answers: Float[Tensor, " label"]
    spans: tuple[TaggedSpan, ...]


def tag_files(
    paths: Sequence[Path], tagger: Tagger, *, clip_seconds: float | None = None
) -> Iterator[Tagged | Refused]:
    """What becomes of each file, in order.

    Args:
        paths: audio files.
        tagger: in eval mode.
        clip_seconds: length of the spans that a track is cut into; that of the clips that it learned
            from if omitted. The last one ends with the track and is as long, so that it may overlap.

    Raises:
        NotFiniteError: the tagger answers with NaN, and no file is to blame.
    """
    for path in paths:
        try:
            check_is_file(path)
            yield _tag(path, tagger, clip_seconds or tagger.config.clip_seconds)
        except NotFiniteError:
            raise
        except Exception as error:
            yield refusal(path, error)


def _tag(path: Path, tagger: Tagger, clip_seconds: float) -> Tagged:
    cut = WindowConfig(window_seconds=clip_seconds, context_seconds=0.0)
    windows = (window for window, _ in cut_judged(path, tagger.grid, cut))
    spans: list[TaggedSpan] = []
    while batch := list(islice(windows, CLIPS_AT_ONCE)):
        for window, answers in zip(batch, _answers(batch, tagger), strict=True):
            spans.append(_span(window, answers, spans, tagger))
    joint = torch.stack([span.answers for span in spans]).mean(0)
    return Tagged(path, joint, tuple(spans))


def _answers(windows: Sequence[Window], tagger: Tagger) -> Float[Tensor, "window label"]:
    """Windows of a track are of one length: a shorter one is its only one."""
    device = next(tagger.parameters()).device
    waveform = torch.stack([torch.from_numpy(window.waveform) for window in windows])
    return tagger.predict(waveform.to(device)).cpu()


def _span(window: Window, answers: Tensor, before: Sequence[TaggedSpan], tagger: Tagger) -> TaggedSpan:
    """Where a window lies: it begins where the last one ended, less the frames that are not taken again."""
    overlap = samples_to_seconds((window.taken.start or 0) * tagger.grid.hop_length, tagger.sample_rate)
    start = (before[-1].end if before else 0.0) - overlap
    return TaggedSpan(start, start + samples_to_seconds(len(window.waveform), tagger.sample_rate), answers)
