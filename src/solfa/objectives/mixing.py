"""Clips of a batch mixed into each other: what is heard is noisy, what is to be predicted is not."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from solfa import distributed
from solfa.config import Config, Count, Seconds, Share
from solfa.data.clips import Clips
from solfa.data.seeds import MIX
from solfa.errors import ArgumentError
from solfa.frames import FrameGrid

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BatchMixingConfig(Config):
    """Add spans of other clips to a clip (MERT)."""

    mixing_probability: Share = 0.5  # that a clip gets spans at all
    max_pieces: Count = 3  # of a clip that gets any; each number from 1 is as likely
    min_seconds: Seconds = 0.5  # of a span
    max_seconds: Seconds = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.min_seconds <= self.max_seconds:
            raise ArgumentError(
                f"Pieces of {self.min_seconds:g} to {self.max_seconds:g} s cannot be drawn. "
                "Set mixing.min_seconds above zero and not above mixing.max_seconds."
            )
        super().__post_init__()


@dataclass(frozen=True)
class MixedSpan:
    """A span of other clips that is added to a clip, in samples."""

    n_samples: int
    start: int  # in the other clips, one after the other
    position: int  # in the clip that it is added to


class BatchMixing:
    """Clips -> the same clips with spans of the others in them; decided by each clip's own randomness.

    The others are all clips of the same forward pass on all ranks, in the order of their numbers, one after
    the other; a span may begin in one and end in the next. Pieces are added as loud as they are, and are
    always of the clips as they were before. A call is collective: every rank makes it.

    So every rank is given the waveforms of all: half a megabyte for a clip of 5 s, 245 MB for 64 ranks of 8.
    Mixing within a rank would spare that, and a run would then be another for each number of ranks. Beside
    the gradients that ranks exchange in a step, 1.3 GB of MERT-330M, it is little.

    Source:
        In-batch noise mixture of MERT, arXiv:2306.00107, after WavLM, arXiv:2110.13900. Departs from the
        code: the others are those of all ranks, not of one, so that a run is the same however it is shared.
    """

    def __init__(self, config: BatchMixingConfig, grid: FrameGrid) -> None:
        self.config = config
        self.shortest = grid.seconds_to_samples(config.min_seconds)
        self.longest = grid.seconds_to_samples(config.max_seconds)
        self.was_alone = False

    def __call__(self, clips: Clips) -> Clips:
        """Clips to listen to. A clip without others stays as it is.

        Raises:
            ValueError: clips are shorter than a span, or are spectra that were stored.
        """
        n_samples, device = clips.waveform.shape[1], clips.waveform.device
        if clips.spectra is not None and not n_samples:
            raise ArgumentError(
                "Stored spectra cannot be mixed as audio is. Set objective.mixing to null, or leave out "
                "data.spectra."
            )
        if n_samples < self.longest:
            raise ArgumentError(
                f"Clips of {n_samples} samples are shorter than a span to mix in, {self.longest}. Lower "
                "objective.mixing.max_seconds or raise data.clip_seconds."
            )
        numbers = distributed.all_gather(clips.numbers.to(device))
        order = numbers.argsort()
        everyone = distributed.all_gather(clips.waveform)[order].flatten()
        if len(numbers) == 1:
            self._say_alone()
            return clips
        places = torch.searchsorted(numbers[order], clips.numbers.to(device)).tolist()
        mixed = clips.waveform.clone()
        for row, place, generator in zip(mixed, places, clips.generators(MIX), strict=True):
            for span in self.spans(n_samples, (len(numbers) - 1) * n_samples, generator):
                end = span.position + span.n_samples
                row[span.position : end] += _of_others(everyone, span, place * n_samples, n_samples)
        return replace(clips, waveform=mixed, spectra=None)

    def spans(self, n_samples: int, n_others: int, generator: torch.Generator) -> Iterator[MixedSpan]:
        """Draw what is added to a clip of ``n_samples``, out of ``n_others`` samples."""
        if float(torch.rand((), generator=generator)) >= self.config.mixing_probability:
            return
        for _ in range(_draw(1, self.config.max_pieces, generator)):
            length = _draw(self.shortest, self.longest, generator)
            start = _draw(0, n_others - self.longest, generator)
            yield MixedSpan(length, start, _draw(0, n_samples - length, generator))

    def _say_alone(self) -> None:
        if not self.was_alone:
            log.warning("A forward pass of one clip has no others to mix in; raise --clips-per-device.")
        self.was_alone = True


def _of_others(
    everyone: Float[Tensor, " sample"], span: MixedSpan, own_start: int, n_own: int
) -> Float[Tensor, " span"]:
    """Samples of a span, counted as if the clip that begins at ``own_start`` were not among everyone."""
    index = torch.arange(span.start, span.start + span.n_samples, device=everyone.device)
    return everyone[index + n_own * (index >= own_start)]


def _draw(lowest: int, highest: int, generator: torch.Generator) -> int:
    """A whole number, each from ``lowest`` to ``highest`` as likely."""
    return int(torch.randint(lowest, highest + 1, (), generator=generator))
