"""Spectra of clips mixed into each other: what is heard is two recordings, what is to be predicted is one."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from solfa import distributed
from solfa.config import Config, NotNegative, Share
from solfa.data.clips import Clips
from solfa.data.seeds import MIX
from solfa.errors import ArgumentError
from solfa.features import MelCQTConfig, MelCQTFrames

DECIBELS = 10 / math.log(10)  # to a neper of power


@dataclass(frozen=True, kw_only=True)
class SpectraMixingConfig(Config):
    """Add a whole other clip, softer, to a clip: as powers."""

    mixing_probability: Share = 0.3  # that a clip gets another
    least_db: NotNegative = 3.0  # by which the other is softer on average
    most_db: NotNegative = 15.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least_db > self.most_db:
            raise ArgumentError(
                f"Clips that are {self.least_db:g} to {self.most_db:g} dB softer cannot be drawn. Set "
                "objective.spectra_mixing.least_db not above most_db."
            )


class SpectraMixing:
    """Clips -> the same clips with others in them; decided by each clip's own randomness.

    The others are all clips of other tracks in the same forward pass on all ranks, as they were before, so
    that a run is the same however it is shared. Two sounds that know nothing of each other add up as powers.

    Args:
        config: how often, and how loud.
        spectra: what the spectra are; their floor is silence, and adds nothing.

    Source:
        In-batch mixture of MERT, arXiv:2306.00107, on spectra. Departs from it: the whole of another clip,
        always softer, is added.
    """

    def __init__(self, config: SpectraMixingConfig, spectra: MelCQTConfig) -> None:
        self.config = config
        self.floors_db = (10 * math.log10(max(spectra.mel.floor_power, 1e-37)), spectra.log_cqt.floor_db)

    def __call__(self, clips: Clips, spectra: MelCQTFrames) -> MelCQTFrames:
        """Spectra to listen to. A clip without others stays as it is. A call is collective."""
        device = spectra.mel.device
        numbers = distributed.all_gather(clips.numbers.to(device))
        order = numbers.argsort()
        tracks = distributed.all_gather(clips.tracks.to(device))[order]
        mel, cqt = (distributed.all_gather(half)[order] for half in (spectra.mel, spectra.cqt))
        louder = [half.clone() for half in (spectra.mel, spectra.cqt)]
        for row, generator in enumerate(clips.generators(MIX)):
            drawn = torch.rand(3, generator=generator).tolist()
            others = (tracks != clips.tracks[row].to(device)).nonzero()[:, 0]
            if drawn[0] >= self.config.mixing_probability or not len(others):
                continue
            other = int(others[int(drawn[1] * len(others))])
            softer_db = self.config.least_db + drawn[2] * (self.config.most_db - self.config.least_db)
            by_db = self._level(spectra.mel[row]) - self._level(mel[other]) - softer_db
            for half, of_others, floor in zip(louder, (mel, cqt), self.floors_db, strict=True):
                half[row] = sum_of(half[row], of_others[other], by_db, floor)
        return MelCQTFrames(*louder)

    def _level(self, mel: Float[Tensor, "frame mel"]) -> Float[Tensor, ""]:
        """Mean power of a clip, in decibels."""
        return DECIBELS * (torch.logsumexp(mel / DECIBELS, (0, 1)) - math.log(mel.numel()))


def mixed_clips(mixing: SpectraMixing, clips: Clips) -> Clips:
    """Clips whose spectra are those to listen to."""
    return clips if clips.spectra is None else replace(clips, spectra=mixing(clips, clips.spectra))


def sum_of(
    own: Float[Tensor, "frame band"],
    other: Float[Tensor, "frame band"],
    by_db: Float[Tensor, ""],
    floor_db: float,
) -> Float[Tensor, "frame band"]:
    """Decibels of two powers together, the other one raised by some decibels; a floor adds nothing."""
    both = DECIBELS * torch.logaddexp(own / DECIBELS, (other + by_db) / DECIBELS)
    return both.where((other > floor_db) & (other + by_db > floor_db), own)
