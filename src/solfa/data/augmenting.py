"""Stored spectra, changed: louder, filtered, transposed, stretched; each clip by its own randomness.

What is changed here is changed for encoder and targets alike: it is what the clip sounds like. The floor of a
spectrum stays the floor: what is silent cannot be made louder.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from solfa.config import Config, Count, NotNegative, Share
from solfa.data.seeds import AUGMENT, TRANSPOSE, derived_seed
from solfa.data.stored_spectra import SpectraDescription
from solfa.errors import ArgumentError
from solfa.features import MelCQTConfig, MelCQTFrames

DECIBELS = 10 / math.log(10)  # to a neper of power
SEMITONES, MEL_SCALE, MEL_CORNER = 12, 2595, 700  # to an octave; of the HTK scale: 2595 log10(1 + f / 700)


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig(Config):
    """Bounds of the changes to clips of stored spectra."""

    gain_db: NotNegative = 10.0  # up or down
    equaliser_db: NotNegative = 9.0  # at each knot, up or down
    min_knots: Count = 4  # of the equaliser, evenly over the octaves; each number is as likely
    max_knots: Count = 6
    transposition_probability: Share = 0.5  # of a track, as long as an epoch lasts
    transposition_semitones: NotNegative = 3.0  # up or down, by resampling: pitch and speed move together
    stretch_probability: Share = 0.0  # likewise; it leaves pitch as it is
    stretch_share: Share = 0.1  # of its length, shorter or longer

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.min_knots <= self.max_knots:
            raise ArgumentError(
                f"An equaliser of {self.min_knots} to {self.max_knots} knots cannot be drawn. Set "
                "data.augmentation.min_knots to at least 2, and not above max_knots."
            )
        if self.transposition_semitones > SEMITONES or self.stretch_share > 0.5:
            raise ArgumentError(
                "More than an octave, or half of the length, is no music any more. Lower "
                "data.augmentation.transposition_semitones or stretch_share."
            )


@dataclass(frozen=True)
class Warp:
    """Transposition and stretch of a track."""

    semitones: float = 0.0  # upwards
    speed: float = 1.0  # by which it is faster, without being higher

    @property
    def pace(self) -> float:
        """Stored frames to a frame that is heard."""
        return 2 ** (self.semitones / SEMITONES) * self.speed


STILL = Warp()


class Augmentation:
    """Changes the spectra of one clip after the other.

    Args:
        config: how far.
        description: of the stored spectra.
    """

    def __init__(self, config: AugmentationConfig, description: SpectraDescription) -> None:
        self.config, self.description = config, description
        self.hz = (mel_hz(description.spectra), cqt_hz(description.spectra))
        self.floors_db = (description.mel_floor_db, description.cqt_floor_db)

    def warp_of(self, content_hash: str, seed: int, epoch: int) -> Warp:
        """The warp of a track, the same for all of its clips in an epoch.

        So views of one track that are to agree are never told apart by pitch or tempo.
        """
        track = int.from_bytes(hashlib.sha256(content_hash.encode()).digest()[:8])
        draws = np.random.default_rng(derived_seed(seed, epoch, track, TRANSPOSE)).uniform(size=4)
        config, semitones, speed = self.config, 0.0, 1.0
        if draws[0] < config.transposition_probability:
            semitones = config.transposition_semitones * (2 * float(draws[1]) - 1)
        if draws[2] < config.stretch_probability:
            speed = 1 / (1 + config.stretch_share * (2 * float(draws[3]) - 1))
        return Warp(semitones, speed)

    def warped(self, stored: MelCQTFrames, warp: Warp, n_frames: int) -> MelCQTFrames:
        """``n_frames`` out of ``frames_needed`` stored ones of one clip, along both of their axes."""
        if warp == STILL:
            return stored
        halves = []
        spectra, pace = self.description.spectra, warp.pace
        n_bins_up = warp.semitones * spectra.log_cqt.constant_q.bins_per_octave / SEMITONES
        # Where each new frame lies among the stored ones: a mel frame is centred where its quarter starts,
        # and a constant-Q frame in the middle of its hop: half a frame counts before and after the change.
        mel_places = pace * torch.arange(n_frames * spectra.n_stacked, dtype=torch.float64)
        cqt_places = pace * (torch.arange(n_frames, dtype=torch.float64) + 0.5) - 0.5
        mel_bands = mel_places_of(self.hz[0] / 2 ** (warp.semitones / SEMITONES), spectra)
        cqt_bins = torch.arange(len(self.hz[1]), dtype=torch.float64) - n_bins_up
        for values, frames, bands, floor in (
            (stored.mel[0], mel_places, mel_bands.clamp(min=0), self.floors_db[0]),
            (stored.cqt[0], cqt_places, cqt_bins, self.floors_db[1]),
        ):
            # Powers, and not decibels, are between those of neighbours where a tone is between two bands: the
            # filters are triangles, or nearly. Above the floor, so that what is silent stays so.
            power = (values / DECIBELS).exp() - math.exp(floor / DECIBELS)
            heard = interpolated(power, frames.clamp(0, len(power) - 1))
            is_known = (bands >= 0) & (bands <= heard.shape[1] - 1)
            moved = interpolated(heard.T, bands.clamp(0, heard.shape[1] - 1)).T
            sounds = is_known & (moved > 0)
            decibels = DECIBELS * (moved.clamp(min=0) + math.exp(floor / DECIBELS)).log()
            halves.append(decibels.where(sounds, decibels.new_tensor(floor))[None])
        return MelCQTFrames(*halves)

    def coloured(self, frames: MelCQTFrames, seed: int, number: int) -> MelCQTFrames:
        """A clip through an equaliser, and louder or softer."""
        rng = np.random.default_rng(derived_seed(seed, number, AUGMENT))
        gain_db = self.config.gain_db * rng.uniform(-1, 1)
        n_knots = int(rng.integers(self.config.min_knots, self.config.max_knots + 1))
        knots_db = self.config.equaliser_db * rng.uniform(-1, 1, n_knots)
        mel_db, cqt_db = (gain_db + response(knots_db, hz, self.description.spectra) for hz in self.hz)
        return MelCQTFrames(
            raised(frames.mel, mel_db, self.floors_db[0]), raised(frames.cqt, cqt_db, self.floors_db[1])
        )


def frames_needed(n_frames: int, warp: Warp) -> int:
    """Stored frames out of which so many are made."""
    return n_frames if warp == STILL else math.ceil(n_frames * warp.pace) + 1


def raised(
    decibels: Float[Tensor, "clip frame band"], by_db: Float[np.ndarray, " band"], floor_db: float
) -> Float[Tensor, "clip frame band"]:
    """Decibels with some added in each band; what is at the floor stays there, and nothing falls below."""
    changed = (decibels + torch.from_numpy(by_db).to(decibels)).clamp(min=floor_db)
    return changed.where(decibels > floor_db, decibels.new_tensor(floor_db))


def response(
    knots_db: Float[np.ndarray, " knot"], hz: Float[Tensor, " band"], spectra: MelCQTConfig
) -> Float[np.ndarray, " band"]:
    """Decibels of an equaliser at frequencies: a smooth curve over octaves that never exceeds its knots.

    Knots lie evenly from the first constant-Q bin to half the sample rate; below, the first one holds.
    """
    constant_q = spectra.log_cqt.constant_q
    low, high = math.log2(constant_q.f_min), math.log2(spectra.mel.sample_rate / 2)
    curve = PchipInterpolator(np.linspace(low, high, len(knots_db)), knots_db)
    return np.asarray(curve(np.log2(hz.numpy()).clip(low, high)), np.float32)


def interpolated(
    rows: Float[Tensor, "row column"], places: Float[Tensor, " place"]
) -> Float[Tensor, "place column"]:
    """Rows between rows, linearly; places are within the first and the last."""
    before = places.floor().long().clamp(max=len(rows) - 1)
    after = (before + 1).clamp(max=len(rows) - 1)
    share = (places - before).to(rows.dtype)[:, None]
    return rows[before] + share * (rows[after] - rows[before])  # exact between equal rows


def mel_hz(spectra: MelCQTConfig) -> Float[Tensor, " band"]:
    """Centres of the mel bands."""
    top = _mel(torch.tensor(spectra.mel.sample_rate / 2, dtype=torch.float64))
    corners = torch.linspace(0, 1, spectra.mel.n_mels + 2, dtype=torch.float64) * top
    return MEL_CORNER * (10 ** (corners[1:-1] / MEL_SCALE) - 1)


def mel_places_of(hz: Float[Tensor, " band"], spectra: MelCQTConfig) -> Float[Tensor, " band"]:
    """Where frequencies lie among the mel bands: 0 is the centre of the first."""
    top = _mel(torch.tensor(spectra.mel.sample_rate / 2, dtype=torch.float64))
    return _mel(hz) / top * (spectra.mel.n_mels + 1) - 1


def cqt_hz(spectra: MelCQTConfig) -> Float[Tensor, " bin"]:
    """Centres of the constant-Q bins."""
    constant_q = spectra.log_cqt.constant_q
    return torch.tensor([constant_q.frequency(k) for k in range(constant_q.n_bins)], dtype=torch.float64)


def _mel(hz: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    return MEL_SCALE * (1 + hz / MEL_CORNER).log10()
