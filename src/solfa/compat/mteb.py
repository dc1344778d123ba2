"""Solfa's models as encoders of mteb, for its audio tasks and those that join audio and text.

Needs the package mteb: pip install "solfa[mteb]". Each recording is heard alone and in its own length, so
that what a batch holds besides changes nothing.
"""

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from jaxtyping import Float
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from torch import Tensor

from solfa import models
from solfa.embedding.moments import Moments
from solfa.errors import ArgumentError
from solfa.models.bundled import MUSIC_TEXT
from solfa.models.input import Layer

WINDOW_SECONDS = 30.0  # of an encoder of sound alone: longer recordings are averaged over such windows


class SolfaEncoder(AbsEncoder):
    """A model of solfa, asked as mteb asks.

    Args:
        model_name: whatever ``solfa.load`` takes.
        revision: has no effect: a folder or a cached model is what it is.
        device: where it computes.
        layer: of an encoder of sound alone: whose frames are averaged; its default layer if None.
        max_audio_length_seconds: what comes later in a recording is not heard; None: all is.
        ignored: options of other wrappers.
    """

    def __init__(
        self,
        model_name: str = MUSIC_TEXT,
        revision: str | None = None,
        *,
        device: str | None = None,
        layer: Layer | None = None,
        max_audio_length_seconds: float | None = None,
        **ignored: Any,
    ) -> None:
        self.model = models.load(model_name, device or "cpu")
        self.layer = layer if isinstance(self.model, models.MuLan) else self.model.layer_number(layer)
        self.longest_seconds = max_audio_length_seconds
        self.mteb_model_meta = describe(model_name, self.model)

    def encode(self, inputs: Any, **ignored: Any) -> Float[np.ndarray, "row dim"]:
        """A vector for each row of a loader of batches: of its recording, its text, or the sum of both.

        Raises:
            ValueError: texts for a model that knows no words, rows of another kind, or a recording that is no
                sound (see ``AudioEncoder.forward``); the message names the row.
        """
        vectors, n_before = [np.zeros((0, self._dim), np.float32)], 0
        for batch in inputs:
            of_batch = [
                self._batch(name, batch[name], n_before) for name in ("audio", "text") if name in batch
            ]
            if not of_batch:
                raise ArgumentError(f"Rows hold {', '.join(batch)}; solfa hears 'audio' and reads 'text'.")
            vectors.append(np.sum(of_batch, axis=0))
            n_before += len(vectors[-1])
        return np.concatenate(vectors)

    @property
    def _dim(self) -> int:
        return self.model.dim

    def _batch(self, name: str, rows: Sequence[Any], n_before: int) -> Float[np.ndarray, "row dim"]:
        with torch.no_grad():
            if name == "text":
                return self._read(rows).cpu().numpy()
            heard = [self._hear(row, n_before + number) for number, row in enumerate(rows)]
        return torch.stack(heard).cpu().numpy()

    def _read(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        if not isinstance(self.model, models.MuLan):
            raise ArgumentError(
                f"{type(self.model).__name__} knows no words. Take tasks of sound alone, or a music-text "
                f"model, such as {MUSIC_TEXT}."
            )
        return self.model.embed_text(list(texts))

    def _hear(self, row: Mapping[str, Any], number: int) -> Float[Tensor, " dim"]:
        try:
            waveform = self._waveform(row)
            if isinstance(self.model, models.MuLan):
                return self.model.embed_audio(waveform)[0]
            moments = Moments("mean")
            for window in self._windows(waveform):
                moments.add(self.model(window, layers=[self.layer or 0]).last[0])
            return moments.pooled()
        except ValueError as error:
            raise ArgumentError(f"Recording {number} of the task: {error}") from None

    def _waveform(self, row: Mapping[str, Any]) -> Float[Tensor, "1 sample"]:
        """Mono at the model's rate."""
        sound, rate = np.asarray(row["array"], np.float32), int(row["sampling_rate"])
        if sound.ndim == 2:  # channels come first, as decoders give them; a row is longer than there are
            sound = sound.mean(int(np.argmin(sound.shape)))
        if self.longest_seconds is not None:
            sound = sound[: int(self.longest_seconds * rate)]
        if rate != self.model.sample_rate:
            sound = soxr.resample(sound, rate, self.model.sample_rate)
        return torch.from_numpy(np.ascontiguousarray(sound))[None]

    def _windows(self, waveform: Float[Tensor, "1 sample"]) -> Iterator[Float[Tensor, "1 window"]]:
        """Windows one after the other; the last is up to twice as long, so that none is too short."""
        length = int(WINDOW_SECONDS * self.model.sample_rate)
        n_windows = max(1, waveform.shape[1] // length)
        for number in range(n_windows):
            stop = None if number == n_windows - 1 else (number + 1) * length
            yield waveform[:, number * length : stop]


def describe(name: str, model: models.AudioEncoder | models.MuLan) -> ModelMeta:
    """What mteb writes beside scores."""
    knows_words = isinstance(model, models.MuLan)
    short = Path(name).name if "/" in name and not Path(name).is_dir() else Path(name).resolve().name
    return ModelMeta(
        loader=partial(SolfaEncoder, name),  # type: ignore[arg-type]
        name=name if name.count("/") == 1 and not Path(name).is_dir() else f"solfa/{short or name}",
        revision=importlib.metadata.version("solfa"),
        release_date=None,
        languages=["eng-Latn"] if knows_words else None,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        memory_usage_mb=None,
        max_tokens=None,
        embed_dim=model.dim,
        license=model.license.lower() or None,
        open_weights=True,
        public_training_code=None,
        public_training_data=None,
        framework=["PyTorch"],
        similarity_fn_name="cosine",
        use_instructions=False,
        training_datasets=None,
        modalities=["audio", "text"] if knows_words else ["audio"],
    )
