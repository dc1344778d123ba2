"""Tagger: an encoder with a head that answers with labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, Finite, LayerNumber, Positive, Seconds, Share, Width
from solfa.errors import ArgumentError
from solfa.features.exact import exact
from solfa.models.encoder import AudioEncoder, HiddenStates
from solfa.models.input import Lengths, Waveform
from solfa.models.layers.weights import as_weights_are
from solfa.models.muq import MuQConfig
from solfa.models.registry import EncoderConfig, build_encoder

SEPARATOR = ";"  # between several labels in one text


@dataclass(frozen=True, kw_only=True)
class LabelsConfig(Config):
    """Names and kind of a head's outputs."""

    kind: Literal["classes", "tags", "numbers"] = (
        "classes"  # one of the names; any of them; a number for each
    )
    names: tuple[str, ...] = ()
    means: tuple[Finite, ...] = ()  # of the numbers in training
    deviations: tuple[Positive, ...] = ()  # likewise

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "numbers" and not len(self.names) == len(self.means) == len(self.deviations):
            raise ArgumentError(
                "Numbers need a mean and a deviation for each name: labels.means, .deviations."
            )

    def encode(self, texts: Sequence[str]) -> Float[Tensor, "clip label"]:
        """What a head should say of clips whose labels are written in ``texts``.

        One for the names that are written, zero for the others; or numbers as deviations from their mean.

        Raises:
            ValueError: a label that has no place here.
        """
        if self.kind == "numbers":
            written = torch.tensor([[float(part) for part in text.split(SEPARATOR)] for text in texts])
            return (written - torch.tensor(self.means)) / torch.tensor(self.deviations)
        expected = torch.zeros(len(texts), len(self.names))
        for row, text in zip(expected, texts, strict=True):
            for label in self.split(text):
                if label not in self.names:
                    raise ArgumentError(
                        f"A clip has the label {label!r}, and the head knows {', '.join(self.names)}. Begin "
                        "a new run: it takes its labels from its data."
                    )
                row[self.names.index(label)] = 1.0
        return expected

    def split(self, text: str) -> list[str]:
        """The labels in a text; a class is the whole of it."""
        return [text] if self.kind == "classes" else [label for label in text.split(SEPARATOR) if label]


@dataclass(frozen=True, kw_only=True)
class LabelHeadConfig(Config):
    """A head on the mean of a clip's hidden states; sizes as in the probing of MARBLE."""

    layer: LayerNumber | None = None  # the one that is read; a learned weighted sum of all of them if null
    hidden_dim: Width = 512
    dropout: Share = 0.2  # of hidden units in training


class LabelHead(nn.Module):
    """Hidden states -> logits: mean over frames, one hidden layer."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: LabelHeadConfig, n_layers: int, dim: int, n_labels: int) -> None:
        super().__init__()
        if config.layer is not None and not 0 <= config.layer <= n_layers:
            raise ArgumentError(f"There is no layer {config.layer}. This encoder has 0 to {n_layers}.")
        self.layers = range(n_layers + 1) if config.layer is None else [config.layer]
        self.mix = nn.Parameter(torch.zeros(n_layers + 1)) if config.layer is None else None
        self.hidden = nn.Linear(dim, config.hidden_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.hidden_dim, n_labels)
        self.register_buffer("mean", torch.zeros(len(self.layers), dim))
        self.register_buffer("deviation", torch.ones(len(self.layers), dim))

    def pool(self, hidden: HiddenStates) -> Float[Tensor, "clip layer dim"]:
        """Mean over the frames that hold audio, of the layers that are read; frames without are zero."""
        sums = torch.stack([exact(hidden.states[layer]).sum(1) for layer in self.layers], dim=1)
        return sums / hidden.n_frames.to(sums.device).clamp(min=1)[:, None, None]

    @torch.no_grad()
    def fit_scale(self, pooled: Float[Tensor, "clip layer dim"]) -> None:
        """Bring every dimension of each layer to mean 0 and about deviation 1 over some clips.

        A dimension that hardly varies among them stays small: few clips say little about it.
        """
        variance = pooled.var(0, unbiased=False)
        floor = 0.1 * variance.mean(1, keepdim=True) + 1e-12
        self.mean.copy_(pooled.mean(0))
        self.deviation.copy_((variance + floor).sqrt())

    def forward(self, hidden: HiddenStates) -> Float[Tensor, "clip label"]:
        """Logits; of numbers, how many deviations they are from their mean."""
        scaled = (self.pool(hidden) - self.mean) / self.deviation
        mixed = scaled[:, 0] if self.mix is None else torch.einsum("l,cld->cd", self.mix.softmax(0), scaled)
        return exact(self.out(self.dropout(self.hidden(mixed).relu())))


@dataclass(frozen=True, kw_only=True)
class TaggerConfig(Config):
    """An encoder and the head on it. What data decide is filled in at the start of a run."""

    kind: Literal["tagger"] = "tagger"
    encoder: EncoderConfig = field(default_factory=MuQConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    head: LabelHeadConfig = field(default_factory=LabelHeadConfig)
    clip_seconds: Seconds = 5.0  # that it learned from, and by which it goes through a track


class Tagger(AudioEncoder):
    """Waveform -> hidden states, as every encoder; and by ``predict`` what the head makes of them."""

    def __init__(self, config: TaggerConfig, license: str = "") -> None:
        encoder = build_encoder(config.encoder)
        super().__init__(encoder.frontend, encoder.context, license)
        self.config: TaggerConfig = config
        self.head = LabelHead(config.head, self.n_layers, self.dim, len(config.labels.names))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names, in the order of the answers."""
        return self.config.labels.names

    @property
    def _stated_layer(self) -> int:
        return self.config.encoder.default_layer

    def logits(self, waveform: Waveform, lengths: Lengths = None) -> Float[Tensor, "clip label"]:
        """Logits of clips; arguments as for a call."""
        hidden = self(waveform, lengths)
        with as_weights_are(self):
            return self.head(hidden)

    @torch.no_grad()
    def predict(self, waveform: Waveform, lengths: Lengths = None) -> Float[Tensor, "clip label"]:
        """How probable each label is for each clip: classes sum to 1, tags stand alone; or the numbers.

        Args:
            waveform: as for a call; best as long as the clips it learned from.
            lengths: samples of audio in each clip, as for the hidden states.
        """
        logits, labels = self.logits(waveform, lengths), self.config.labels
        if labels.kind == "classes":
            return logits.softmax(1)
        if labels.kind == "tags":
            return logits.sigmoid()
        return logits * logits.new_tensor(labels.deviations) + logits.new_tensor(labels.means)

    def describe(self) -> dict[str, str]:
        """Rows of the card's table."""
        labels = {"labels": f"{len(self.labels)} {self.config.labels.kind}: {', '.join(self.labels[:20])}"}
        return super().describe() | {"kind": "encoder with a head for labels, Tagger"} | labels

    def answer(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "row value"]:
        """That of the encoder, and a row of what the head says."""
        layers = super().answer(waveform)
        logits = self.logits(waveform)[0][: layers.shape[1]]
        return torch.cat([layers, F.pad(logits, (0, layers.shape[1] - len(logits)))[None]])
