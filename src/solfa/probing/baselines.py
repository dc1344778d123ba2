"""Baselines: what encoders are compared with in the same table, under names of their own."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.config import Config, Hertz, Hop, Width
from solfa.errors import ArgumentError
from solfa.features import (
    MFCC,
    Chroma,
    ChromaConfig,
    LogConstantQ,
    LogConstantQConfig,
    LogMel,
    LogMelConfig,
    MFCCConfig,
)
from solfa.features.exact import InFloat32
from solfa.frames import FrameGrid
from solfa.models import AudioEncoder, ClipEncoder, EncoderConfig, ModelError, build_encoder, load_encoder
from solfa.models.encoder import Frontend, padding_mask
from solfa.models.mulan import NoContext
from solfa.models.musicnn import FrameFrontend, MusiCNNEncoder, PatchFrontend
from solfa.models.published.musicnn import load_musicnn

T = TypeVar("T", int, Tensor)

UNTRAINED, UNTRAINED_SEED = "untrained", 0
MUSICNN = {"musicnn": "MSD_musicnn", "musicnn-mtt": "MTT_musicnn"}
HOP_LENGTH = 960  # samples of 24 kHz: 25 frames a second, as MuQ
MEL = LogMelConfig(hop_length=HOP_LENGTH)


@dataclass(frozen=True)
class Baseline:
    """Features for a probe in place of an encoder's: for some other ones for clips than for frames.

    ``clips`` and ``frames`` have one configuration and one set of weights; each has a single layer. How they
    are read out is said by the probe, as for any encoder.
    """

    clips: AudioEncoder
    frames: AudioEncoder
    is_raw: bool = False  # of no common scale: standardised before a head reads them

    @property
    def n_layers(self) -> int:
        """Layers after the first: none."""
        return 0


@dataclass(frozen=True, kw_only=True)
class StatisticsConfig(Config):
    """Mel bands, constant-Q bins or both, in decibels."""

    kind: Literal["statistics"] = "statistics"
    mel: LogMelConfig | None = MEL
    log_cqt: LogConstantQConfig | None = None


@dataclass(frozen=True, kw_only=True)
class MFCCChromaConfig(Config):
    """Coefficients with two slopes, and twelve pitch classes."""

    kind: Literal["mfcc_chroma"] = "mfcc_chroma"
    mfcc: MFCCConfig = field(default_factory=lambda: MFCCConfig(mel=MEL))
    chroma: ChromaConfig = field(
        default_factory=lambda: ChromaConfig(n_fft=4096, hop_length=HOP_LENGTH, n_bins=12)
    )


@dataclass(frozen=True, kw_only=True)
class RandomConfig(Config):
    """White noise: what a head makes of it is chance. More than that shows equal samples in two splits."""

    kind: Literal["random"] = "random"
    sample_rate: Hertz = 24_000  # Hz
    hop_length: Hop = HOP_LENGTH  # samples
    dim: Width = 64


def is_baseline(name: str) -> bool:
    """Whether a name is a baseline's; no folder of that name is looked for."""
    return name in FIXED or name.partition(":")[0] in (UNTRAINED, *MUSICNN)


def load_baseline(name: str, device: str | torch.device = "cpu") -> Baseline | AudioEncoder:
    """The baseline of that name, in eval mode.

    Args:
        name: ``log-mel`` (mel bands), ``log-cqt`` (constant-Q bins, 36 to an octave), ``log-mel+cqt`` or
            ``statistics`` (both), all in decibels, ``mfcc-chroma`` (coefficients, slopes and pitch
            classes), each dimension
            standardised; ``random`` (noise that depends on the clip's samples),
            ``untrained:MODEL`` (MODEL, as for ``solfa.load``, with fresh weights), ``musicnn`` (learned from
            the Million Song Dataset) or ``musicnn-mtt`` (from MagnaTagATune), or ``musicnn:FOLDER`` with
            what ``tools/convert_musicnn.py`` wrote.
        device: where it computes.

    Raises:
        ModelError: there is no such baseline, or its weights are not there; the message names the cure.
    """
    kind, _, rest = name.partition(":")
    if name in FIXED:
        with InFloat32():
            return FIXED[name](device)
    if kind in MUSICNN:
        network = load_musicnn(MUSICNN[kind], Path(rest).expanduser() if rest else None).to(device)
        with InFloat32():
            clips, frames = (MusiCNNEncoder(part(network)).eval() for part in (PatchFrontend, FrameFrontend))
        return Baseline(clips.to(device), frames.to(device))
    if kind == UNTRAINED and rest:
        return untrained(load_encoder(rest, device)).to(device)
    raise ModelError(
        f"There is no baseline '{name}'. Known are {', '.join(FIXED)}, {UNTRAINED}:MODEL and "
        f"{', '.join(MUSICNN)}."
    )


def untrained(encoder: AudioEncoder) -> AudioEncoder:
    """The encoder with fresh random weights, always the same ones, in eval mode.

    Raises:
        ModelError: the audio side of a music-text model, which does not stand alone.
    """
    if isinstance(encoder, ClipEncoder):
        raise ModelError("A music-text model has no untrained version. Name an encoder: untrained:MODEL.")
    config: EncoderConfig = encoder.config  # type: ignore[assignment]  # attributes of modules have no type
    with torch.random.fork_rng(devices=[]), InFloat32():
        torch.manual_seed(UNTRAINED_SEED)
        return build_encoder(config).eval().requires_grad_(False)


class FixedEncoder(AudioEncoder):
    """Features that nobody learned, where an encoder is expected: one layer, without context."""

    def __init__(self, config: Config, frontend: Frontend, dim: int) -> None:
        super().__init__(frontend, NoContext(dim))
        self.config = config


class FeatureFrontend(Frontend):
    """Clips -> the frames of some features, one beside the other.

    Args:
        features: modules with equal grids.
        grid: theirs.
    """

    def __init__(self, features: Sequence[nn.Module], grid: FrameGrid) -> None:
        super().__init__()
        self.features, self.grid = nn.ModuleList(features), grid

    def n_frames(self, n_samples: T) -> T:
        """Frames that lie wholly in a clip of ``n_samples``."""
        return n_samples // self.grid.hop_length

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"]]:
        """Frames, and how many of each clip hold audio."""
        n_frames = self.n_frames(_all_lengths(waveform) if lengths is None else lengths)
        frames = torch.cat([feature(waveform, lengths) for feature in self.features], -1)
        return frames.masked_fill(padding_mask(n_frames, frames.shape[1])[..., None], 0), n_frames


class RandomFrontend(Frontend):
    """Clips -> noise, the same for the same samples."""

    def __init__(self, config: RandomConfig) -> None:
        super().__init__()
        self.grid, self.dim = FrameGrid(config.sample_rate, config.hop_length), config.dim
        self.register_buffer("place", torch.zeros(()), persistent=False)  # by which its device is known

    def n_frames(self, n_samples: T) -> T:
        """Frames that lie wholly in a clip of ``n_samples``."""
        return n_samples // self.grid.hop_length

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"]]:
        """Frames, and how many of each clip hold audio."""
        lengths = _all_lengths(waveform) if lengths is None else lengths
        n_frames = self.n_frames(lengths)
        if len(n_frames) and int(n_frames.min()) < 1:
            raise ArgumentError(f"A clip needs {self.grid.hop_length} samples for a frame. Leave it out.")
        noise = torch.zeros(len(waveform), self.n_frames(waveform.shape[1]), self.dim, dtype=torch.float32)
        for row, clip, length, n in zip(noise, waveform, lengths.tolist(), n_frames.tolist(), strict=True):
            row[:n] = self._noise(clip[:length], n)
        return noise.to(waveform.device), n_frames

    def _noise(self, clip: Float[Tensor, " sample"], n_frames: int) -> Float[Tensor, "frame dim"]:
        digest = hashlib.sha256(clip.detach().float().cpu().contiguous().numpy().tobytes()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        return torch.randn(n_frames, self.dim, generator=generator, dtype=torch.float32)


def _statistics(config: StatisticsConfig, device: str | torch.device) -> Baseline:
    features: list[nn.Module] = []
    dim = 0
    if config.mel is not None:
        features.append(LogMel(config.mel))
        dim += config.mel.n_mels
    if config.log_cqt is not None:
        features.append(LogConstantQ(config.log_cqt))
        dim += config.log_cqt.constant_q.n_bins
    return _fixed(config, features, dim, device)


def _mfcc_chroma(device: str | torch.device) -> Baseline:
    config = MFCCChromaConfig()
    mfcc, chroma = MFCC(config.mfcc), Chroma(config.chroma)
    return _fixed(config, [mfcc, chroma], mfcc.dim + config.chroma.n_bins, device)


def _random(device: str | torch.device) -> Baseline:
    config = RandomConfig()
    encoder = FixedEncoder(config, RandomFrontend(config), config.dim).to(device).eval()
    return Baseline(encoder, encoder, is_raw=True)


def _fixed(config: Config, features: Sequence[nn.Module], dim: int, device: str | torch.device) -> Baseline:
    frontend = FeatureFrontend(features, MEL.grid)
    encoder = FixedEncoder(config, frontend, dim).to(device).eval()
    return Baseline(encoder, encoder, is_raw=True)


def _all_lengths(waveform: Float[Tensor, "clip sample"]) -> Int[Tensor, " clip"]:
    return torch.full(waveform.shape[:1], waveform.shape[1], device=waveform.device)


FIXED: dict[str, Callable[[str | torch.device], Baseline]] = {
    "log-mel": partial(_statistics, StatisticsConfig()),
    "log-cqt": partial(_statistics, StatisticsConfig(mel=None, log_cqt=LogConstantQConfig())),
    "log-mel+cqt": partial(_statistics, StatisticsConfig(log_cqt=LogConstantQConfig())),
    "statistics": partial(_statistics, StatisticsConfig(log_cqt=LogConstantQConfig())),  # the better one
    "mfcc-chroma": _mfcc_chroma,
    "random": _random,
}
