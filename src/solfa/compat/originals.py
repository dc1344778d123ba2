"""The originals' class names and call styles: a script changes one import line.

Numbers are those of ``solfa.load``. What differs from the originals on purpose stands in docs/compat.md.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from solfa import models, runs
from solfa.config import from_dict
from solfa.errors import ArgumentError
from solfa.frames import LOUDEST
from solfa.models.folders import fetch
from solfa.models.input import Layers, Waveform, as_waveform, check_samples
from solfa.models.mert import WaveformFrontend, standardize
from solfa.models.mert2 import MERT2Config
from solfa.models.published import find_format

log = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T", bound="Original[Any]")


class ByNameAndPosition(Mapping[str, Any]):
    """A dataclass that is also read as ``x["name"]``, ``x[0]`` and ``**x``; without fields that are None."""

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields, in order."""
        return tuple(self.values())

    def __getitem__(self, key: str | int | slice) -> Any:
        return self._present()[key] if isinstance(key, str) else self.to_tuple()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._present())

    def __len__(self) -> int:
        return len(self._present())

    def _present(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, eq=False)
class BaseModelOutput(ByNameAndPosition):
    """Output of an encoder."""

    last_hidden_state: Float[Tensor, "clip frame dim"]
    hidden_states: tuple[Float[Tensor, "clip frame dim"], ...] | None = None  # None: not asked for


# So that programs that are exported or mapped can answer with it.
torch.export.register_dataclass(BaseModelOutput, serialized_type_name="solfa.BaseModelOutput")


@dataclass(eq=False)
class BatchFeature(ByNameAndPosition):
    """What MERT takes."""

    input_values: Float[Tensor, "clip sample"]
    attention_mask: Int[Tensor, "clip sample"]  # 1: audio, 0: padding

    def to(self, device: str | torch.device) -> "BatchFeature":
        """Move to another device; in place, as in the original."""
        self.input_values = self.input_values.to(device)
        self.attention_mask = self.attention_mask.to(device)
        return self


class Original(nn.Module, Generic[M]):
    """A model of solfa behind the call style of the program that it was published with."""

    kind: ClassVar[type[nn.Module]]

    def __init__(self, model: M) -> None:
        super().__init__()
        self.model = model

    @classmethod
    def from_pretrained(
        cls: type[T], name: str | Path, *, trust_remote_code: bool = False, **ignored: Any
    ) -> T:
        """A trained model, in eval mode; its weights can be trained further.

        Args:
            name: whatever ``solfa.load`` takes.
            trust_remote_code: has no effect; no remote code is ever run.
            ignored: options of the original that have no meaning here; a warning names them.

        Raises:
            ModelError: there is no such model, or it is of another kind.
        """
        _warn_of(ignored)
        loaded = models.load(name)
        if not isinstance(loaded, cls.kind):
            raise models.ModelError(
                f"{name} is a {type(loaded).__name__}, and solfa.compat.{cls.__name__} holds a "
                f"{cls.kind.__name__}. Take the other class, or solfa.load, which loads every model."
            )
        model: Any = loaded.requires_grad_(True)
        return cls(model).eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


class MuQ(Original[models.MuQ]):
    """MuQ, called as ``muq.MuQ`` is."""

    kind = models.MuQ

    def forward(
        self,
        x: Waveform,
        attention_mask: Any = None,
        output_hidden_states: bool = True,
        *,
        layers: Layers | None = None,
    ) -> BaseModelOutput:
        """Hidden states of clips.

        Args:
            x: (clip, sample): mono, in [-1, 1], at 24 kHz; a tensor or an array.
            attention_mask: (clip sample), 1 where there is audio and 0 in the padding after it. A clip then
                has the features that it has alone, and zeros in the padding.
            output_hidden_states: whether to give all layers besides the last.
            layers: which the original does not know: only these, as for ``AudioEncoder``; the last one that
                is named is then the last hidden state.

        Raises:
            ValueError: a mask that is not 1 first and 0 after, or a waveform that ``AudioEncoder`` refuses.
        """
        hidden = self.model(x, lengths_of(attention_mask, x), layers)
        return BaseModelOutput(hidden.last, hidden.states if output_hidden_states else None)


class MuQMuLan(Original[models.MuLan]):
    """MuQ-MuLan, called as ``muq.MuQMuLan`` is."""

    kind = models.MuLan

    @property
    def sr(self) -> int:
        """Sample rate of the waveform that the model expects, in Hz."""
        return self.model.sample_rate

    @property
    def clip_secs(self) -> int | float:
        """Seconds of the clips that audio is cut into; an int if they are whole, to count samples with."""
        seconds = self.model.config.clips.seconds
        return int(seconds) if seconds == int(seconds) else seconds

    def forward(
        self,
        wavs: Waveform | None = None,
        texts: Sequence[str] | None = None,
        *,
        parallel_processing: bool = False,
    ) -> Float[Tensor, "row dim"]:
        """Vectors of recordings or of texts: of whichever is given.

        Args:
            wavs: (clip, sample): mono, in [-1, 1], at ``sr``; a tensor or an array.
            texts: English or Chinese.
            parallel_processing: has no effect; clips always run some at a time.

        Raises:
            ValueError: both or neither are given.
        """
        if wavs is not None and texts is None:
            return self.extract_audio_latents(wavs)
        if texts is not None and wavs is None:
            return self.extract_text_latents(texts)
        raise ArgumentError(
            f"Give either wavs= or texts=, not {'neither' if wavs is None else 'both'}. For both, call twice."
        )

    def extract_audio_latents(
        self, wavs: Waveform, *, parallel_processing: bool = False
    ) -> Float[Tensor, "clip dim"]:
        """For each recording the mean of the unit vectors of its clips; arguments as for a call."""
        return self.model.embed_audio(wavs)

    def extract_text_latents(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Unit vectors of texts, each as if it were alone."""
        return self.model.embed_text(texts)

    def calc_similarity(
        self, audio_latents: Float[Tensor, "*clip dim"], text_latents: Float[Tensor, "*text dim"]
    ) -> Float[Tensor, "*clip_text"]:
        """The product of each clip with each text; an axis that an argument lacks, the answer lacks too."""
        return torch.inner(audio_latents, text_latents)


@dataclass(frozen=True)
class MERTModelConfig:
    """What scripts ask ``model.config`` for, by the original's names."""

    hidden_size: int
    num_hidden_layers: int
    sample_rate: int  # Hz
    feature_extractor_cqt: bool  # whether constant-Q frames join those of the convolutions


class MERTModel(Original[models.MERT]):
    """MERT, called as transformers calls it; takes what ``Wav2Vec2FeatureExtractor`` gives."""

    kind = models.MERT

    def __init__(self, model: models.MERT) -> None:
        super().__init__(model)
        frontend = model.frontend
        assert isinstance(frontend, WaveformFrontend)
        frontend.config = replace(frontend.config, normalize=False)  # the feature extractor has done it
        model.loudest = math.inf  # since what it gives has no full scale
        self.config = MERTModelConfig(
            hidden_size=model.dim,
            num_hidden_layers=model.n_layers,
            sample_rate=model.sample_rate,
            feature_extractor_cqt=frontend.constant_q is not None,
        )

    def forward(
        self,
        input_values: Waveform,
        attention_mask: Any = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        *,
        layers: Layers | None = None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Hidden states of clips; a plain tuple of them if ``return_dict`` is False.

        Args:
            input_values: (clip, sample): mono, at ``config.sample_rate``, standardised if the feature
                extractor does it.
            attention_mask: as for ``MuQ``.
            output_attentions: only False.
            output_hidden_states: whether to give all layers besides the last.
            return_dict: whether the parts of the answer have names.
            layers: as for ``MuQ``.

        Raises:
            ValueError: attention weights are asked for; otherwise as for ``MuQ``.
        """
        if output_attentions:
            raise ArgumentError("Attention weights are never formed here. Leave output_attentions out.")
        hidden = self.model(input_values, lengths_of(attention_mask, input_values), layers)
        output = BaseModelOutput(hidden.last, hidden.states if output_hidden_states else None)
        return output if return_dict else output.to_tuple()


class Wav2Vec2FeatureExtractor:
    """Recordings -> what ``MERTModel`` takes, called as the class of transformers is."""

    def __init__(self, sampling_rate: int, do_normalize: bool) -> None:
        self.sampling_rate = sampling_rate  # Hz
        self.do_normalize = do_normalize  # each clip to mean 0 and variance 1 over its own samples

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        do_normalize: bool | None = None,
        trust_remote_code: bool = False,
        **ignored: Any,
    ) -> "Wav2Vec2FeatureExtractor":
        """The feature extractor of a trained MERT.

        Args:
            name: as for ``MERTModel`` or ``MERT2Model``.
            do_normalize: instead of what the model's ``preprocessor_config.json`` says.
            trust_remote_code: has no effect.
            ignored: options of the original that have no meaning here; a warning names them.
        """
        _warn_of(ignored)
        sample_rate, normalizes = _input_of(name)
        return cls(sample_rate, normalizes if do_normalize is None else do_normalize)

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        padding: bool | str = False,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Clips in one tensor, and where they hold audio.

        Args:
            raw_speech: a mono clip or a list of them: arrays, tensors or lists of floats.
            sampling_rate: of ``raw_speech``, in Hz.
            padding: whether clips may be of different lengths, and are filled up with zeros.
            return_tensors: only ``pt``.

        Raises:
            ValueError: another sampling rate, different lengths without padding, or samples of no meaning.
        """
        if sampling_rate not in (None, self.sampling_rate):
            raise ArgumentError(
                f"This MERT takes audio at {self.sampling_rate} Hz, not at {sampling_rate} Hz. Resample it "
                f"first: soxr.resample(audio, {sampling_rate}, {self.sampling_rate})."
            )
        if padding not in (True, False, "longest") or return_tensors != "pt":
            raise ArgumentError(
                f"padding={padding!r} and return_tensors={return_tensors!r} is not known here. Known are "
                'padding=True (to the longest clip) or False, and return_tensors="pt".'
            )
        clips = _clips(raw_speech, math.inf if self.do_normalize else LOUDEST)
        lengths = torch.tensor([len(clip) for clip in clips], device=clips[0].device)
        if not padding and len(lengths.unique()) > 1:
            raise ArgumentError(f"Clips of {lengths.tolist()} samples make no batch. Give padding=True.")
        waveform = nn.utils.rnn.pad_sequence(clips, batch_first=True)
        if self.do_normalize:
            waveform = standardize(waveform, lengths)
        return BatchFeature(waveform, _audio_mask(lengths, waveform).int())


def _clips(raw_speech: Any, loudest: float) -> list[Float[Tensor, " sample"]]:
    are_many = len(raw_speech) > 0 and np.ndim(raw_speech[0]) > 0
    clips = []
    for row in raw_speech if are_many else [raw_speech]:
        array = row if isinstance(row, Tensor | np.ndarray) else np.asarray(row)
        clip = as_waveform(array[None], dtype=torch.float32)
        if not clip.shape[1]:
            raise ArgumentError("A clip without samples has no features. Leave it out.")
        check_samples(clip, loudest=loudest)
        clips.append(clip[0])
    return clips


def lengths_of(attention_mask: Any, waveform: Waveform) -> Int[Tensor, " clip"] | None:
    """Samples of audio in each clip, from a mask of samples."""
    if attention_mask is None:
        return None
    attention_mask, waveform = torch.as_tensor(attention_mask), as_waveform(waveform)
    if attention_mask.shape != waveform.shape:
        raise ArgumentError(
            f"attention_mask says of each sample whether it is audio, so it has the shape of the waveform, "
            f"{tuple(waveform.shape)}, not {tuple(attention_mask.shape)}."
        )
    is_audio = attention_mask.bool()
    lengths = is_audio.sum(1)
    broken = (is_audio != _audio_mask(lengths, waveform)).any(1)
    if bool(broken.any()):
        raise ArgumentError(
            f"The attention_mask of clips {broken.nonzero().flatten().tolist()} has a 0 before a 1. Audio "
            "comes first, and padding after it: pad on the right, and give clips with gaps without a mask."
        )
    return lengths


def _audio_mask(lengths: Int[Tensor, " clip"], waveform: Tensor) -> Tensor:
    return torch.arange(waveform.shape[1], device=lengths.device) < lengths[:, None]


def _input_of(name: str | Path) -> tuple[int, bool]:
    """The sample rate of a trained MERT, and whether it takes clips standardised."""
    folder = Path(name)
    if not folder.is_dir():
        folder = fetch(str(name), ["*config.json"])
    values = runs.read_values(folder)
    if layout := find_format(values):
        config: Any = layout.config(folder, values)
    else:
        ours = values.get("model") or values.get("objective", {}).get("encoder", {})
        kinds = {"mert": models.MERTConfig, "mert2": MERT2Config}
        config = from_dict(kinds[ours["kind"]], ours) if ours.get("kind") in kinds else None
    if not isinstance(config, models.MERTConfig | MERT2Config):
        raise models.ModelError(
            f"{name} is no MERT. Other models take the waveform as it is: call them with it."
        )
    return config.grid.sample_rate, getattr(config, "normalize", False)


def _warn_of(ignored: Mapping[str, Any]) -> None:
    if ignored:
        log.warning("from_pretrained takes no notice of %s; see docs/compat.md.", ", ".join(sorted(ignored)))
