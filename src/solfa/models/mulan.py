"""MuLan: audio tower, text tower, one shared space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from solfa.config import LATER, Config, LayerNumber, Seconds, Width
from solfa.errors import ArgumentError
from solfa.features.exact import exact
from solfa.frames import FrameGrid, seconds_to_samples
from solfa.models.encoder import AudioEncoder, Context, Frontend, HiddenStates
from solfa.models.folders import TEXT
from solfa.models.input import Lengths, Waveform, as_lengths, as_waveform, check_samples
from solfa.models.layers.adapters import (
    PooledAdapter,
    PooledAdapterConfig,
    ResidualAdapter,
    ResidualAdapterConfig,
    pool_layers,
)
from solfa.models.layers.gated_transformer import GatedTransformer, GatedTransformerConfig
from solfa.models.layers.weights import as_weights_are
from solfa.models.muq import MuQConfig
from solfa.models.packaged import FILES
from solfa.models.query_reader import PROBE_TEXT
from solfa.models.registry import EncoderConfig, build_encoder
from solfa.models.saving import Shareable, copy_files
from solfa.models.text import TextModel

CLIPS_AT_ONCE, TEXTS_AT_ONCE = 8, 64


@dataclass(frozen=True, kw_only=True)
class MuLanClipsConfig(Config):
    """How audio of any length becomes clips; the defaults are the published rule."""

    seconds: Seconds = 10.0
    # wrap: the last one is filled up from the beginning of the audio (audio shorter than half a clip is heard
    # twice); end: it ends where the audio ends, and overlaps the one before; audio shorter than a clip is
    # heard as it is.
    last: Literal["wrap", "end"] = "wrap"

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ArgumentError(f"A clip lasts more than {self.seconds:g} s. The published ones last 10.")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class AudioTowerConfig(Config):
    """An encoder, which of its layers is used, and what stands on top of it."""

    encoder: EncoderConfig = field(default_factory=MuQConfig)
    layer: LayerNumber = -1
    transformer: GatedTransformerConfig | None = field(
        default_factory=lambda: GatedTransformerConfig(n_layers=0)
    )
    # In place of one layer and a transformer: several layers, pooled over time. None in published models.
    pooled: PooledAdapterConfig | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, kw_only=True)
class TextTowerConfig(Config):
    """A language model, and what stands on top of it."""

    # As it is, from an installed package of this name, and then no part of the weights; empty: from the
    # model's own folder, with the weights beside it.
    language: str = ""
    model_dim: Width = 768  # of the language model
    reads: Literal["tokens", "sentence"] = "tokens"  # its states, or the unit vector that it makes of them
    transformer: GatedTransformerConfig | None = field(default_factory=GatedTransformerConfig)
    adapter: ResidualAdapterConfig | None = field(default=None, metadata=LATER)  # in place of a transformer


@dataclass(frozen=True, kw_only=True)
class MuLanConfig(Config):
    """A music-text model; the defaults are those of MuQ-MuLan-large."""

    kind: Literal["mulan"] = "mulan"
    audio: AudioTowerConfig = field(default_factory=AudioTowerConfig)
    text: TextTowerConfig = field(default_factory=TextTowerConfig)
    dim: Width = 512  # of the shared space
    clips: MuLanClipsConfig = field(default_factory=MuLanClipsConfig)


class MuLan(Shareable):
    """Music and words as vectors of one space: the higher their product, the better they fit.

    Source:
        MuQ-MuLan, arXiv:2501.01108; MuLan, arXiv:2208.12415.
    """

    def __init__(self, config: MuLanConfig, language: TextModel, license: str = "") -> None:
        super().__init__()
        self.config: MuLanConfig = config
        self.audio = AudioTower(config.audio, config.dim)
        self.text = TextTower(config.text, config.dim, language)
        self.license = license  # of the weights; empty if nobody stated one

    @property
    def sample_rate(self) -> int:
        """Of the waveform that the audio tower expects, in Hz."""
        return self.audio.encoder.sample_rate

    @property
    def dim(self) -> int:
        """Width of the shared space."""
        return self.config.dim

    def embed_audio(
        self, waveform: Waveform, lengths: Lengths = None, clips: MuLanClipsConfig | None = None
    ) -> Float[Tensor, "clip dim"]:
        """Vectors of recordings: the mean of the unit vectors of a recording's clips.

        As in the original this mean is not scaled to length 1: it is shorter where the clips differ.

        Args:
            waveform: (clip, sample): recordings of any length, mono, in [-1, 1], at ``sample_rate``; a tensor
                or a NumPy array, as ``AudioEncoder`` takes it.
            lengths: samples of each recording, the rest being padding; all of them if omitted. A recording's
                vector does not depend on padding or on the others.
            clips: another rule for cutting than the model's own.

        Raises:
            ValueError: a recording without samples, or a waveform that ``AudioEncoder`` refuses.
        """
        waveform = as_waveform(waveform)
        if not waveform.shape[1]:
            raise ArgumentError("A recording without samples has no vector. Leave it out.")
        check_samples(waveform, is_training=self.training)
        n_heard = as_lengths(lengths, waveform)
        n_samples = [waveform.shape[1]] * len(waveform) if n_heard is None else n_heard.tolist()
        rows = [
            list(cut_clips(recording[:n], self.sample_rate, clips or self.config.clips))
            for recording, n in zip(waveform, n_samples, strict=True)
        ]
        if not rows:
            return exact(self.audio.to_shared.weight).new_zeros(0, self.dim)
        vectors = self._embed_clips([clip for row in rows for clip in row])
        return torch.stack([part.mean(0) for part in vectors.split([len(row) for row in rows])])

    def embed_clips(self, waveform: Waveform, lengths: Lengths = None) -> Float[Tensor, "clip dim"]:
        """Unit vectors of clips, each heard as a whole; arguments as for an encoder."""
        return self.audio(waveform, lengths)

    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Unit vectors of texts, each as if it were alone, whatever stands beside it.

        Raises:
            ValueError: a string instead of a list of strings, or something that is no string.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ArgumentError(
                f"embed_text takes a list of strings, not {texts!r:.80}. Write embed_text([text])."
            )
        parts = [self.text(texts[n : n + TEXTS_AT_ONCE]) for n in range(0, len(texts), TEXTS_AT_ONCE)]
        return torch.cat(parts) if parts else self.text.to_shared.weight.new_zeros(0, self.dim)

    def describe(self) -> dict[str, str]:
        """Rows of the card's table."""
        return {
            "kind": "music-text model",
            "sample rate": f"{self.sample_rate} Hz",
            "shared space": f"{self.dim} dimensions",
            "parameters": f"{sum(p.numel() for p in self.parameters()):,}",
        }

    def answer(self, waveform: Float[Tensor, "clip sample"]) -> Float[Tensor, "row value"]:
        """Vectors of a sound and of a text."""
        return torch.cat([self.embed_clips(waveform), self.embed_text([PROBE_TEXT])])

    def save_files(self, folder: Path) -> None:
        """Configuration and tokenizer of the language model, unless a package has them."""
        if not self.config.text.language:
            copy_files(FILES, self.text.language.folder, folder / TEXT)

    def _embed_clips(self, clips: Sequence[Tensor]) -> Float[Tensor, "clip dim"]:
        """Unit vectors of clips of any lengths, some at a time."""
        parts = []
        for n in range(0, len(clips), CLIPS_AT_ONCE):
            batch = clips[n : n + CLIPS_AT_ONCE]
            waveform = nn.utils.rnn.pad_sequence(list(batch), batch_first=True)
            parts.append(self.embed_clips(waveform, [len(clip) for clip in batch]))
        return torch.cat(parts)


class ClipEncoder(AudioEncoder):
    """A MuLan's audio side as an encoder without layers, whose frames are whole clips.

    What embeds tracks by windows of hidden states embeds them by clips too, with windows of a clip's length.
    """

    def __init__(self, mulan: MuLan) -> None:
        super().__init__(ClipFrontend(mulan), NoContext(mulan.dim), mulan.license)
        self.config: MuLanConfig = mulan.config
        for part in (self, self.frontend, self.context):  # in the mode of the model, which stays in its own
            part.training = mulan.training


class ClipFrontend(Frontend):
    """Clips -> one frame each: its unit vector."""

    def __init__(self, mulan: MuLan) -> None:
        super().__init__()
        self.mulan = mulan
        seconds = mulan.config.clips.seconds
        self.grid = FrameGrid(mulan.sample_rate, seconds_to_samples(seconds, mulan.sample_rate))

    def forward(
        self, waveform: Float[Tensor, "clip sample"], lengths: Int[Tensor, " clip"] | None = None
    ) -> tuple[Float[Tensor, "clip frame dim"], None]:
        """One frame for each clip."""
        return self.mulan.embed_clips(waveform, lengths)[:, None], None


class NoContext(Context):
    """Frames as they are."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.n_layers, self.dim, self.layers = 0, dim, nn.ModuleList()

    def forward(
        self,
        frames: Float[Tensor, "clip frame dim"],
        n_frames: Int[Tensor, " clip"] | None,
        highest: int | None = None,
        places: Int[Tensor, "clip frame"] | None = None,
    ) -> HiddenStates:
        """One state: what came."""
        return HiddenStates.of([exact(frames)], n_frames)


def _one_of(transformer: GatedTransformerConfig | None, adapter: Config | None, of: str) -> None:
    """Refuse towers with both or with neither."""
    if (transformer is None) == (adapter is None):
        raise ArgumentError(
            f"The {of} tower stands on a transformer or on an adapter: set the other of the two to null."
        )


class AudioTower(nn.Module):
    """Clips -> unit vectors, by one layer of an encoder, or by several that are pooled."""

    def __init__(self, config: AudioTowerConfig, dim: int) -> None:
        super().__init__()
        _one_of(config.transformer, config.pooled, "audio")
        self.encoder = build_encoder(config.encoder)
        self.pooled = PooledAdapter(config.pooled, self.encoder.dim) if config.pooled else None
        self.layers = config.pooled.layers if config.pooled else (config.layer,)
        if config.pooled:
            self.to_shared = nn.Linear(config.pooled.hidden_dim, dim)
            return
        assert config.transformer is not None
        self.projection = nn.Linear(self.encoder.dim, config.transformer.dim)
        self.transformer = GatedTransformer(config.transformer)
        self.to_shared = nn.Linear(config.transformer.dim, dim)

    def forward(self, waveform: Waveform, lengths: Lengths = None) -> Float[Tensor, "clip dim"]:
        """One vector for each clip."""
        hidden = self.encoder(waveform, lengths, layers=list(self.layers))
        if self.pooled:
            return self.project_pooled(pool_layers(hidden))
        return self.project(hidden.last, hidden.padding if lengths is not None else None)

    def project_pooled(self, pooled: Float[Tensor, "clip pooled"]) -> Float[Tensor, "clip dim"]:
        """One vector for each clip, of its pooled layers; of a tower that reads these."""
        assert self.pooled is not None
        with as_weights_are(self):
            return F.normalize(exact(self.to_shared(self.pooled(pooled))), dim=-1)

    def project(
        self, states: Float[Tensor, "clip frame width"], padding: Bool[Tensor, "clip frame"] | None = None
    ) -> Float[Tensor, "clip dim"]:
        """One vector for each clip, of the encoder's hidden states."""
        with as_weights_are(self):
            frames = self.transformer(self.projection(states), padding)
            return F.normalize(exact(self.to_shared(mean_over(frames, padding))), dim=-1)


class TextTower(nn.Module):
    """Texts -> unit vectors, by a language model.

    One that comes from a package is no part of the tower's weights, and never learns.
    """

    language: TextModel

    def __init__(self, config: TextTowerConfig, dim: int, language: TextModel) -> None:
        super().__init__()
        if language.dim != config.model_dim:
            raise ArgumentError(
                f"The language model in {language.folder} has {language.dim} dimensions, and the "
                f"configuration says {config.model_dim}. Set model_dim of the text tower to {language.dim}."
            )
        self.config = config
        if config.language:
            object.__setattr__(self, "language", language.requires_grad_(False))  # and no part of this module
        else:
            self.language = language
        _one_of(config.transformer, config.adapter, "text")
        self.adapter = config.adapter and ResidualAdapter(config.adapter, config.model_dim)
        if config.adapter:
            if config.reads != "sentence":
                raise ArgumentError(
                    "An adapter changes whole sentences. Set reads of the text tower to sentence."
                )
            self.to_shared = nn.Linear(config.model_dim, dim)
            return
        assert config.transformer is not None
        differs = config.model_dim != config.transformer.dim
        self.projection = nn.Linear(config.model_dim, config.transformer.dim) if differs else nn.Identity()
        self.transformer = GatedTransformer(config.transformer)
        self.to_shared = nn.Linear(config.transformer.dim, dim)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """One vector for each text.

        Departs from the published program, which lets padding take part: there a text's vector depends on
        the longest text beside it. Here it is the one that the published program gives for the text alone.
        """
        with torch.no_grad():
            states, padding = self.embed(texts)
        return self.project(states, padding)

    def embed(
        self, texts: Sequence[str]
    ) -> tuple[Float[Tensor, "text token width"], Bool[Tensor, "text token"]]:
        """States of the language model, and True where there is no token."""
        if self.config.reads == "tokens":
            return self.language(texts)
        vectors = self.language.sentences(texts)[:, None]
        return vectors, torch.zeros(vectors.shape[:2], dtype=torch.bool, device=vectors.device)

    def embed_each(self, texts: Sequence[str]) -> list[Float[Tensor, "token width"]]:
        """States of the language model for each text, to the bit whatever other texts are read with it."""
        states = self.language.each(texts)
        if self.config.reads == "tokens":
            return states
        return [F.normalize(tokens.mean(0, keepdim=True), dim=-1) for tokens in states]

    def project(
        self, states: Float[Tensor, "text token width"], padding: Bool[Tensor, "text token"]
    ) -> Float[Tensor, "text dim"]:
        """One vector for each text, of what the language model says."""
        with as_weights_are(self):
            if self.adapter:
                return F.normalize(exact(self.to_shared(self.adapter(states[:, 0]))), dim=-1)
            tokens = self.transformer(self.projection(states), padding)
            return F.normalize(exact(self.to_shared(mean_over(tokens, padding))), dim=-1)

    def _apply(self, *args: Any, **kwargs: Any) -> "TextTower":
        """A language model that is no part of this module moves to other devices with it all the same."""
        if self.config.language:
            self.language._apply(*args, **kwargs)
        return super()._apply(*args, **kwargs)


def cut_clips(
    recording: Float[Tensor, " sample"], sample_rate: int, config: MuLanClipsConfig
) -> Iterator[Float[Tensor, " sample"]]:
    """The clips of a recording, in order; the last one as ``config.last`` says."""
    size, end = seconds_to_samples(config.seconds, sample_rate), len(recording)
    n_whole = end // size
    for n in range(n_whole):
        yield recording[n * size : (n + 1) * size]
    rest = recording[n_whole * size :]
    if not len(rest):
        return
    if config.last == "end":
        yield recording[max(0, end - size) :]
    else:
        yield torch.cat([rest, recording[: size - len(rest)]])


def mean_over(
    frames: Float[Tensor, "clip frame dim"], padding: Bool[Tensor, "clip frame"] | None
) -> Float[Tensor, "clip dim"]:
    """The mean over frames that are no padding."""
    if padding is None:
        return frames.mean(1)
    heard = (~padding)[..., None].to(frames.dtype)
    return (frames.masked_fill(padding[..., None], 0)).sum(1) / heard.sum(1)
