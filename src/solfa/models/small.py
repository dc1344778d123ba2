"""SolfaSmallConfig, its frontend of mel and constant-Q frames, and its rotary Transformer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from solfa.config import Config, Finite, LayerNumber, Positive, Share
from solfa.errors import ArgumentError
from solfa.features import MelCQT, MelCQTConfig, MelCQTFrames
from solfa.features.exact import Fixed
from solfa.frames import FrameGrid
from solfa.models.encoder import AudioEncoder, Frontend, HiddenStates
from solfa.models.layers.linear import Linear
from solfa.models.layers.normalization import LayerNorm
from solfa.models.layers.rotary_transformer import RotaryTransformer, RotaryTransformerConfig

T = TypeVar("T", int, Tensor)

Halves = tuple[Literal["mel", "cqt"], ...]


@dataclass(frozen=True, kw_only=True)
class LevelsConfig(Config):
    """Mean and deviation of bands in decibels: at points spread evenly over them, straight lines between.

    A loud band would otherwise outweigh the others in whatever is made of them all.
    """

    mean_db: tuple[Finite, ...]
    std_db: tuple[Positive, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mean_db or len(self.mean_db) != len(self.std_db):
            raise ArgumentError(
                "mean_db and std_db belong to the same points: give as many of both, at least one."
            )


# Measured on 188 recordings of freely licensed music out of 23 packages, 20 s of each; none of them is held
# out by the free benchmark.
MEL_LEVELS = LevelsConfig(
    mean_db=(14.0, 11.4, 5.3, 0.7, -3.1, -6.8, -11.2, -15.2, -26.8),
    std_db=(19.7, 15.2, 14.8, 15.5, 17.5, 19.1, 21.1, 23.8, 27.6),
)
CQT_LEVELS = LevelsConfig(
    mean_db=(-55.2, -49.1, -50.0, -51.1, -52.8, -55.8, -59.1, -62.6),
    std_db=(15.2, 16.8, 14.8, 13.8, 13.2, 13.3, 14.0, 14.6),
)


@dataclass(frozen=True, kw_only=True)
class SolfaSmallConfig(Config):
    """An encoder for small budgets, of 5.7 M parameters: mel and constant-Q frames, seven layers of 256."""

    kind: Literal["solfa_small"] = "solfa_small"
    spectra: MelCQTConfig = field(default_factory=MelCQTConfig)
    mel_levels: LevelsConfig = MEL_LEVELS
    cqt_levels: LevelsConfig = CQT_LEVELS
    halves: Halves = ("mel", "cqt")  # that it hears; one of them alone, for comparison
    withheld_share: Share = 0.15  # of clips that lack their mel half in training, and of those without cqt
    transformer: RotaryTransformerConfig = field(default_factory=RotaryTransformerConfig)
    default_layer: LayerNumber = -1  # that vectors are made of when nobody names one

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.halves or len(set(self.halves)) < len(self.halves):
            raise ArgumentError(
                f"halves is {list(self.halves)}; choose one or both of mel and cqt, each once."
            )
        if self.withheld_share > 0.5:
            raise ArgumentError(
                f"withheld_share is {self.withheld_share:g}, but no clip can lack both halves: at most 0.5."
            )

    @property
    def grid(self) -> FrameGrid:
        """Where hidden states lie."""
        return self.spectra.grid


class Levels(Fixed):
    """Decibels of bands -> each band by the mean and deviation of its place; nothing here is learned."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: LevelsConfig, n_bands: int, n_stacked: int = 1) -> None:
        super().__init__()
        for name, points in (("mean", config.mean_db), ("std", config.std_db)):
            over_bands = np.interp(np.linspace(0, 1, n_bands), np.linspace(0, 1, len(points)), points)
            values = torch.from_numpy(over_bands).float().repeat(n_stacked)
            self.register_buffer(name, values, persistent=False)

    def forward(self, decibels: Float[Tensor, "clip frame band"]) -> Float[Tensor, "clip frame band"]:
        """About 0, and about as far from it in each band."""
        return (decibels - self.mean) / self.std


class Half(nn.Module):
    """One of the two spectra -> its part of a frame."""

    def __init__(self, levels: Levels, dim: int) -> None:
        super().__init__()
        self.levels = levels
        self.linear = Linear(len(levels.mean), dim)

    def forward(self, decibels: Float[Tensor, "clip frame band"]) -> Float[Tensor, "clip frame dim"]:
        """The part of each frame."""
        return self.linear(self.levels(decibels))


class SpectraFrontend(Frontend):
    """Mel and constant-Q frames -> a linear map of each, added up and normalised.

    A frame depends on its own spectra alone: what stands beside it can be left out, or hidden.
    """

    def __init__(self, config: SolfaSmallConfig) -> None:
        super().__init__()
        self.config, self.grid = config, config.grid
        self.spectra = MelCQT(config.spectra)
        spectra, dim = config.spectra, config.transformer.dim
        levels = {
            "mel": Levels(config.mel_levels, spectra.mel.n_mels, spectra.n_stacked),
            "cqt": Levels(config.cqt_levels, spectra.log_cqt.constant_q.n_bins),
        }
        self.halves = nn.ModuleDict({name: Half(levels[name], dim) for name in config.halves})
        if len(config.halves) > 1:
            self.withheld = nn.Parameter(0.5 * torch.randn(len(config.halves), dim))
        self.norm = LayerNorm(dim)

    def n_frames(self, n_samples: T) -> T:
        """Frames that lie wholly in a clip of ``n_samples``."""
        return self.spectra.n_frames(n_samples)

    def spectra_of(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> MelCQTFrames:
        """What ``embed`` takes, of audio; arguments and errors as in ``MelCQT``."""
        return self.spectra(waveform, lengths)

    def draw_withheld(self, generators: Sequence[torch.Generator]) -> Bool[Tensor, "clip half"] | None:
        """Which halves clips do without in training, at most one of a clip; None if there is one half only.

        Args:
            generators: each clip's own source of randomness.
        """
        if len(self.config.halves) < 2:
            return None
        drawn = torch.stack([torch.rand((), generator=generator) for generator in generators])
        drawn = drawn.to(self.withheld.device)
        share = self.config.withheld_share
        return torch.stack([drawn < share, drawn >= 1 - share], dim=1)

    def without(self, half: Literal["mel", "cqt"], n_clips: int) -> Bool[Tensor, "clip half"] | None:
        """What ``embed`` takes to withhold a half of all clips; None if the encoder has it not."""
        if half not in self.config.halves or len(self.config.halves) < 2:
            return None
        is_it = torch.tensor([name == half for name in self.config.halves], device=self.withheld.device)
        return is_it.expand(n_clips, -1)

    def embed(
        self, spectra: MelCQTFrames, withheld: Bool[Tensor, "clip half"] | None = None
    ) -> Float[Tensor, "clip frame dim"]:
        """Frames of stored or computed spectra.

        Args:
            spectra: in decibels.
            withheld: halves in whose place the learned vector stands, in the order of ``config.halves``.
        """
        decibels = {"mel": spectra.stacked_mel, "cqt": spectra.cqt}
        parts = [half(decibels[name]) for name, half in self.halves.items()]
        if withheld is not None:
            parts = [
                torch.where(withheld[:, n, None, None], self.withheld[n].to(part.dtype), part)
                for n, part in enumerate(parts)
            ]
        return self.norm(torch.stack(parts).sum(0))

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"] | None]:
        """Frames, and how many of each clip hold audio; None: all of them."""
        frames = self.embed(self.spectra_of(waveform, lengths))
        return frames, None if lengths is None else self.n_frames(lengths.to(frames.device))


class SolfaSmall(AudioEncoder):
    """Self-supervised music encoder for small budgets: linear maps of spectra, rotary Transformer at 25 Hz.

    No convolution: each frame is made of its own 40 ms of mel frames and of a constant-Q frame. So a
    training may leave most frames out, and spectra can be stored once in place of audio.

    Source:
        Linear maps of patches as in ViT, arXiv:2010.11929, and its masked autoencoders for audio,
        arXiv:2207.06405; mel and constant-Q views of one input as in OMAR-RQ, arXiv:2507.03482.
    """

    def __init__(self, config: SolfaSmallConfig, license: str = "") -> None:
        super().__init__(SpectraFrontend(config), RotaryTransformer(config.transformer), license)
        self.config: SolfaSmallConfig = config

    def of_spectra(self, spectra: MelCQTFrames, layers: Sequence[int]) -> HiddenStates:
        """Hidden states of stored or computed spectra; layers as in ``forward``."""
        assert isinstance(self.frontend, SpectraFrontend)
        numbers = self.layer_numbers(layers)
        hidden = self.context(self.frontend.embed(spectra), None, max(numbers))
        return HiddenStates(tuple(hidden.states[number] for number in numbers), hidden.n_frames)
