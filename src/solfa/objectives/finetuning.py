"""FineTuning: labels of clips from a pre-trained encoder, of which as much learns as is wanted."""

from dataclasses import dataclass, field
from typing import Literal, assert_never

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import Config, LayersFromZero, NotNegative
from solfa.data.clips import Clips
from solfa.errors import ArgumentError
from solfa.models import LoRAConfig, MuLan, Tagger, TaggerConfig, load
from solfa.models.layers.low_rank import DOWN, UP, add_lora
from solfa.models.layers.normalization import BatchNorm
from solfa.objectives.base import Objective, StepOutput


@dataclass(frozen=True, kw_only=True)
class FrozenConfig(Config):
    """Nothing of the encoder learns: a probe."""

    kind: Literal["frozen"] = "frozen"


@dataclass(frozen=True, kw_only=True)
class LastLayersConfig(Config):
    """The last layers of those that the head hears learn."""

    kind: Literal["last_layers"] = "last_layers"
    n_layers: LayersFromZero = 2


@dataclass(frozen=True, kw_only=True)
class FullConfig(Config):
    """The whole encoder learns."""

    kind: Literal["full"] = "full"


LearnsConfig = FrozenConfig | LastLayersConfig | FullConfig | LoRAConfig


@dataclass(frozen=True, kw_only=True)
class FineTuningConfig(Config):
    """From which encoder, and how much of it learns."""

    kind: Literal["fine_tuning"] = "fine_tuning"
    start: str = ""  # a run, a folder or a name whose encoder it begins with; given on the command line
    license: str = ""  # of those weights, and so of what is made of them; filled in at the start of a run
    tagger: TaggerConfig = field(default_factory=TaggerConfig)
    learns: LearnsConfig = field(default_factory=FullConfig)
    encoder_rate: NotNegative = 0.1  # share of the learning rate that the encoder has; the head has all of it


class FineTuning(Objective):
    """Clips with labels -> cross-entropy of classes, binary of tags, squared error of numbers.

    Layers that do not learn are in eval mode, and so is all batch normalisation: clips of a small labelled
    set say less about its statistics than the music of the pre-training did.
    """

    n_first_clips = 64  # by which the inputs of the head are scaled

    def __init__(self, config: FineTuningConfig) -> None:
        super().__init__()
        if not config.tagger.labels.names:
            raise ArgumentError(
                "There are no labels to learn. Name them with --set data.labels=labels.csv, a table with the "
                "columns path and label, or with the name of a task of solfa probe --list."
            )
        self.config = config
        self.tagger = Tagger(config.tagger)
        self.sample_rate = self.tagger.sample_rate
        self.moving: list[nn.Module] = []  # parts of the encoder in training mode
        self.tagger.requires_grad_(False)
        self._let_learn(self._chosen())
        self.tagger.head.requires_grad_(True)

    @property
    def model(self) -> nn.Module:
        """Encoder and head."""
        return self.tagger

    def start(self, clips: Clips) -> None:
        """Take the weights of the encoder to begin with, and scale the head's inputs by the first clips."""
        encoder = load(self.config.start)
        if isinstance(encoder, MuLan):
            raise ArgumentError(f"{self.config.start} is a music-text model. Name an encoder: MuQ or MERT.")
        weights = {name: w for name, w in encoder.state_dict().items() if not name.startswith("head.")}
        unfilled, _ = self.tagger.load_state_dict(weights, strict=False)
        assert all(name.startswith("head.") or name.endswith((DOWN, UP)) for name in unfilled)
        was_training = self.training
        with torch.no_grad():
            hidden = self.eval().tagger(clips.waveform)
            self.tagger.head.fit_scale(self.tagger.head.pool(hidden))
        self.train(was_training)

    def train(self, mode: bool = True) -> "FineTuning":
        """Train the head and what learns of the encoder."""
        super().train(mode)
        self.tagger.frontend.eval()
        self.tagger.context.eval()
        for part in self.moving if mode else ():
            part.train()
            for inner in part.modules():
                if isinstance(inner, BatchNorm):
                    inner.eval()
        return self

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """The head, and with a rate of its own what learns of the encoder."""
        head = list(self.tagger.head.parameters())
        rest = [p for p in self.tagger.parameters() if p.requires_grad and not any(p is q for q in head)]
        return [(head, 1.0), (rest, self.config.encoder_rate)] if rest else [(head, 1.0)]

    def forward(self, clips: Clips) -> StepOutput:
        """Loss over clips, each with the same weight."""
        labels = self.config.tagger.labels
        logits = self.tagger.logits(clips.waveform)
        expected = labels.encode(clips.labels).to(logits.device)
        losses = label_losses(logits, expected, labels.kind)
        count = torch.tensor(float(len(clips)), device=logits.device)
        if labels.kind == "numbers":
            moments = torch.stack([expected.sum(0), expected.square().sum(0)])
            return StepOutput(
                losses.sum(), count, {"squared_error": losses.sum()}, None, {"value_moments": moments}
            )
        is_right = expected.gather(1, logits.argmax(1, keepdim=True))  # of tags, one of several may be
        return StepOutput(losses.sum(), count, {"accuracy": is_right.sum()})

    def _chosen(self) -> list[nn.Parameter]:
        """The parameters of the encoder that were asked for; sets what moves in training."""
        tagger, learns = self.tagger, self.config.learns
        layers = list(tagger.context.get_submodule("layers").children())
        layers = layers[: max(tagger.head.layers)]  # the head does not hear those above
        match learns:
            case FrozenConfig():
                return []
            case LastLayersConfig():
                if not 0 < learns.n_layers <= len(layers):
                    raise ArgumentError(
                        f"learns.n_layers is {learns.n_layers}, and the head hears {len(layers)} layers. "
                        "Choose 1 or more, and no more than these."
                    )
                self.moving = layers[-learns.n_layers :]
                return [p for layer in self.moving for p in layer.parameters()]
            case FullConfig():
                self.moving = [tagger.frontend, tagger.context]
                return [p for part in self.moving for p in part.parameters()]
            case LoRAConfig():
                self.moving = layers
                return add_lora(tagger.context, learns)
            case _:
                assert_never(learns)

    def _let_learn(self, chosen: list[nn.Parameter]) -> None:
        """Those of ``chosen`` learn that what the head hears depends on."""
        if not chosen:
            return
        for parameter in chosen:
            parameter.requires_grad_(True)
        heard = self.eval().tagger.head.pool(self.tagger(torch.zeros(1, self.sample_rate))).sum()
        gradients = torch.autograd.grad(heard, chosen, allow_unused=True)
        for parameter, gradient in zip(chosen, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)
        self.train()


def label_losses(
    logits: Float[Tensor, "clip label"], expected: Float[Tensor, "clip label"], kind: str
) -> Float[Tensor, " clip"]:
    """The loss of each clip: cross-entropy of classes; of tags and numbers the mean over them."""
    match kind:
        case "classes":
            return F.cross_entropy(logits, expected, reduction="none")
        case "tags":
            return F.binary_cross_entropy_with_logits(logits, expected, reduction="none").mean(1)
        case _:
            return (logits - expected).square().mean(1)
