"""musicnn: a convolutional tagger whose filters are shaped by timbre and rhythm; a baseline for encoders."""

import math
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.config import Bins, Config, Hertz, Hop, Layers, Width, Window
from solfa.features.filtered_power import FilteredPower
from solfa.frames import FrameGrid
from solfa.models.encoder import AudioEncoder, Frontend, padding_mask
from solfa.models.layers.normalization import BatchNorm
from solfa.models.mulan import NoContext

T = TypeVar("T", int, Tensor)

NORM_EPS = 1e-3  # TensorFlow's
LOG_GAIN = 10_000.0


@dataclass(frozen=True, kw_only=True)
class MusiCNNConfig(Config):
    """The published shapes."""

    kind: Literal["musicnn"] = "musicnn"
    weights: str = ""  # as the package that they come from names them
    sample_rate: Hertz = 16_000  # Hz
    n_fft: Window = 512  # samples
    hop_length: Hop = 256  # samples
    n_mels: Bins = 96
    n_timbral: Width = 204  # filters of each height
    timbral_mels: tuple[Bins, ...] = (38, 67)  # heights: 0.4 and 0.7 of the mel bands
    timbral_frames: Width = 7
    n_temporal: Width = 51  # filters of each length
    temporal_frames: tuple[Width, ...] = (128, 64, 32)
    n_middle: Width = 64  # filters of each of the layers that follow
    n_middle_layers: Layers = 3
    middle_frames: Width = 7
    penultimate_dim: Width = 200
    n_tags: Width = 50
    patch_frames: Width = 187  # that are tagged as one: 3 s
    frames_per_state: Width = 2  # mel frames whose mean is a frame for probes: 31.25 Hz

    @property
    def n_front(self) -> int:
        """Filters of the front end."""
        return len(self.timbral_mels) * self.n_timbral + len(self.temporal_frames) * self.n_temporal

    @property
    def dim(self) -> int:
        """Width of a frame: front end and all layers that follow."""
        return self.n_front + self.n_middle_layers * self.n_middle


@dataclass(frozen=True)
class PatchStates:
    """Output of the back end for patches."""

    pooled: Float[Tensor, "patch pooled"]  # maximum and mean of each number of a frame in turns, normalised
    penultimate: Float[Tensor, "patch penultimate"]
    logits: Float[Tensor, "patch tag"]


class MusiCNN(nn.Module):
    """Log-mel patches -> tags, through a front end, layers that see all before them, and pooling over time.

    Source:
        Pons, Serra, musicnn: pre-trained convolutional neural networks for music audio tagging,
        arXiv:1909.06654; Pons et al., End-to-end learning for music audio tagging at scale, arXiv:1711.02520.
    """

    def __init__(self, config: MusiCNNConfig, tags: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.config, self.tag_names = config, tags
        self.norm = BatchNorm(1, NORM_EPS)
        self.timbral = nn.ModuleList(
            _NormalisedConv(nn.Conv2d(1, config.n_timbral, (config.timbral_frames, n)))
            for n in config.timbral_mels
        )
        self.temporal = nn.ModuleList(
            _NormalisedConv(nn.Conv2d(1, config.n_temporal, (n, 1))) for n in config.temporal_frames
        )
        widths = [config.n_front, *[config.n_middle] * (config.n_middle_layers - 1)]
        self.middle = nn.ModuleList(
            _NormalisedConv(nn.Conv1d(n, config.n_middle, config.middle_frames)) for n in widths
        )
        self.pooled_norm = BatchNorm(2 * config.dim, NORM_EPS)
        self.penultimate = nn.Linear(2 * config.dim, config.penultimate_dim)
        self.penultimate_norm = BatchNorm(config.penultimate_dim, NORM_EPS)
        self.to_tags = nn.Linear(config.penultimate_dim, config.n_tags)

    def frames(
        self, log_mel: Float[Tensor, "clip frame mel"], n_frames: Int[Tensor, " clip"]
    ) -> Float[Tensor, "clip frame dim"]:
        """What front end and middle layers say of each frame; later ones than ``n_frames`` are zero."""
        padding = padding_mask(n_frames, log_mel.shape[1])[:, None]
        image = self.norm(log_mel[:, None]).masked_fill(padding[..., None], 0)
        branches = [block(image).amax(3) for block in (*self.timbral, *self.temporal)]
        heard = [torch.cat(branches, 1).masked_fill(padding, 0)]
        state = self.middle[0](heard[0]).masked_fill(padding, 0)
        heard.append(state)
        for layer in self.middle[1:]:
            state = (state + layer(state)).masked_fill(padding, 0)
            heard.append(state)
        return torch.cat(heard, 1).transpose(1, 2)

    def forward(self, patches: Float[Tensor, "patch frame mel"]) -> PatchStates:
        """Tags of patches, before the sigmoid, and what leads to them."""
        n_frames = torch.full(patches.shape[:1], patches.shape[1], device=patches.device)
        frames = self.frames(patches, n_frames)
        pooled = self.pooled_norm(torch.stack([frames.amax(1), frames.mean(1)], -1).flatten(1))
        penultimate = self.penultimate_norm(self.penultimate(pooled).relu())
        return PatchStates(pooled, penultimate, self.to_tags(penultimate))


class _NormalisedConv(nn.Module):
    """A convolution over clips that are padded in time, its positive part, and that normalised."""

    def __init__(self, conv: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        n_frames = conv.kernel_size[0]
        other_axes = [0, 0] * (len(conv.kernel_size) - 1)
        self.padding = [*other_axes, (n_frames - 1) // 2, n_frames // 2]
        self.norm = BatchNorm(conv.out_channels, NORM_EPS)

    def forward(self, frames: Tensor) -> Tensor:
        return self.norm(self.conv(nn.functional.pad(frames, self.padding)).relu())


class MusiCNNMel(nn.Module):
    """Waveform -> the log-mel frames that musicnn takes: log10(1 + 10000 power).

    Departs from the published program, which rounds the power to half precision first.
    """

    def __init__(self, config: MusiCNNConfig) -> None:
        super().__init__()
        filters = slaney_filters(config.n_mels, config.n_fft, config.sample_rate)
        self.power = FilteredPower(filters, FrameGrid(config.sample_rate, config.hop_length))

    def n_frames(self, n_samples: T) -> T:
        """Frames of a clip of ``n_samples``: a number, or one for each clip."""
        return self.power.n_frames(n_samples)

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "clip frame mel"]:
        """Log-mel frames; arguments and errors as in ``FilteredPower``."""
        return (1 + LOG_GAIN * self.power(waveform, lengths)).log10()


class PatchFrontend(Frontend):
    """Clips -> a frame for each patch of 3 s: what is pooled, and the penultimate layer.

    What is left after the last whole patch is not heard; a clip shorter than one patch is repeated.
    """

    def __init__(self, network: MusiCNN) -> None:
        super().__init__()
        config = network.config
        self.dim = 2 * config.dim + config.penultimate_dim
        self.network, self.mel, self.patch_frames = network, MusiCNNMel(config), config.patch_frames
        self.grid = FrameGrid(config.sample_rate, config.hop_length * config.patch_frames)

    def n_frames(self, n_samples: T) -> T:
        """Patches of a clip of ``n_samples``, at least one."""
        n_patches = self.mel.n_frames(n_samples) // self.patch_frames
        return n_patches.clamp(min=1) if isinstance(n_patches, Tensor) else max(1, n_patches)

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"] | None]:
        """Frames, and how many of each clip are patches of it."""
        states = self.network(self.patches(waveform, lengths))
        n_most = self.n_frames(waveform.shape[1])
        frames = torch.cat([states.pooled, states.penultimate], 1).unflatten(0, (waveform.shape[0], n_most))
        if lengths is None:
            return frames, None
        n_patches = self.n_frames(lengths)
        return frames.masked_fill(padding_mask(n_patches, n_most)[..., None], 0), n_patches

    def patches(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> Float[Tensor, "patch frame mel"]:
        """The patches of all clips, one after the other; those beyond a clip's end have no meaning."""
        log_mel = self.mel(waveform, lengths)
        n_mel: int | Tensor = log_mel.shape[1]
        if lengths is not None:
            n_mel = self.mel.n_frames(lengths)[:, None]
        n_patches = self.n_frames(waveform.shape[1])
        # A clip shorter than a patch begins again.
        places = torch.arange(n_patches * self.patch_frames, device=waveform.device)[None] % n_mel
        clips = torch.arange(waveform.shape[0], device=waveform.device)[:, None]
        found = log_mel[clips, places.expand(waveform.shape[0], -1)]
        return found.unflatten(1, (n_patches, self.patch_frames)).flatten(0, 1)


class FrameFrontend(Frontend):
    """Clips -> frames of front end and middle layers, the mean of some each."""

    def __init__(self, network: MusiCNN) -> None:
        super().__init__()
        config = network.config
        self.dim = config.dim
        self.network, self.mel, self.n_each = network, MusiCNNMel(config), config.frames_per_state
        self.grid = FrameGrid(config.sample_rate, config.hop_length * config.frames_per_state)

    def n_frames(self, n_samples: T) -> T:
        """Frames that lie wholly in a clip of ``n_samples``."""
        return n_samples // self.grid.hop_length

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], Int[Tensor, " clip"]]:
        """Frames, and how many of each clip hold audio."""
        lengths = _lengths(waveform) if lengths is None else lengths
        frames = self.network.frames(self.mel(waveform, lengths), self.mel.n_frames(lengths))
        n_frames = self.n_frames(lengths)
        n_most = self.n_frames(waveform.shape[1])
        means = frames[:, : n_most * self.n_each].unflatten(1, (n_most, self.n_each)).mean(2)
        return means.masked_fill(padding_mask(n_frames, n_most)[..., None], 0), n_frames


class MusiCNNEncoder(AudioEncoder):
    """musicnn where an encoder is expected: one layer, without context."""

    def __init__(self, frontend: PatchFrontend | FrameFrontend) -> None:
        config = frontend.network.config
        super().__init__(frontend, NoContext(frontend.dim), "ISC")
        self.config: MusiCNNConfig = config


def slaney_filters(n_mels: int, n_fft: int, sample_rate: int) -> Float[Tensor, "mel bin"]:
    """Triangles of area one, evenly spaced on Slaney's mel scale from 0 Hz to half the sample rate.

    Source:
        Slaney, Auditory Toolbox, 1998: 15 mel up to 1 kHz, and 27 from there to 6.4 kHz, evenly in the
        logarithm.
    """
    step = math.log(6.4) / 27
    mel = torch.linspace(0, 15 + math.log(sample_rate / 2 / 1000) / step, n_mels + 2, dtype=torch.float64)
    corners = torch.where(mel < 15, mel * 200 / 3, 1000 * ((mel - 15) * step).exp())
    frequencies = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    distance, widths = corners[:, None] - frequencies[None], corners.diff()
    triangles = torch.minimum(-distance[:-2] / widths[:-1, None], distance[2:] / widths[1:, None])
    return (triangles.clamp(min=0) * 2 / (corners[2:] - corners[:-2])[:, None]).float()


def _lengths(waveform: Float[Tensor, "clip sample"]) -> Int[Tensor, " clip"]:
    return torch.full(waveform.shape[:1], waveform.shape[1], device=waveform.device)
