"""Transposition: a piece that is played higher must turn, on a circle of twelve, by as many semitones."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from solfa.config import Config, Count, NotNegative, Width
from solfa.data.clips import Clips
from solfa.data.seeds import VIEWS, derived_seed
from solfa.errors import ArgumentError
from solfa.features import LogConstantQConfig, MelCQTFrames
from solfa.models.layers.pooling import mean_state

SEMITONES = 12
LOWEST, HIGHEST = -5, 6  # semitones that a view is transposed by
CIRCLES = (1, 7)  # steps of a semitone, and of a fifth, make a whole turn in twelve


@dataclass(frozen=True, kw_only=True)
class TranspositionConfig(Config):
    """Strength of what makes states turn with the pitch; wants an encoder with a constant-Q half."""

    weight: NotNegative = 0.1  # of its loss in the sum
    one_clip_in: Count = 4  # of so many clips one is transposed, in two views that cost a pass each
    hidden_dim: Width = 128  # between the mean state and the twelve logits


class Views(NamedTuple):
    """Two transposed views of some clips, the first views first, and how far apart they are."""

    spectra: MelCQTFrames
    rows: Int[Tensor, " chosen"]  # places of the clips in their batch
    semitones: Int[Tensor, " chosen"]  # that the second view is higher than the first


class TranspositionOutput(NamedTuple):
    """What is said of the chosen clips."""

    rows: Int[Tensor, " chosen"]
    losses: Float[Tensor, " chosen"]
    is_right: Bool[Tensor, " chosen"]  # the interval is the likeliest of the twelve


Encode = Callable[[MelCQTFrames, Bool[Tensor, "view frame"]], Float[Tensor, "view frame dim"]]


class Transposition(nn.Module):
    """Two transposed views of a clip -> loss of telling the interval between them.

    A small head makes of the mean visible state a distribution p over twelve classes, which nobody names. Its
    place on a circle is z = sum of p_q exp(2 pi i w q / 12), with w = 1 for the circle of semitones and w = 7
    for that of fifths. Between views that lie k semitones apart the loss is
    |exp(2 pi i w k / 12) - conj(z_1) z_2|^2 / 2, the mean of both circles: zero if both views are sure of a
    class, and the classes k apart; one half if they say nothing.

    Views are bins moved up or down, three to a semitone with the usual settings. Whatever a view moves by,
    the outer bins, of which some view has lost the sound, are at the floor in all views: how many there are
    would otherwise tell the interval without a listen.

    Source:
        STONE, arXiv:2407.07408, and S-KEY, arXiv:2501.12907, which learn keys so.
    """

    def __init__(self, config: TranspositionConfig, dim: int, log_cqt: LogConstantQConfig) -> None:
        super().__init__()
        per_octave = log_cqt.constant_q.bins_per_octave
        if per_octave % SEMITONES:
            raise ArgumentError(
                f"{per_octave} bins to an octave are no whole number to a semitone. "
                "Make bins_per_octave a multiple of 12, or set objective.transposition to null."
            )
        self.config, self.dim = config, dim
        self.floor_db, self.bins = log_cqt.floor_db, per_octave // SEMITONES
        self.head = nn.Sequential(
            nn.Linear(dim, config.hidden_dim), nn.GELU(), nn.Linear(config.hidden_dim, SEMITONES)
        )

    def forward(
        self, clips: Clips, spectra: MelCQTFrames, visible: Bool[Tensor, "clip frame"], encode: Encode
    ) -> TranspositionOutput:
        """Losses of one clip in so many; of none, perhaps, in a small batch.

        Args:
            clips: their numbers decide which are chosen, and how they are transposed.
            spectra: of these clips.
            visible: frames that the encoder may look at.
            encode: spectra of views without their mel half, and their visible frames -> last hidden states.
        """
        views = self._views(clips, spectra)
        seen = visible[views.rows].repeat(2, 1)
        with torch.autocast(visible.device.type, enabled=False):
            if len(views.rows):
                pooled = mean_state(encode(views.spectra, seen).float(), seen)
            else:  # the head takes part all the same: ranks wait for its gradients
                pooled = torch.zeros(0, self.dim, device=visible.device)
            first, second = self.head(pooled).softmax(-1).chunk(2)
            turns = torch.stack([_turn(first, second, circle) for circle in CIRCLES], dim=1)
            return TranspositionOutput(
                views.rows, _distance(turns, views.semitones), _interval(turns) == views.semitones % SEMITONES
            )

    def _views(self, clips: Clips, spectra: MelCQTFrames) -> Views:
        rows = (clips.numbers % self.config.one_clip_in == 0).nonzero()[:, 0].to(spectra.cqt.device)
        drawn = [_two_shifts(clips.seed, int(clips.numbers[row])) for row in rows]
        first, second = torch.tensor(drawn, dtype=torch.long).reshape(-1, 2).unbind(1)
        of_both = spectra.mapped(lambda values: values[rows].repeat(2, 1, 1))
        cqt = transposed(of_both.cqt, torch.cat([first, second]), self.bins, self.floor_db)
        return Views(replace(of_both, cqt=cqt), rows, (second - first).to(rows.device))


def transposed(
    cqt: Float[Tensor, "clip frame bin"], semitones: Int[Tensor, " clip"], bins: int, floor_db: float
) -> Float[Tensor, "clip frame bin"]:
    """Constant-Q frames moved up by so many semitones of ``bins`` bins, each clip by its own number.

    The lowest ``6 * bins`` and the highest ``5 * bins`` bins are at the floor, however far a clip is moved.
    """
    n = cqt.shape[-1]
    kept = torch.arange(HIGHEST * bins, n + LOWEST * bins, device=cqt.device)
    if not len(kept):
        raise ArgumentError(
            f"{n} bins are not more than the {(HIGHEST - LOWEST) * bins} that transposing takes from their "
            "ends. Raise n_bins of constant_q, or set objective.transposition to null."
        )
    moved = torch.full_like(cqt, floor_db)
    for row, shift in enumerate(semitones.tolist()):
        moved[row, :, kept] = cqt[row, :, kept - shift * bins]
    return moved


def _two_shifts(seed: int, number: int) -> tuple[int, int]:
    """Two different transpositions, in semitones, from a clip's own randomness."""
    generator = torch.Generator().manual_seed(derived_seed(seed, number, VIEWS))
    first, second = torch.randperm(HIGHEST - LOWEST + 1, generator=generator)[:2].tolist()
    return first + LOWEST, second + LOWEST


def _turn(
    first: Float[Tensor, "clip twelve"], second: Float[Tensor, "clip twelve"], circle: int
) -> Float[Tensor, "clip two"]:
    """conj(z_1) z_2 on a circle: its real and its imaginary part."""
    angle = 2 * math.pi * circle * torch.arange(SEMITONES, device=first.device) / SEMITONES
    basis = torch.stack([angle.cos(), angle.sin()], dim=1)
    (a, b), (c, d) = (first @ basis).unbind(1), (second @ basis).unbind(1)
    return torch.stack([a * c + b * d, a * d - b * c], dim=1)


def _expected(semitones: Int[Tensor, " n"]) -> Float[Tensor, "n circle two"]:
    """exp(2 pi i w k / 12) for both circles."""
    circles = torch.tensor(CIRCLES, device=semitones.device)
    angle = 2 * math.pi * (circles * semitones[:, None] % SEMITONES) / SEMITONES
    return torch.stack([angle.cos(), angle.sin()], dim=2)


def _distance(
    turns: Float[Tensor, "clip circle two"], semitones: Int[Tensor, " clip"]
) -> Float[Tensor, " clip"]:
    return (turns - _expected(semitones)).square().sum(2).mean(1) / 2


@torch.no_grad()
def _interval(turns: Float[Tensor, "clip circle two"]) -> Int[Tensor, " clip"]:
    """Which of the twelve intervals fits the turns best."""
    every = _expected(torch.arange(SEMITONES, device=turns.device))
    return torch.einsum("rct,kct->rk", turns, every).argmax(1)
