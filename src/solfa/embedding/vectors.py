"""Tracks -> hidden states, or one vector each, in memory."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from solfa.config import PrecisionWish
from solfa.data.audio import AudioError
from solfa.data.folders import find_music
from solfa.data.manifest import absolute
from solfa.data.refused import check_is_file, refusal
from solfa.embedding.encoding import Encoded, encode, read_ahead
from solfa.embedding.moments import Moments
from solfa.embedding.options import (
    Count,
    Cut,
    Device,
    Model,
    Paths,
    PoolName,
    PrecisionName,
    TaskName,
    check_is_ready,
    check_options,
    check_reading,
    encoder_of,
)  # fmt: skip
from solfa.embedding.space import POOLS
from solfa.embedding.windows import Window, WindowConfig, cut_judged
from solfa.errors import ArgumentError
from solfa.models import AudioEncoder, ClipEncoder
from solfa.models.bundled import ENCODER
from solfa.models.input import Layer, Layers
from solfa.models.layer_guide import guided_layer
from solfa.precision import chosen_precision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameStates:
    """Hidden states of a whole track, and when they are."""

    states: Float[Tensor, "layer frame dim"]  # one entry for each layer that was asked for
    times: Float[np.ndarray, "frame"]  # where each frame starts, in seconds


def embed(
    paths: Paths,
    model: Model = ENCODER,
    layer: Layer | None = None,
    pool: PoolName = "mean",
    *,
    task: TaskName | None = None,
    precision: PrecisionName = "float32",
    device: Device = "cpu",
    windows: Cut | None = None,
    windows_at_once: Count | None = None,
) -> Float[Tensor, "track dim"]:
    """One vector for each track: its hidden states of one layer, pooled over all frames of the track.

    Args:
        paths: audio files, folders (their tracks sorted by path) or manifests; one or several. A file has a
            row for each time that it is named, and is computed once; what a folder or manifest only repeats
            is left out.
        model: what ``solfa.load`` takes, or what it gave: of a music-text model its audio side counts.
        layer: its number as in ``HiddenStates``, negative from the end; ``model.default_layer`` if None.
        pool: "mean", or "mean+std" for mean and standard deviation, joined.
        task: in place of ``layer``: that of published probes for the task; see ``solfa.models.layer_guide``.
        precision: "float32"; on CUDA also "bfloat16" and "float16", and "bfloat16" on processors that
            multiply it by themselves: they are faster, and round. "auto" is "bfloat16" where that gains.
        device: where a model given by name is loaded to.
        windows: how tracks are cut: by default 30 s, 5 s of it context on each side; of a music-text model
            its own clips.
        windows_at_once: in one forward pass; the result does not depend on it. By default 1 on a CPU.

    Returns:
        float32, on the CPU; without rows if no path is given.

    Raises:
        ValueError: an option that cannot be followed; before any file is read.
        AudioError, OSError: at the first file that cannot be read, or is truncated, silent or too short. To
            go on past bad files, and to resume, use ``solfa embed`` or ``EmbeddingStore``.
        NotFiniteError: the encoder answers with NaN, and no track is to blame.
    """
    check_options(
        pool=pool, layer=layer, task=task, precision=precision, windows=windows,
        windows_at_once=windows_at_once,
    )  # fmt: skip
    tracks, rows = _rows_of(paths)
    encoder = encoder_of(model, device)
    layers = (_layer_of(encoder, model, layer, task),)
    moments = [Moments(pool) for _ in tracks]
    for number, part in _encode_files(tracks, encoder, layers, windows, windows_at_once, precision):
        moments[number].add(part.states[0])
    empty = torch.zeros(0, POOLS[pool] * encoder.dim, dtype=torch.float32)
    return torch.cat([empty, *(moments[row].pooled()[None] for row in rows)])


def hidden_states(
    path: str | PathLike[str],
    encoder: Model,
    layers: Layers,
    *,
    precision: PrecisionName = "float32",
    device: Device = "cpu",
    windows: Cut | None = None,
    windows_at_once: Count | None = None,
) -> FrameStates:
    """Hidden states of a track of any length, layer by layer; memory grows with what is returned only.

    Args:
        path: an audio file.
        encoder: what ``solfa.load`` takes, or what it gave.
        layers: their numbers, as in ``HiddenStates``; negative from the end.
        precision: as for ``embed``, and so are the others.
        device: where a model given by name is loaded to.
        windows: how a long track is cut.
        windows_at_once: in one forward pass.

    Raises:
        ValueError: an option that cannot be followed, or no such layer; before the file is read.
        AudioError, OSError: the file cannot be read, or ``solfa embed`` would refuse it.
        NotFiniteError: the encoder answers with NaN, and the track is not to blame.
    """
    check_reading(precision, windows, windows_at_once)
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    encoder = encoder_of(encoder, device)
    numbers = encoder.layer_numbers(layers)
    parts = _encode_files([Path(path)], encoder, numbers, windows, windows_at_once, precision)
    states = torch.cat([part.states for _, part in parts], dim=1)
    return FrameStates(states, encoder.grid.frame_times(states.shape[1]))


def default_windows(encoder: AudioEncoder) -> WindowConfig:
    """Windows of 30 s with context; for a music-text model its own clips."""
    if not isinstance(encoder, ClipEncoder):
        return WindowConfig()
    clips = encoder.config.clips
    return WindowConfig(window_seconds=clips.seconds, context_seconds=0.0, wraps=clips.last == "wrap")


def default_windows_at_once(encoder: AudioEncoder) -> int:
    """Windows in one forward pass: one keeps memory low on a CPU, several keep an accelerator busy."""
    return 1 if encoder.device.type == "cpu" else 8


def find_tracks(paths: Paths) -> list[Path]:
    """The audio files that are named, in folders that are named, or in manifests that are; each once.

    Raises:
        FileNotFoundError: one of ``paths`` does not exist.
        NoAudioError, ManifestError: a folder without audio, a broken manifest.
    """
    given = [paths] if isinstance(paths, str | PathLike) else paths
    return find_music(Path(path) for path in given).paths


def _layer_of(encoder: AudioEncoder, model: Model, layer: Layer | None, task: TaskName | None) -> int:
    """The number of the layer that is named, or that serves the task that is."""
    if task is None:
        return encoder.layer_number(layer)
    found = guided_layer(encoder, Path(model) if isinstance(model, PathLike) else _name_of(model), task)
    log.info("Layer %d for %s (%s).", found.number, task, found.reason)
    return found.number


def _name_of(model: Model) -> str | None:
    return model if isinstance(model, str) else None


def _rows_of(paths: Paths) -> tuple[list[Path], list[int]]:
    """The files to compute, each once, and which of them each row is of."""
    numbers: dict[str, int] = {}
    tracks: list[Path] = []
    rows: list[int] = []
    listed: set[Path] = set()
    for given in _given(paths):
        found = find_music([Path(given)])
        for bad in found.refused:  # folders below that cannot be read
            raise AudioError(bad.reason, bad.path)
        is_file = found.paths == [absolute(Path(given))]
        for track in found.paths:
            if track in listed and not is_file:
                continue
            listed.add(track)
            number = numbers.setdefault(os.path.realpath(track), len(tracks))
            if number == len(tracks):
                tracks.append(track)
            rows.append(number)
    return tracks, rows


def _given(paths: Paths) -> list[str | PathLike[str]]:
    if isinstance(paths, str | PathLike):
        return [paths]
    given = list(paths) if isinstance(paths, Iterable) else [paths]
    for path in given:
        if not isinstance(path, str | PathLike):
            raise ArgumentError(
                f"Paths are files, folders or manifests, one or a list of them, not {path!r:.80}. Of a "
                "waveform: encoder(waveform)."
            )
    return given


def _encode_files(
    paths: Sequence[Path],
    encoder: AudioEncoder,
    layers: Sequence[int],
    windows: WindowConfig | None,
    windows_at_once: int | None,
    wish: PrecisionWish,
) -> Iterator[tuple[int, Encoded]]:
    """The parts of each file under its place in ``paths``; the first error is raised."""
    precision = chosen_precision(wish, encoder.device)
    check_is_ready(encoder, precision)
    n_windows = windows_at_once or default_windows_at_once(encoder)
    cut = windows or default_windows(encoder)

    def read(numbered: tuple[int, Path]) -> Iterable[tuple[int, Window | Exception]]:
        row, path = numbered
        try:
            check_is_file(path)
            for window, _ in cut_judged(path, encoder.grid, cut):  # as solfa embed, and data prepare
                yield row, window
        except Exception as error:
            yield row, error

    with read_ahead(read, enumerate(paths), n_workers=1, n_ahead=2 * n_windows) as items:
        for row, part in encode(items, encoder, layers, n_windows, precision):
            if isinstance(part, AudioError | OSError):
                raise part
            if isinstance(part, Exception):
                is_for_people = isinstance(part, ValueError)
                reason = str(part) if is_for_people else refusal(paths[row], part).reason
                raise AudioError(reason, paths[row]) from part
            yield row, part
