"""A model -> a folder that ``solfa.onnx`` reads, checked against PyTorch before it is there.

FOLDER/model.json        rates, layers, windows, embedding space, licence, and what the check found
FOLDER/audio.onnx        waveform -> hidden states of some layers, and their mean over time
FOLDER/text.onnx         with a music-text model: tokens -> vectors
FOLDER/tokenizer.json    likewise: texts -> tokens
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from solfa.embedding import Space, WindowConfig, default_windows, describe_space
from solfa.errors import SolfaError
from solfa.exporting.graphs import VECTOR, TextGraph, audio_graph, layer_name, output_names
from solfa.exporting.onnx_graph import Weights, check_is_installed, check_weights, trace, with_weights_as
from solfa.files import whole_folder
from solfa.frames import FrameGrid
from solfa.json_files import write_json
from solfa.models import AudioEncoder, ClipEncoder, MuLan
from solfa.models.encoder import Frontend
from solfa.models.input import Layers
from solfa.models.known_answer import asked
from solfa.models.mulan import ClipFrontend
from solfa.models.text import TextModel
from solfa.onnx import FORMAT, OnnxModel

MOST_DIFFERENCE = 1e-4  # of a layer's largest value, in float32
TEXTS = ("calm solo piano", "a fast song with distorted guitars, shouted words and a drum that never stops")
EXAMPLE_SECONDS = (2.0, 3.1)  # of the traced clips, and of those of the check


class ExportError(SolfaError):
    """The exported graph computes something else than the model."""


@dataclass(frozen=True)
class Checked:
    """How far an output of the graph is from PyTorch's."""

    output: str
    difference: float  # the largest one, as a share of the largest value
    cosine: float  # of the frame or the text that is furthest off

    def __str__(self) -> str:
        return (
            f"{self.output}: difference {self.difference:.1e} of the largest value, cosine {self.cosine:.6f}"
        )


@dataclass(frozen=True)
class Exported:
    """A folder, and what the check of it found."""

    folder: Path
    checked: tuple[Checked, ...]


def export_onnx(
    model: AudioEncoder | MuLan,
    name: str | Path,
    out: Path,
    *,
    layers: Layers | None = None,
    weights: Weights = "float32",
) -> Exported:
    """Write a model so that ``solfa.onnx`` runs it without PyTorch; features are a part of the graph.

    Args:
        model: in eval mode; of a music-text model both sides are written.
        name: that it was loaded by.
        out: the folder to fill.
        layers: whose hidden states the graph gives; vectors are made of the first one. The default layer if
            omitted; a music-text model has none to choose from.
        weights: how they are stored; what is multiplied is float32 but for "int8".

    Raises:
        ImportError: the extra ``export`` is not installed.
        ValueError: no such layer or weights.
        ExportError: float32 weights, and an output is further than 1e-4 of its largest value from PyTorch's.
    """
    check_weights(weights)
    check_is_installed()
    encoder = ClipEncoder(model).eval() if isinstance(model, MuLan) else model
    numbers = (encoder.default_layer,) if layers is None else encoder.layer_numbers(layers)
    windows = default_windows(encoder)
    space = describe_space(encoder, name, layer=numbers[0], pool="mean", windows=windows)
    about = _about(encoder, space, numbers, windows, weights)
    with whole_folder(out) as folder:
        about["fewest_samples"] = _write_audio(encoder, numbers, weights, folder)
        if isinstance(model, MuLan):
            about["text"] = _write_text(model, weights, folder)
        write_json(folder / "model.json", about)
        checked = (*_check_audio(encoder, numbers, folder), *_check_text(model, folder))
        write_json(folder / "model.json", about | {"checked": [asdict(row) for row in checked]})
        for row in checked:
            if weights == "float32" and not row.difference <= MOST_DIFFERENCE:
                raise ExportError(
                    f"The graph does not compute what {name} does. {row}, and {MOST_DIFFERENCE:.0e} is "
                    "allowed. Nothing was written. Try another version of onnxruntime, and report it."
                )
    return Exported(out, checked)


def _about(
    encoder: AudioEncoder, space: Space, layers: tuple[int, ...], windows: WindowConfig, weights: Weights
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "solfa": version("solfa"),
        "model": space.model_name,
        "license": space.license,
        "sample_rate": encoder.sample_rate,
        "frame_rate": encoder.frame_rate,
        "layers": layers,
        "dim": encoder.dim,
        "weights": weights,
        # Vectors of rounded weights are of no library that is made with PyTorch.
        "space": space.id if weights == "float32" else f"{space.id}-{weights}",
        "weights_sha256": space.weights,
        "windows": _window_frames(encoder.grid, windows),
        "text": None,
    }


def _window_frames(grid: FrameGrid, windows: WindowConfig) -> dict[str, Any]:
    n_frames, n_context = map(grid.seconds_to_frames, (windows.window_seconds, windows.context_seconds))
    return {
        "hop_length": grid.hop_length,
        "n_frames": n_frames,
        "n_context": min(n_context, (n_frames - 1) // 2) if windows.context_seconds else 0,
        "wraps": windows.wraps,
    }


def _write_audio(encoder: AudioEncoder, layers: tuple[int, ...], weights: Weights, folder: Path) -> int:
    """Write the graph; how many samples a clip must have."""
    graph = audio_graph(encoder, layers)
    example = torch.zeros(2, round(EXAMPLE_SECONDS[0] * encoder.sample_rate))
    made = trace(graph, [example], [(0, 1)], ["waveform"], output_names(layers))
    _save(with_weights_as(made, weights, graph), folder / "audio.onnx")
    return _fewest_samples(_frontend(encoder), encoder.sample_rate)


def _write_text(model: MuLan, weights: Weights, folder: Path) -> dict[str, Any]:
    language: TextModel = model.text.language
    graph = TextGraph(model.text)
    ids = torch.full((2, 8), int(language.tokenizer.pad_token_id))
    made = trace(graph, [ids, torch.ones_like(ids)], [(0, 1), (0, 1)], ["ids", "mask"], [VECTOR])
    _save(with_weights_as(made, weights, graph, has_tables=True), folder / "text.onnx")
    language.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return {"most_tokens": language.most_tokens, "pad_id": int(language.tokenizer.pad_token_id)}


def _save(made: Any, path: Path) -> None:
    import onnx

    onnx.save(made, path)


def _frontend(encoder: AudioEncoder) -> Frontend:
    """What makes frames of a waveform; behind the clips of a music-text model, too."""
    if isinstance(encoder.frontend, ClipFrontend):
        return encoder.frontend.mulan.audio.encoder.frontend
    return encoder.frontend


@torch.no_grad()
def _fewest_samples(frontend: Frontend, taken: int) -> int:
    """The shortest clip that has a frame, found by halving; one of ``taken`` samples has some."""
    refused = 0
    while taken - refused > 1:
        middle = (refused + taken) // 2
        try:
            has_frames = frontend(torch.zeros(1, middle))[0].shape[1] > 0
        except (ValueError, RuntimeError):
            has_frames = False
        refused, taken = (refused, middle) if has_frames else (middle, taken)
    return taken


def _check_audio(encoder: AudioEncoder, layers: tuple[int, ...], folder: Path) -> Iterator[Checked]:
    reader, clips = OnnxModel(folder, threads=torch.get_num_threads()), _clips(encoder.sample_rate)
    with torch.no_grad():
        expected = encoder(clips, layers=list(layers)).states
    found = reader(clips.numpy())
    for layer, states in zip(layers, expected, strict=True):
        yield _checked(layer_name(layer), states, found[layer_name(layer)])
    yield _checked(VECTOR, expected[0].mean(1), found[VECTOR])


def _check_text(model: nn.Module, folder: Path) -> Iterator[Checked]:
    if isinstance(model, MuLan):
        found = OnnxModel(folder, threads=torch.get_num_threads()).embed_text(TEXTS)
        with torch.no_grad():
            expected = model.embed_text(TEXTS)
        yield _checked("text", expected, found)


def _clips(sample_rate: int) -> Float[Tensor, "clip sample"]:
    """The sound that known answers are of, forward and backward; longer than what was traced."""
    sound = asked(sample_rate)
    n_samples = round(EXAMPLE_SECONDS[1] * sample_rate)
    both = torch.stack([sound, sound.flip(0)])
    return both.repeat(1, -(-n_samples // len(sound)))[:, :n_samples]


def _checked(output: str, expected: Tensor, found: np.ndarray) -> Checked:
    given = torch.from_numpy(found)
    off = float((expected - given).abs().max() / expected.abs().max())
    return Checked(output, off, float(nn.functional.cosine_similarity(expected, given, dim=-1).min()))
