"""Tracks -> hidden states, or one vector each, in memory."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.data.audio import AudioError
from solfa.data.folders import find_music
from solfa.embedding.encoding import Piece, encode, read_ahead
from solfa.embedding.space import Pool
from solfa.embedding.windows import Window, WindowConfig, cut_windows
from solfa.models import MERT, AudioEncoder, ClipEncoder, MuQ, load_encoder
from solfa.models.bundled import ENCODER
from solfa.models.layer_guide import guided_layer
from solfa.precision import Precision, check_precision

log = logging.getLogger(__name__)

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class FrameStates:
    """Hidden states of a whole track, and when they are."""

    states: Float[Tensor, "layer frame dim"]  # one entry for each layer that was asked for
    times: Float[np.ndarray, "frame"]  # where each frame starts, in seconds


def embed(
    paths: Paths,
    model: str | Path | AudioEncoder = ENCODER,
    layer: int | None = None,
    pool: Pool = "mean",
    *,
    task: str | None = None,
    precision: Precision = "float32",
    device: str | torch.device = "cpu",
    windows: WindowConfig | None = None,
    windows_at_once: int | None = None,
) -> Float[Tensor, "track dim"]:
    """One vector for each track: its hidden states of one layer, pooled over all frames of the track.

    Args:
        paths: audio files, folders (their tracks sorted by path) or manifests; one or several.
        model: what ``solfa.load`` takes, or an encoder that is loaded already.
        layer: number of the layer as in ``HiddenStates``, negative from the end; that of ``default_layer``
            if None.
        pool: "mean", or "mean+std" for mean and standard deviation, joined.
        task: in place of ``layer``: the layer that published probes of this model took for the task; see
            ``solfa.models.layer_guide``.
        precision: "float32", or on CUDA also "bfloat16" and "float16", which are faster and round.
        device: where a model given by name is loaded to.
        windows: how long tracks are cut; see ``solfa.embedding.windows``. By default 30 s, 5 s of it context
            on each side; for a music-text model its own clips.
        windows_at_once: in one forward pass; the result does not depend on it. By default 1 on a CPU.

    Returns:
        float32, on the CPU, in the order of ``find_tracks(paths)``.

    Raises:
        AudioError, OSError: at the first file that cannot be read. To go on past bad files, and to resume,
            use ``solfa embed`` or ``EmbeddingStore``.
        ValueError: no such layer, none known for the task, or a track too short for the encoder.
        NotFiniteError: the encoder answers with NaN, and no track is to blame.
    """
    encoder = model if isinstance(model, AudioEncoder) else load_encoder(model, device)
    layers = (_layer_of(encoder, model, layer, task),)
    tracks = find_tracks(paths)
    moments = [Moments() for _ in tracks]
    windows = windows or default_windows(encoder)
    for row, piece in _encode_files(tracks, encoder, layers, windows, windows_at_once, precision):
        moments[row].add(piece.states[0])
    return torch.stack([moment.pooled(pool) for moment in moments])


def hidden_states(
    path: str | PathLike[str],
    encoder: AudioEncoder,
    layers: Sequence[int],
    *,
    precision: Precision = "float32",
    windows: WindowConfig | None = None,
    windows_at_once: int | None = None,
) -> FrameStates:
    """Hidden states of a track of any length, layer by layer; memory grows with what is returned only.

    Raises:
        AudioError, OSError: the file cannot be read.
        ValueError: no such layer, or a track too short for the encoder.
        NotFiniteError: the encoder answers with NaN, and the track is not to blame.
    """
    numbers = tuple(resolve_layer(encoder, layer) for layer in layers)
    windows = windows or default_windows(encoder)
    pieces = _encode_files([Path(path)], encoder, numbers, windows, windows_at_once, precision)
    states = torch.cat([piece.states for _, piece in pieces], dim=1)
    return FrameStates(states, encoder.grid.frame_times(states.shape[1]))


def default_layer(encoder: AudioEncoder) -> int:
    """The layer that vectors are made of when nobody names one: its configuration says, mostly the last."""
    if isinstance(encoder, MuQ | MERT):
        return encoder.config.default_layer % (encoder.n_layers + 1)
    return encoder.n_layers


def resolve_layer(encoder: AudioEncoder, layer: int | None) -> int:
    """The number of a layer, 0 to ``n_layers``; a negative one counts from the end, None is the default."""
    if layer is None:
        return default_layer(encoder)
    if not -encoder.n_layers - 1 <= layer <= encoder.n_layers:
        raise ValueError(
            f"There is no layer {layer}: this encoder has {encoder.n_layers} layers, numbered 1 to "
            f"{encoder.n_layers}; 0 is what enters the first."
        )
    return layer % (encoder.n_layers + 1)


def default_windows(encoder: AudioEncoder) -> WindowConfig:
    """Windows of 30 s with context; for a music-text model its own clips."""
    if not isinstance(encoder, ClipEncoder):
        return WindowConfig()
    clips = encoder.config.clips
    return WindowConfig(window_seconds=clips.seconds, context_seconds=0.0, wraps=clips.last == "wrap")


def default_windows_at_once(encoder: AudioEncoder) -> int:
    """Windows in one forward pass: one keeps memory low on a CPU, several keep an accelerator busy."""
    return 1 if encoder.device.type == "cpu" else 8


def check_is_ready(encoder: AudioEncoder, precision: Precision) -> None:
    """Refuse an encoder that would answer at random, or whose device has no use for a precision."""
    if encoder.training:
        raise ValueError("The encoder is in training mode, where it answers at random. Call encoder.eval().")
    check_precision(precision, encoder.device)


def find_tracks(paths: Paths) -> list[Path]:
    """The audio files that are named, in folders that are named, or in manifests that are; each once.

    Raises:
        FileNotFoundError: one of ``paths`` does not exist.
        NoAudioError, ManifestError: a folder without audio, a broken manifest.
    """
    given = [paths] if isinstance(paths, str | PathLike) else paths
    return find_music(Path(path) for path in given).paths


class Moments:
    """Mean and standard deviation of frames that come in pieces; every frame weighs the same."""

    def __init__(self) -> None:
        self.n_frames, self.total, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, states: Float[Tensor, "frame dim"]) -> None:
        """Take in some frames."""
        states = states.double()  # so that neither order nor length matters
        self.n_frames += len(states)
        self.total = self.total + states.sum(0)
        self.squares = self.squares + states.square().sum(0)

    def joined(self, other: "Moments") -> "Moments":
        """Those of the frames of both."""
        both = Moments()
        both.n_frames = self.n_frames + other.n_frames
        both.total, both.squares = self.total + other.total, self.squares + other.squares
        return both

    def pooled(self, pool: Pool) -> Float[Tensor, " dim"]:
        """The vector of all frames so far, float32."""
        mean = self.total / self.n_frames
        if pool == "mean":
            return mean.float()
        variance = self.squares / self.n_frames - mean.square()
        return torch.cat([mean, variance.clamp(min=0).sqrt()]).float()


def _layer_of(
    encoder: AudioEncoder, model: str | Path | AudioEncoder, layer: int | None, task: str | None
) -> int:
    """The number of the layer that is named, or that serves the task that is."""
    if task is None:
        return resolve_layer(encoder, layer)
    if layer is not None:
        raise ValueError("A layer and a task are named, and the task would choose the layer. Leave one out.")
    found = guided_layer(encoder, None if isinstance(model, AudioEncoder) else model, task)
    log.info("Layer %d for %s (%s).", found.number, task, found.reason)
    return found.number


def _encode_files(
    paths: Sequence[Path],
    encoder: AudioEncoder,
    layers: Sequence[int],
    windows: WindowConfig,
    windows_at_once: int | None,
    precision: Precision,
) -> Iterator[tuple[int, Piece]]:
    """The pieces of each file under its place in ``paths``; the first error is raised."""
    check_is_ready(encoder, precision)
    n_windows = windows_at_once or default_windows_at_once(encoder)

    def read(numbered: tuple[int, Path]) -> Iterable[tuple[int, Window | Exception]]:
        row, path = numbered
        try:
            for window in cut_windows(path, encoder.grid, windows):
                yield row, window
        except (AudioError, OSError) as error:
            yield row, error

    with read_ahead(read, enumerate(paths), n_workers=1, n_ahead=2 * n_windows) as items:
        for row, piece in encode(items, encoder, layers, n_windows, precision):
            if isinstance(piece, ValueError) and not isinstance(piece, AudioError):
                raise AudioError(str(piece), paths[row])
            if isinstance(piece, Exception):
                raise piece
            yield row, piece
