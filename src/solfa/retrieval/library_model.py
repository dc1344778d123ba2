"""LibraryModel: the model that made a library, loaded when words or unknown files ask for it."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from solfa.checkpoint import CheckpointError
from solfa.embedding import Space, describe_space, embed
from solfa.models import AudioEncoder, ClipEncoder, ModelError, MuLan, load
from solfa.models.registry import LANGUAGE
from solfa.retrieval.expression import WordlessError, Words
from solfa.retrieval.file import LibraryError
from solfa.retrieval.reading import reading_notices
from solfa.retrieval.worth import KNOWN_WORDS, REFERENCE_TEXTS


class LibraryModel:
    """Makes vectors of words and files, in the space of a library. For several threads.

    Args:
        path: the library.
        space: tells what the space of its vectors is now.
        given: the model; loaded by the name in the space when it is needed, if None.
    """

    def __init__(self, path: Path, space: Callable[[], Space], given: AudioEncoder | MuLan | None) -> None:
        self.path, self._space, self._given = path, space, given
        self._model: AudioEncoder | MuLan | None = None
        self._checked = ""  # the space that the model was found to be of
        self._references: tuple[MuLan, Float[np.ndarray, "text dim"]] | None = None
        self._sentences: tuple[MuLan, Float[np.ndarray, "text dim"]] | None = None
        self._lock = threading.Lock()

    def mulan(self) -> MuLan | None:
        """The music-text model of the library; None if its model knows no words.

        Raises:
            LibraryError, SpaceError: its model is gone, or is another one by now.
        """
        model, space = self._loaded()
        mulan = model.frontend.mulan if isinstance(model, ClipEncoder) else model
        return mulan if isinstance(mulan, MuLan) and space.pool == "mean" else None

    def words(self, texts: Sequence[Words]) -> Float[np.ndarray, "text dim"]:
        """Vectors of words. Raises WordlessError if the model knows none."""
        mulan = self.mulan()
        if mulan is None:
            raise WordlessError(
                f"{self.path.name} was made by {self._space().model_name}, which knows no words. Ask for "
                "a track or a file, or make one with a music-text model: solfa index MUSIC --library NEW "
                "--model MODEL"
            )
        with torch.no_grad():
            return mulan.embed_text([words.text for words in texts]).cpu().numpy()

    def reference_texts(self) -> Float[np.ndarray, "text dim"]:
        """Vectors of what others look for; made once. Raises WordlessError if the model knows no words."""
        mulan, known = self.mulan(), self._references
        if mulan is None or known is None or known[0] is not mulan:
            vectors = self.words([Words(text) for text in REFERENCE_TEXTS])
            if mulan is None:  # it has been refused already
                return vectors
            known = self._references = (mulan, vectors)
        return known[1]

    def knows(self, texts: Sequence[Words]) -> bool:
        """Whether each text is near to some reference text, as the language model reads both.

        Of language models for which no bound is known nothing is said, and it is true.
        """
        mulan = self.mulan() if texts else None
        if mulan is None or mulan.text.config.language != LANGUAGE:
            return True
        if self._sentences is None or self._sentences[0] is not mulan:
            with torch.no_grad():
                known = mulan.text.language.sentences(REFERENCE_TEXTS).cpu().numpy()
            self._sentences = (mulan, known)
        with torch.no_grad():
            vectors = mulan.text.language.sentences([words.text for words in texts]).cpu().numpy()
        return bool(((vectors @ self._sentences[1].T).max(1) >= KNOWN_WORDS).all())

    def notices(self, texts: Sequence[str]) -> list[str]:
        """What is to be known of how the model reads some texts."""
        mulan = self.mulan() if texts else None
        return reading_notices(mulan.text.language, texts) if mulan else []

    def file(self, path: Path) -> Float[np.ndarray, " dim"]:
        """The vector of a file. Raises AudioError, FileNotFoundError if it cannot be read."""
        model, space = self._loaded()
        vectors = embed(
            path, _audio_side(model), layer=space.layer, pool=space.pool, windows=space.windows,
            precision=space.precision,
        )  # fmt: skip
        return vectors[0].numpy()

    def _loaded(self) -> tuple[AudioEncoder | MuLan, Space]:
        """The model, checked once for each space, and the space."""
        with self._lock:
            space = self._space()
            if self._model is None or self._checked != space.id:
                model = self._given or _load_model(self.path, space)
                same = describe_space(
                    _audio_side(model), space.model, layer=space.layer, pool=space.pool,
                    windows=space.windows, precision=space.precision,
                )  # fmt: skip
                space.check_same(same, self.path)
                self._model, self._checked = model, space.id
            return self._model, space


def _audio_side(model: AudioEncoder | MuLan) -> AudioEncoder:
    return ClipEncoder(model).eval() if isinstance(model, MuLan) else model


def _load_model(path: Path, space: Space) -> AudioEncoder | MuLan:
    try:
        return load(space.model)
    except (ModelError, CheckpointError) as error:
        raise LibraryError(
            f"The model of {path} cannot be loaded: {error} "
            "If it is in another place now, name that with --model."
        ) from error
