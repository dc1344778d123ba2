"""TeacherCodes: codes of another encoder's layers side by side, each brought to its main directions."""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from solfa.config import Between, Config, Hertz, Hop, Width
from solfa.data.clips import Clips
from solfa.data.stored_frames import ClipStates
from solfa.errors import ArgumentError
from solfa.frames import FrameGrid
from solfa.precision import full_float32
from solfa.targets.base import Codes, CodesShape, FittableTarget, Origin, TargetError, Values
from solfa.targets.residual_kmeans import ResidualKMeans, ResidualKMeansConfig

LEAST_VARIANCE = 1e-6  # of a direction, times that of the first: one below it is rounding, and becomes zero

TaughtLayers = Annotated[int, Between(1, 100, "axis")]


@dataclass(frozen=True, kw_only=True)
class TeacherCodesConfig(Config):
    """Codes of a teacher's hidden states; its sizes are filled in at the start of a run."""

    kind: Literal["teacher_codes"] = "teacher_codes"
    sample_rate: Hertz = 24_000  # Hz
    hop_length: Hop = 960  # samples; of the encoder that learns
    n_layers: TaughtLayers = 2  # of the teacher, side by side
    layer_dim: Width = 1024  # of each
    n_directions: Width = 64  # of each that are kept: those in which it varies most
    quantizer: ResidualKMeansConfig = field(
        default_factory=lambda: ResidualKMeansConfig(dim=128, codebook_size=256)
    )

    @property
    def grid(self) -> FrameGrid:
        """Where the codes lie."""
        return FrameGrid(self.sample_rate, self.hop_length)

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(self.quantizer.n_codebooks, self.quantizer.codebook_size)


class TeacherCodes(FittableTarget):
    """Codes of the hidden states that clips carry, whether a teacher just made them or they were stored.

    Each layer is whitened: of its main directions, all vary by 1. So a loud layer, or a few loud dimensions,
    do not take all codes. Directions, codebooks, and which encoder and layers they belong to are found once,
    at the start of a run, and are part of its weights: a run that goes on fits nothing anew.

    Source:
        Codes of other models' layers side by side as in MERT-v2; residual k-means as in SoundStream,
        arXiv:2107.03312.
    """

    mean: Tensor
    directions: Tensor
    source: Tensor
    quantizer: ResidualKMeans

    def __init__(self, config: TeacherCodesConfig) -> None:
        super().__init__()
        n_layers, n_directions = config.n_layers, config.n_directions
        if config.quantizer.dim != n_layers * n_directions or n_directions > config.layer_dim:
            raise ArgumentError(
                f"{n_directions} directions of each of {n_layers} layers {config.layer_dim} wide are to be "
                f"quantized, and quantizer.dim is {config.quantizer.dim}. Keep no more directions than a "
                f"layer is wide, and make quantizer.dim {n_layers * n_directions}."
            )
        self.config = config
        self.grid = config.grid
        self.register_buffer("mean", torch.zeros(n_layers, config.layer_dim))
        self.register_buffer("directions", torch.zeros(n_layers, config.layer_dim, n_directions))
        self.register_buffer("source", torch.zeros(32, dtype=torch.uint8))
        self.quantizer = ResidualKMeans(config.quantizer)

    @property
    def context_samples(self) -> int:
        """Zero: frames are quantized one at a time."""
        return 0

    @torch.no_grad()
    def fit_statistics(self, clips: Clips) -> None:
        """Find the main directions of each layer, and take down which encoder and layers these are."""
        hidden = self._hidden(clips)
        for number, rows in enumerate(self._layers(hidden).flatten(0, 1).unbind(1)):
            mean, directions = main_directions(rows, self.config.n_directions)
            self.mean[number], self.directions[number] = mean, directions
        self.source.copy_(_digest(hidden.source))

    @torch.no_grad()
    def frames_to_quantize(self, clips: Clips) -> Float[Tensor, "clip frame dim"]:
        """Whitened frames of the teacher, its layers side by side.

        Raises:
            TargetError: the clips carry none, or those of another encoder or layers, or of another width.
        """
        hidden = self._hidden(clips)
        if not torch.equal(self.source.cpu(), _digest(hidden.source)):
            raise TargetError(
                f"The teacher's frames ({hidden.source}) are of another encoder or of other layers than "
                "those that this run began with. Name the same teacher again, or begin another run."
            )
        with full_float32(hidden.values.device):
            # Each layer less its mean, times its own matrix: one product for each layer.
            centred = self._layers(hidden) - self.mean
            frames = torch.einsum("cfld,ldk->cflk", centred, self.directions)
        return frames.flatten(2)

    @torch.no_grad()
    def forward(self, clips: Clips) -> Codes:
        """Codes of what the clips carry."""
        frames = self.frames_to_quantize(clips)
        origin = Origin(frames, self.quantizer.squared_distances)
        return Codes(self.quantizer.encode(frames), self.config.quantizer.codebook_size, origin)

    def _with_context(self, clips: Clips) -> Codes | Values:
        """What clips carry has heard its context, and is of the clips alone."""
        return self(clips)

    def _layers(self, hidden: ClipStates) -> Float[Tensor, "clip frame layer dim"]:
        values = on_grid(hidden.values.float(), hidden.grid, self.grid)
        return rearrange(values, "clip frame (layer dim) -> clip frame layer dim", layer=self.config.n_layers)

    def _hidden(self, clips: Clips) -> ClipStates:
        hidden, config = clips.hidden, self.config
        if hidden is None:
            raise TargetError(
                "Codes of a teacher are wanted, and the clips carry none of its frames. Train with 'solfa "
                "train distill', which names a teacher: --set objective.teacher=MODEL, or --set "
                "data.teacher=HIDDEN, a folder of 'solfa embed --frames'."
            )
        if hidden.values.shape[2] != config.n_layers * config.layer_dim:
            raise TargetError(
                f"The teacher's frames ({hidden.source}) are {hidden.values.shape[2]} wide, and this run "
                f"wants {config.n_layers} layers of {config.layer_dim}. Leave n_layers and layer_dim of the "
                "target out: they are filled in."
            )
        return hidden


def main_directions(
    rows: Float[Tensor, "row dim"], n_directions: int
) -> tuple[Float[Tensor, " dim"], Float[Tensor, "dim direction"]]:
    """The mean of rows, and the directions in which they vary most, each divided by their deviation in it.

    The product of both with rows has mean 0 and deviation 1 in each direction, and no two go together; a
    direction in which rows do not vary becomes zero.
    """
    exact = rows.double()
    mean = exact.mean(0)
    centred = exact - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))  # the smallest first
    variances, vectors = variances.flip(0)[:n_directions], vectors.flip(1)[:, :n_directions]
    varies = variances > LEAST_VARIANCE * variances[0].clamp(min=1e-30)
    scale = torch.where(varies, variances.clamp(min=1e-30).rsqrt(), 0.0)
    return mean.to(rows.dtype), (vectors * scale).to(rows.dtype)


def on_grid(
    frames: Float[Tensor, "clip frame dim"], given: FrameGrid, wanted: FrameGrid
) -> Float[Tensor, "clip other dim"]:
    """Frames on another grid: means of those that share a frame of it, or each as often as it lasts.

    Raises:
        TargetError: one of the grids has no whole number of frames in a frame of the other.
    """
    if given.sample_rate == wanted.sample_rate and wanted.hop_length % given.hop_length == 0:
        return _means(frames, wanted.hop_length // given.hop_length)
    if given.sample_rate == wanted.sample_rate and given.hop_length % wanted.hop_length == 0:
        return frames.repeat_interleave(given.hop_length // wanted.hop_length, dim=1)
    raise TargetError(
        f"The teacher gives {given.frame_rate:g} frames a second at {given.sample_rate} Hz, which are no "
        f"whole number in each of the {wanted.frame_rate:g} frames at {wanted.sample_rate} Hz of the encoder "
        "that learns. Choose another teacher, or an encoder whose frames fit."
    )


def _means(frames: Float[Tensor, "clip frame dim"], n: int) -> Float[Tensor, "clip fewer dim"]:
    """Means of each ``n`` frames in a row; of those that there are, at the end."""
    if n == 1:
        return frames
    n_missing = -frames.shape[1] % n
    sums = F.pad(frames, (0, 0, 0, n_missing)).unflatten(1, (-1, n)).sum(2)
    counts = torch.full((sums.shape[1], 1), float(n), device=frames.device)
    counts[-1] -= n_missing
    return sums / counts


def _digest(source: str) -> Tensor:
    return torch.frombuffer(bytearray(hashlib.sha256(source.encode()).digest()), dtype=torch.uint8)
