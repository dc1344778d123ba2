"""RVQVAE: a codec of waveforms, learned from nothing; RVQVAECodes: its codes as a target."""

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa import checkpoint, runs
from solfa.config import Config, Hertz, Positive, Stride, Width, from_dict
from solfa.data.clips import Clips
from solfa.errors import ArgumentError
from solfa.frames import FrameGrid
from solfa.precision import full_float32
from solfa.runs import Run
from solfa.targets.base import Codes, CodesShape, Target, TargetError
from solfa.targets.ema_quantizer import EMAResidualQuantizer, EMAResidualQuantizerConfig
from solfa.targets.quantizer import ResidualVectorQuantizer, ResidualVectorQuantizerConfig

FRAMES_AT_ONCE = 3000  # coded in one go: bounds the memory for long audio


@dataclass(frozen=True, kw_only=True)
class RVQVAEConfig(Config):
    """Convolutions down to 75 frames a second, residual quantization, and convolutions back up."""

    sample_rate: Hertz = 24_000  # Hz
    strides: tuple[Stride, ...] = (8, 5, 4, 2)  # from the waveform down
    n_channels: tuple[Width, ...] = (64, 128, 256, 256)  # after each stride
    dilations: tuple[Stride, ...] = (1, 3)  # of the residual units after each stride
    gain: Positive = 10.0  # of the waveform on its way in, undone on its way out: music is seldom loud
    quantizer: EMAResidualQuantizerConfig | ResidualVectorQuantizerConfig = field(
        default_factory=EMAResidualQuantizerConfig
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.strides) != len(self.n_channels):
            raise ArgumentError(
                f"{len(self.strides)} strides and {len(self.n_channels)} n_channels: name as many of each."
            )

    @property
    def grid(self) -> FrameGrid:
        """Where the codes lie."""
        return FrameGrid(self.sample_rate, prod(self.strides))


class RVQVAE(nn.Module):
    """Waveform -> codes -> waveform.

    The first convolution is a learned filter bank of overlapping windows, the last one its counterpart, so
    that nothing is computed at the full sample rate. Convolutions see no further than ``margin_frames``, so
    audio of any length is coded piece by piece without a seam.

    Source:
        SoundStream, arXiv:2107.03312; EnCodec, arXiv:2210.13438. Departs from them: no recurrence, strides
        from the largest to the smallest, and a filter bank at both ends, because that costs a tenth.
    """

    def __init__(self, config: RVQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.grid
        self.encoder = _encoder(config)
        self.quantizer = build_codec_quantizer(config)
        self.decoder = _decoder(config)

    @property
    def margin_frames(self) -> int:
        """Frames on each side that can change a frame of the codes, or a hop of the decoded waveform."""
        return _margin_frames(self.config)

    def frames(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip frame dim"]:
        """Frames before quantization; a last hop that is not whole is filled with zeros."""
        return _frames(self.encoder, waveform, self.config)

    def waveform(self, frames: Float[Tensor, "clip frame dim"]) -> Float[Tensor, "clip sample"]:
        """The waveform that frames stand for: whole hops."""
        return self.decoder(rearrange(frames, "clip frame dim -> clip dim frame"))[:, 0] / self.config.gain

    @torch.no_grad()
    def encode(self, waveform: Float[Tensor, "clip sample"]) -> Int[Tensor, "clip codebook frame"]:
        """Codes of a waveform of any length, in bounded memory."""
        return _codes(self.encoder, self.quantizer, waveform, self.config)

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "clip codebook frame"]) -> Float[Tensor, "clip sample"]:
        """The waveform that codes stand for, in bounded memory; whole hops."""
        hop, margin, n_frames = self.grid.hop_length, self.margin_frames, codes.shape[2]
        parts = []
        for start in range(0, n_frames, FRAMES_AT_ONCE):
            first, last = max(0, start - margin), min(n_frames, start + FRAMES_AT_ONCE + margin)
            part = self.waveform(self.quantizer.decode(codes[:, :, first:last]))
            parts.append(part[:, (start - first) * hop :][:, : FRAMES_AT_ONCE * hop])
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def roundtrip(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip sample"]:
        """The waveform through its codes, as long as it was."""
        return self.decode(self.encode(waveform))[:, : waveform.shape[1]]


@dataclass(frozen=True, kw_only=True)
class RVQVAECodesConfig(Config):
    """Codes of a codec that was fitted to music beforehand: the acoustic teacher of MERT, home-made."""

    kind: Literal["rvq_vae"] = "rvq_vae"
    codec: RVQVAEConfig = field(default_factory=RVQVAEConfig)
    fitted: str = ""  # run folder of rvq_vae; given on the command line

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(self.codec.quantizer.n_codebooks, self.codec.quantizer.codebook_size)


class RVQVAECodes(Target):
    """Codes of an RVQ-VAE; its decoder is not kept.

    Source:
        RVQ-VAE as the acoustic teacher of MERT, arXiv:2306.00107.
    """

    def __init__(self, config: RVQVAECodesConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.codec.grid
        self.encoder = _encoder(config.codec)
        self.quantizer = build_codec_quantizer(config.codec)

    @property
    def context_samples(self) -> int:
        """As far as its convolutions see, rounded up."""
        return _margin_frames(self.config.codec) * self.grid.hop_length

    def load_fitted(self) -> None:
        """Read the fitted codec.

        Raises:
            TargetError: none was named, or it does not fit this configuration.
        """
        if not self.config.fitted:
            raise TargetError(
                "RVQ-VAE targets need a fitted codec. Fit one with 'solfa train rvq_vae --out RUN "
                "--set data.manifest=tracks.jsonl' and name it with "
                "'--set objective.predictions.0.target.fitted=RUN'."
            )
        fitted = load_codec(self.config.fitted)
        if fitted.config != self.config.codec:
            raise TargetError(
                f"The codec of {self.config.fitted} is {fitted.config}, but this run wants "
                f"{self.config.codec}. Set objective.predictions.0.target.codec to agree with it."
            )
        self.encoder.load_state_dict(fitted.encoder.state_dict())
        self.quantizer.load_state_dict(fitted.quantizer.state_dict())

    @torch.no_grad()
    def forward(self, clips: Clips) -> Codes:
        """Codes of the clean clips; a last hop that is not whole has a frame too."""
        codes = _codes(self.encoder, self.quantizer, clips.waveform, self.config.codec)
        return Codes(codes, self.config.codec.quantizer.codebook_size)


def load_codec(folder: str | Path) -> RVQVAE:
    """The codec that the run in ``folder`` fitted; frozen, in eval mode.

    Args:
        folder: a run folder of ``rvq_vae``, or one of its ``step-*`` folders.

    Raises:
        TargetError: there is no codec; the message names the cure.
    """
    folder = Path(folder)
    config = codec_settings(folder)
    with runs.explained(folder, TargetError):
        weights = Run(folder).part("codec.")
        checkpoint.check_sizes(config, weights)
        codec = RVQVAE(config)
        codec.load_state_dict(weights)
    return codec.eval().requires_grad_(False)


def codec_settings(folder: Path) -> RVQVAEConfig:
    """What the codec of the run in ``folder`` is.

    Raises:
        TargetError: there is no codec; the message names the cure.
    """
    absent = f"No codec at {folder}. Fit one with: solfa train rvq_vae --out {folder}"
    with runs.opened(folder, TargetError, absent) as run:
        settings = run.objective.get("codec")
        if settings is not None:
            return from_dict(RVQVAEConfig, settings)
    raise TargetError(
        f"The run in {folder} has no codec. Fit one with: solfa train rvq_vae --out runs/rvq_vae"
    )


def build_codec_quantizer(config: RVQVAEConfig) -> EMAResidualQuantizer | ResidualVectorQuantizer:
    """The quantizer that ``config`` describes."""
    match config.quantizer:
        case EMAResidualQuantizerConfig():
            return EMAResidualQuantizer(config.quantizer)
        case ResidualVectorQuantizerConfig():
            return ResidualVectorQuantizer(config.quantizer)


# --- the convolutions ---------------------------------------------------------------------------------------


class _Kernel(nn.Module):
    """Weights of a convolution, kept as a matrix: so Muon, which is for matrices, may train them."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        surplus = dilation * (kernel - 1) + 1 - stride  # that a kernel is longer than its stride
        self.before, self.after = surplus // 2, surplus - surplus // 2
        self.weight = nn.Parameter(torch.empty(n_out, n_in * kernel))
        self.bias = nn.Parameter(torch.zeros(n_out))
        bound = (n_in * kernel) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)


class _Down(_Kernel):
    """A convolution: ``n * stride`` steps -> ``n`` steps."""

    def forward(self, x: Float[Tensor, "clip channel step"]) -> Float[Tensor, "clip wider fewer"]:
        weight = self.weight.unflatten(1, (-1, self.kernel))
        padded = F.pad(x, (self.before, self.after))
        return F.conv1d(padded, weight, self.bias, self.stride, dilation=self.dilation)


class _Up(_Kernel):
    """Its counterpart: ``n`` steps -> ``n * stride`` steps."""

    def forward(self, x: Float[Tensor, "clip channel step"]) -> Float[Tensor, "clip narrower more"]:
        weight = rearrange(self.weight, "n_out (n_in kernel) -> n_in n_out kernel", kernel=self.kernel)
        longer = F.conv_transpose1d(x, weight, self.bias, self.stride)
        return longer[:, :, self.before : longer.shape[2] - self.after]


class _ResidualUnit(nn.Module):
    """Adds to its input what a narrow, dilated convolution makes of it."""

    def __init__(self, n_channels: int, dilation: int) -> None:
        super().__init__()
        self.narrow = _Down(n_channels, n_channels // 2, 3, dilation=dilation)
        self.wide = _Down(n_channels // 2, n_channels, 1)

    def forward(self, x: Float[Tensor, "clip channel step"]) -> Float[Tensor, "clip channel step"]:
        return x + self.wide(F.elu(self.narrow(F.elu(x))))


class _UnitPower(nn.Module):
    """Each frame at a mean square of one: or else soft sounds share few codes and loud ones take the rest."""

    def forward(self, x: Float[Tensor, "clip channel step"]) -> Float[Tensor, "clip channel step"]:
        return x * (x.square().mean(1, keepdim=True) + 1e-6).rsqrt()


def _kernels(config: RVQVAEConfig) -> list[int]:
    """Of the strided convolutions; the filter bank has windows of four hops."""
    return [(4 if i == 0 else 2) * stride for i, stride in enumerate(config.strides)]


def _encoder(config: RVQVAEConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    n_in = 1
    for stride, kernel, n_out in zip(config.strides, _kernels(config), config.n_channels, strict=True):
        layers += [nn.ELU()] if layers else []
        layers += [_Down(n_in, n_out, kernel, stride)]
        layers += [_ResidualUnit(n_out, dilation) for dilation in config.dilations]
        n_in = n_out
    return nn.Sequential(*layers, nn.ELU(), _Down(n_in, config.quantizer.dim, 3), _UnitPower())


def _decoder(config: RVQVAEConfig) -> nn.Sequential:
    layers: list[nn.Module] = [_Down(config.quantizer.dim, config.n_channels[-1], 3)]
    outs = [1, *config.n_channels[:-1]]
    stages = list(zip(config.strides, _kernels(config), config.n_channels, outs, strict=True))
    for stride, kernel, n_in, n_out in reversed(stages):
        layers += [_ResidualUnit(n_in, dilation) for dilation in config.dilations]
        layers += [nn.ELU(), _Up(n_in, n_out, kernel, stride)]
    return nn.Sequential(*layers)


def _margin_frames(config: RVQVAEConfig) -> int:
    """Reach of encoder or decoder to a side, in frames, rounded up."""
    reach, step = 0, 1  # in samples
    for stride, kernel in zip(config.strides, _kernels(config), strict=True):
        reach += (kernel - stride + 1) // 2 * step
        step *= stride
        reach += sum(config.dilations) * step
    return -(-(reach + step) // step) + 1


def _frames(
    encoder: nn.Module, waveform: Float[Tensor, "clip sample"], config: RVQVAEConfig
) -> Float[Tensor, "clip frame dim"]:
    padded = F.pad(config.gain * waveform[:, None], (0, -waveform.shape[1] % config.grid.hop_length))
    return rearrange(encoder(padded), "clip dim frame -> clip frame dim")


def _codes(
    encoder: nn.Module,
    quantizer: EMAResidualQuantizer | ResidualVectorQuantizer,
    waveform: Float[Tensor, "clip sample"],
    config: RVQVAEConfig,
) -> Int[Tensor, "clip codebook frame"]:
    """Codes, some frames at a time; each piece hears the margin on both sides."""
    hop, margin, parts = config.grid.hop_length, _margin_frames(config), []
    # In half precision, neighbouring codes would be confused.
    with full_float32(waveform.device):
        for start in range(0, -(-waveform.shape[1] // hop), FRAMES_AT_ONCE):
            first = max(0, start - margin)
            piece = waveform[:, first * hop : (start + FRAMES_AT_ONCE + margin) * hop].float()
            frames = _frames(encoder, piece, config)[:, start - first :][:, :FRAMES_AT_ONCE]
            parts.append(quantizer.encode(frames))
    return torch.cat(parts, dim=2)
