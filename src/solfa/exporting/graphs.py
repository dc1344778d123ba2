"""What is exported of a model: modules that take and give tensors only."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa.exporting.transforms import without_fast_transforms
from solfa.models import AudioEncoder, ClipEncoder
from solfa.models.mulan import ClipFrontend, TextTower
from solfa.models.text import sentence_vectors

VECTOR = "vector"


def layer_name(layer: int) -> str:
    """Name of a layer's hidden states among the outputs."""
    return f"layer_{layer}"


class LayersGraph(nn.Module):
    """Waveform -> hidden states of some layers, and the mean over time of the first of them.

    Args:
        encoder: of which a copy in float32 is taken.
        layers: their numbers.
    """

    def __init__(self, encoder: AudioEncoder, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder, self.layers = _copy(encoder), list(layers)

    def forward(self, waveform: Float[Tensor, "clip sample"]) -> tuple[Tensor, ...]:
        """Outputs in the order of ``output_names``."""
        states = self.encoder(waveform, layers=self.layers).states
        return (*states, states[0].mean(1))


class ClipsGraph(nn.Module):
    """Waveform -> the unit vector of each clip: the audio side of a music-text model."""

    def __init__(self, encoder: ClipEncoder) -> None:
        super().__init__()
        frontend: ClipFrontend = encoder.frontend  # type: ignore[assignment]
        self.tower = _copy(frontend.mulan.audio)

    def forward(self, waveform: Float[Tensor, "clip sample"]) -> tuple[Tensor, ...]:
        """The vectors as hidden states of one frame, and by themselves."""
        vector = self.tower(waveform)
        return vector[:, None], vector


class TextGraph(nn.Module):
    """Tokens -> unit vectors: the text side of a music-text model."""

    def __init__(self, tower: TextTower) -> None:
        super().__init__()
        self.tower = copy.deepcopy(tower).float().eval()
        self.language = self.tower.language  # here too, if it comes from a package: as weights, not constants
        # Attention written out: what the library chooses for speed cannot always be traced.
        self.language.model.set_attn_implementation("eager")  # type: ignore[operator]

    def forward(
        self, ids: Int[Tensor, "text token"], mask: Int[Tensor, "text token"]
    ) -> Float[Tensor, "text dim"]:
        """Vectors of texts; ``mask`` is 1 where there is a token, 0 where there is none."""
        padding = mask == 0
        states = self.language.read_tokens(ids, padding)
        if self.tower.config.reads == "sentence":
            states = sentence_vectors(states, padding)[:, None]
            padding = torch.zeros_like(states[..., 0], dtype=torch.bool)
        return self.tower.project(states, padding)


def audio_graph(encoder: AudioEncoder, layers: tuple[int, ...]) -> LayersGraph | ClipsGraph:
    """The graph of an encoder."""
    return ClipsGraph(encoder) if isinstance(encoder, ClipEncoder) else LayersGraph(encoder, layers)


def output_names(layers: tuple[int, ...]) -> list[str]:
    """Names of what an audio graph gives."""
    return [*map(layer_name, layers), VECTOR]


def _copy(model: nn.Module) -> nn.Module:
    return without_fast_transforms(copy.deepcopy(model).float().eval())
