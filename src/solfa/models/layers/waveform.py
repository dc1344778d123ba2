"""WaveformConvolutions: samples -> frames, by a stack of 1-D convolutions without padding."""

from dataclasses import dataclass
from math import prod
from typing import Literal, TypeVar

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, Stride, Width
from solfa.features.exact import exact, unrounded
from solfa.models.checks import values_of
from solfa.models.layers.normalization import LayerNorm

T = TypeVar("T", int, Tensor)

SAMPLES_AT_ONCE = 2**20  # through all convolutions: the first one makes 400 bytes of each, three times over


@dataclass(frozen=True, kw_only=True)
class WaveformConvolutionsConfig(Config):
    """Sizes of the convolutions; the defaults are those of every published MERT."""

    n_channels: Width = 512
    kernels: tuple[Width, ...] = (10, 3, 3, 3, 3, 2, 2)  # samples, then steps of the layer before
    strides: tuple[Stride, ...] = (5, 2, 2, 2, 2, 2, 2)
    norm: Literal["time", "channels"] = "time"  # over time after the first one, or over channels after each
    has_bias: bool = False

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return prod(self.strides)

    @property
    def shortest(self) -> int:
        """Samples that one frame sees."""
        n = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            n = (n - 1) * stride + kernel
        return n


class WaveformConvolutions(nn.Module):
    """Waveform -> frames. A frame sees no sample beyond the clip's end, however long the padding is.

    Source:
        wav2vec 2.0, arXiv:2006.11477, as HuBERT and MERT, arXiv:2306.00107, use it.
    """

    def __init__(self, config: WaveformConvolutionsConfig) -> None:
        super().__init__()
        self.config = config
        widths = [1] + [config.n_channels] * len(config.kernels)
        self.blocks = nn.ModuleList()
        for n_in, n_out, kernel, stride in zip(
            widths[:-1], widths[1:], config.kernels, config.strides, strict=True
        ):
            convolution = nn.Conv1d(n_in, n_out, kernel, stride, bias=config.has_bias)
            nn.init.kaiming_normal_(convolution.weight)
            self.blocks.append(_Block(convolution, self._norm(is_first=n_in == 1)))

    def _norm(self, is_first: bool) -> "TimeNorm | ChannelNorm | Unchanged":
        if self.config.norm == "channels":
            return ChannelNorm(self.config.n_channels)
        return TimeNorm(self.config.n_channels) if is_first else Unchanged()

    def n_frames(self, n_samples: T) -> T:
        """Frames of a clip of ``n_samples``: a number, or one for each clip."""
        for kernel, stride in zip(self.config.kernels, self.config.strides, strict=True):
            n_samples = _n_steps(n_samples, kernel, stride)
        return n_samples

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame channel"]:
        """Frames; those beyond a clip's end have no meaning.

        Args:
            waveform: mono.
            lengths: samples of audio in each clip, the rest being padding; all of them if omitted.
        """
        if torch.compiler.is_compiling():  # a graph is of one shape, and a loop would fix how often it runs
            return rearrange(self._frames(waveform, lengths), "clip channel frame -> clip frame channel")
        clips_at_once = max(1, SAMPLES_AT_ONCE // waveform.shape[1])
        waveforms = waveform.split(clips_at_once)
        n_samples = [None] * len(waveforms) if lengths is None else lengths.split(clips_at_once)
        frames = [self._frames(w, n) for w, n in zip(waveforms, n_samples, strict=True)]
        return rearrange(torch.cat(frames), "clip channel frame -> clip frame channel")

    def _frames(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None
    ) -> Float[Tensor, "clip channel frame"]:
        x = waveform[:, None]
        for block, kernel, stride in zip(self.blocks, self.config.kernels, self.config.strides, strict=True):
            lengths = None if lengths is None else _n_steps(lengths, kernel, stride)
            x = block(x, lengths)
        return x


class _Block(nn.Module):
    """Convolution, normalisation, GELU."""

    def __init__(self, convolution: nn.Conv1d, norm: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = norm

    def forward(
        self, x: Float[Tensor, "clip channel_in step"], n_steps: Int[Tensor, " clip"] | None
    ) -> Float[Tensor, "clip channel shorter"]:
        """The next steps, of which ``n_steps`` of each clip hold audio."""
        return F.gelu(self.norm(self.convolution(x), n_steps))


class TimeNorm(nn.Module):
    """Each channel of each clip to mean 0 and variance 1 over the clip's own time; in float32."""

    def __init__(self, n_channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))

    def forward(
        self, x: Float[Tensor, "clip channel step"], n_steps: Int[Tensor, " clip"] | None
    ) -> Float[Tensor, "clip channel step"]:
        """Normalised steps; zeros beyond a clip's end."""
        if n_steps is None:
            return self._normalized(x)
        numbers, longest = values_of(n_steps), x.shape[2]
        if numbers is None:
            return self._normalized_inside(x, n_steps)
        if not numbers:
            return self._normalized(x)
        # Clip by clip, so that each clip's sums are the very ones that it has alone.
        clips = [
            F.pad(self._normalized(clip[None, :, :n]), (0, longest - n))
            for clip, n in zip(x, numbers, strict=True)
        ]
        return torch.cat(clips)

    def _normalized(self, x: Float[Tensor, "clip channel step"]) -> Float[Tensor, "clip channel step"]:
        with unrounded(x.device):
            normalized = F.group_norm(exact(x), x.shape[1], exact(self.weight), exact(self.bias), self.eps)
            return normalized.to(x.dtype)

    def _normalized_inside(
        self, x: Float[Tensor, "clip channel step"], n_steps: Int[Tensor, " clip"]
    ) -> Float[Tensor, "clip channel step"]:
        """The same for clips whose lengths nobody knows yet, as in a traced program."""
        with unrounded(x.device):
            n = n_steps[:, None, None]
            inside = torch.arange(x.shape[2], device=x.device) < n
            mean = exact(x).where(inside, 0).sum(2, keepdim=True) / n
            centred = (exact(x) - mean).where(inside, 0)
            scale = (centred.square().sum(2, keepdim=True) / n + self.eps).rsqrt()
            normalized = centred * scale * exact(self.weight)[:, None] + exact(self.bias)[:, None]
            return normalized.where(inside, 0).to(x.dtype)


class ChannelNorm(LayerNorm):
    """Each step to mean 0 and variance 1 over its channels; in float32."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "clip channel step"], n_steps: Int[Tensor, " clip"] | None
    ) -> Float[Tensor, "clip channel step"]:
        """Normalised steps; where a clip ends makes no difference."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2).to(x.dtype)


class Unchanged(nn.Module):
    """No normalisation."""

    def forward(
        self, x: Float[Tensor, "clip channel step"], n_steps: Int[Tensor, " clip"] | None
    ) -> Float[Tensor, "clip channel step"]:
        """The same steps."""
        return x


def _n_steps(n: T, kernel: int, stride: int) -> T:
    """Steps that a convolution without padding makes of ``n``."""
    return (n - kernel) // stride + 1
