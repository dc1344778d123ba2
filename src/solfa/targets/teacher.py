"""TeacherCodes: codes of what teachers say, side by side, each part brought to its main directions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from solfa.config import LATER, Between, Config, Hertz, Hop, Positive, Share, Width
from solfa.data.clips import Clips
from solfa.data.stored_frames import ClipStates
from solfa.data.stored_teachers import ClipTeaching
from solfa.errors import ArgumentError
from solfa.frames import FrameGrid
from solfa.precision import full_float32
from solfa.targets.base import Codes, CodesShape, FittableTarget, Origin, TargetError, Values
from solfa.targets.residual_kmeans import ResidualKMeans, ResidualKMeansConfig

LEAST_VARIANCE = 1e-6  # of a direction, times that of the first: one below it is rounding, and becomes zero

TaughtLayers = Annotated[int, Between(1, 100, "axis")]


@dataclass(frozen=True, kw_only=True)
class TaughtPartConfig(Config):
    """Columns of a stored teacher that go into joint codes."""

    teacher: str  # as the store names it
    column: str
    width: Width  # of the columns
    n_directions: Width  # that are kept at most
    weight: Positive = 1.0  # of its variance, all directions together, against that of other parts


@dataclass(frozen=True, kw_only=True)
class TeacherCodesConfig(Config):
    """Codes of a teacher's hidden states, whose sizes are filled in; or of several stored teachers."""

    kind: Literal["teacher_codes"] = "teacher_codes"
    sample_rate: Hertz = 24_000  # Hz
    hop_length: Hop = 960  # samples; of the encoder that learns
    n_layers: TaughtLayers = 2  # of the teacher, side by side
    layer_dim: Width = 1024  # of each
    n_directions: Width = 64  # of each that are kept: those in which it varies most
    quantizer: ResidualKMeansConfig = field(
        default_factory=lambda: ResidualKMeansConfig(dim=128, codebook_size=256)
    )
    parts: tuple[TaughtPartConfig, ...] = field(
        default=(), metadata=LATER
    )  # of data.teachers, no layers then
    variance_share: Share = field(default=1.0, metadata=LATER)  # that the directions of a part hold; no more

    @property
    def widths(self) -> list[int]:
        """Of each part."""
        return [part.width for part in self.parts] or [self.layer_dim] * self.n_layers

    @property
    def kept(self) -> list[int]:
        """Directions of each part."""
        return [part.n_directions for part in self.parts] or [self.n_directions] * self.n_layers

    @property
    def grid(self) -> FrameGrid:
        """Where the codes lie."""
        return FrameGrid(self.sample_rate, self.hop_length)

    @property
    def shape(self) -> CodesShape:
        """Codes or values of a frame."""
        return CodesShape(self.quantizer.n_codebooks, self.quantizer.codebook_size)


class TeacherCodes(FittableTarget):
    """Codes of what teachers say of clips: layers of one that was just heard, or parts of stored ones.

    Each layer or part is whitened: of its main directions, all vary alike. So a loud one, or a few loud
    dimensions, do not take all codes. Directions, codebooks, and whom they belong to are found once, at the
    start of a run, and are part of its weights: a run that goes on fits nothing anew.

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
        widths, kept = config.widths, config.kept
        if config.quantizer.dim != sum(kept) or any(n > width for n, width in zip(kept, widths, strict=True)):
            raise ArgumentError(
                f"{', '.join(map(str, kept))} directions of layers or parts {', '.join(map(str, widths))} "
                f"wide are to be quantized, and quantizer.dim is {config.quantizer.dim}. Keep no more "
                f"directions than a layer is wide, and make quantizer.dim {sum(kept)}."
            )
        self.config = config
        self.grid = config.grid
        # Narrower parts end in zeros, so that all stand in one array.
        self.register_buffer("mean", torch.zeros(len(widths), max(widths)))
        self.register_buffer("directions", torch.zeros(len(widths), max(widths), max(kept)))
        self.register_buffer("source", torch.zeros(32, dtype=torch.uint8))
        self.quantizer = ResidualKMeans(config.quantizer)

    @property
    def context_samples(self) -> int:
        """Zero: frames are quantized one at a time."""
        return 0

    @torch.no_grad()
    def fit_statistics(self, clips: Clips) -> None:
        """Find the main directions of each layer or part, and take down whose they are."""
        said, source = self._said(clips)
        weights = [part.weight for part in self.config.parts]
        self.mean.zero_()
        self.directions.zero_()
        for number, (width, n_kept) in enumerate(zip(self.config.widths, self.config.kept, strict=True)):
            rows = said[:, :, number, :width].flatten(0, 1)
            mean, directions = main_directions(rows, n_kept, self.config.variance_share)
            if weights:  # its variance in all is its weight, however many directions it has
                n_varying = int(directions.any(0).sum())
                directions = directions * (weights[number] / max(1, n_varying)) ** 0.5
            self.mean[number, :width], self.directions[number, :width, :n_kept] = mean, directions
        self.source.copy_(_digest(source))

    @torch.no_grad()
    def frames_to_quantize(self, clips: Clips) -> Float[Tensor, "clip frame dim"]:
        """Whitened frames, layers or parts side by side.

        Raises:
            TargetError: the clips carry none, or those of another teacher or layers, or of another width.
        """
        said, source = self._said(clips)
        if not torch.equal(self.source.cpu(), _digest(source)):
            raise TargetError(
                f"The teacher's frames ({source}) are of another encoder or of other layers than "
                "those that this run began with. Name the same teacher again, or begin another run."
            )
        with full_float32(said.device):
            # Each layer less its mean, times its own matrix: one product for each layer.
            frames = torch.einsum("cfld,ldk->cflk", said - self.mean, self.directions)
        parts = frames.unbind(2)
        return torch.cat([part[..., :n] for part, n in zip(parts, self.config.kept, strict=True)], dim=2)

    @torch.no_grad()
    def forward(self, clips: Clips) -> Codes:
        """Codes of what the clips carry."""
        frames = self.frames_to_quantize(clips)
        origin = Origin(frames, self.quantizer.squared_distances)
        return Codes(self.quantizer.encode(frames), self.config.quantizer.codebook_size, origin)

    def _with_context(self, clips: Clips) -> Codes | Values:
        """What clips carry has heard its context, and is of the clips alone."""
        return self(clips)

    def _said(self, clips: Clips) -> tuple[Float[Tensor, "clip frame part dim"], str]:
        """What each layer or part says of each frame, and whose words they are."""
        if self.config.parts:
            return self._parts(clips), _sources(clips, self.config.parts)
        hidden = self._hidden(clips)
        return self._layers(hidden), hidden.source

    def _parts(self, clips: Clips) -> Float[Tensor, "clip frame part dim"]:
        widest, rows = max(self.config.widths), []
        for part in self.config.parts:
            said = _teaching(clips, part.teacher)
            values = on_grid(said.column(part.column), said.description.grid, self.grid)
            if values.shape[2] != part.width or values.isnan().any():
                raise TargetError(
                    f"{part.teacher} gives {values.shape[2]} numbers of {part.column}, and {part.width} are "
                    "wanted for every frame of every track. Make width of the part agree, and take no part "
                    "of a teacher that knows some tracks only, such as labels."
                )
            rows.append(F.pad(values, (0, widest - part.width)))
        return torch.stack(rows, dim=2)

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
    rows: Float[Tensor, "row dim"], n_directions: int, variance_share: float = 1.0
) -> tuple[Float[Tensor, " dim"], Float[Tensor, "dim direction"]]:
    """The mean of rows, and the directions in which they vary most, each divided by their deviation in it.

    The product of both with rows has mean 0 and deviation 1 in each direction, and no two go together; a
    direction in which rows do not vary becomes zero, and so do those after ``variance_share`` is reached.
    """
    exact = rows.double()
    mean = exact.mean(0)
    centred = exact - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))  # the smallest first
    variances, vectors = variances.flip(0), vectors.flip(1)[:, :n_directions]
    before = variances.cumsum(0) - variances  # what earlier directions hold
    is_wanted = (before < variance_share * variances.sum())[:n_directions] | (variance_share >= 1)
    variances = variances[:n_directions]
    varies = is_wanted & (variances > LEAST_VARIANCE * variances[0].clamp(min=1e-30))
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


def _teaching(clips: Clips, teacher: str) -> ClipTeaching:
    """What a teacher says of clips. Raises TargetError if they carry nothing of it."""
    if teacher not in clips.taught:
        known = ", ".join(clips.taught) or "no teacher"
        raise TargetError(
            f"Clips carry what {known} says, and {teacher} is to be learned from. Store what it says with "
            f"'solfa data teach MANIFEST --teacher {teacher} --out STORE', and name it: --set "
            "data.teachers=STORE."
        )
    return clips.taught[teacher]


def _sources(clips: Clips, parts: Sequence[TaughtPartConfig]) -> str:
    said = {part.teacher: _teaching(clips, part.teacher).description for part in parts}
    return "; ".join(f"{part.teacher} {part.column} {said[part.teacher].fingerprint}" for part in parts)


def _digest(source: str) -> Tensor:
    return torch.frombuffer(bytearray(hashlib.sha256(source.encode()).digest()), dtype=torch.uint8)
