"""LibraryModel: the model that made a library, loaded when words or unknown files ask for it.

Words are read by the text side of the model alone, without PyTorch, where that can be done; see
``solfa.models.query_reader``. Only if not, or for files, is the whole model loaded.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from solfa.checkpoint import CheckpointError
from solfa.embedding.space import Space
from solfa.models.bundled import LANGUAGE
from solfa.models.folders import ModelError
from solfa.models.query_reader import read_queries
from solfa.retrieval.expression import WordlessError, Words
from solfa.retrieval.file import LibraryError
from solfa.retrieval.reading import Language, reading_notices, unread_words
from solfa.retrieval.worth import KNOWN_WORDS, REFERENCE_TEXTS

if TYPE_CHECKING:
    import solfa.models

log = logging.getLogger(__name__)


@runtime_checkable
class Sentences(Language, Protocol):
    """A language model that makes a vector of each text."""

    def sentences(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        """Unit vectors."""


@runtime_checkable
class TextSide(Protocol):
    """What understands words: a ``QueryReader``, or a model of PyTorch."""

    @property
    def language_name(self) -> str:
        """Of its language model; empty if that is its own."""

    @property
    def language(self) -> Sentences:
        """What reads the words."""

    def embed_text(self, texts: Sequence[str]) -> Float[np.ndarray, "text dim"]:
        """Unit vectors in the space of the library."""


class LibraryModel:
    """Makes vectors of words and files, in the space of a library. For several threads.

    Args:
        path: the library.
        space: tells what the space of its vectors is now.
        given: the model; loaded by the name in the space when it is needed, if None.
    """

    def __init__(
        self,
        path: Path,
        space: Callable[[], Space],
        given: "solfa.models.AudioEncoder | solfa.models.MuLan | None",
    ) -> None:
        self.path, self._space, self._given = path, space, given
        self._model: solfa.models.AudioEncoder | solfa.models.MuLan | None = None
        self._checked = ""  # the space that the model was found to be of
        self._text_side: TextSide | None = None
        self._text_checked = ""  # the space that it was looked for
        self._references: tuple[TextSide, Float[np.ndarray, "text dim"]] | None = None
        self._sentences: tuple[TextSide, Float[np.ndarray, "text dim"]] | None = None
        self._lock, self._text_lock = threading.Lock(), threading.Lock()

    def mulan(self) -> "solfa.models.MuLan | None":
        """The music-text model of the library; None if its model knows no words.

        Raises:
            LibraryError, SpaceError: its model is gone, or is another one by now.
        """
        from solfa.models import ClipEncoder, MuLan

        model, space = self._loaded()
        mulan = model.frontend.mulan if isinstance(model, ClipEncoder) else model
        return mulan if isinstance(mulan, MuLan) and space.pool == "mean" else None

    def words(self, texts: Sequence[Words]) -> Float[np.ndarray, "text dim"]:
        """Vectors of words. Raises WordlessError if the model knows none."""
        side = self._reading()
        if side is None:
            raise WordlessError(
                f"{self.path.name} was made by {self._space().model_name}, which knows no words. Ask for "
                "a track or a file, or make one with a music-text model: solfa index MUSIC --library NEW "
                "--model MODEL"
            )
        return side.embed_text([words.text for words in texts])

    def reference_texts(self) -> Float[np.ndarray, "text dim"]:
        """Vectors of what others look for; made once. Raises WordlessError if the model knows no words."""
        side, known = self._reading(), self._references
        if side is None or known is None or known[0] is not side:
            vectors = self.words([Words(text) for text in REFERENCE_TEXTS])
            if side is None:  # it has been refused already
                return vectors
            known = self._references = (side, vectors)
        return known[1]

    def knows(self, texts: Sequence[Words]) -> bool:
        """Whether each text is near to some reference text, as the language model reads both.

        Of language models for which no bound is known nothing is said, and it is true.
        """
        side = self._reading() if texts else None
        if side is None or side.language_name != LANGUAGE:
            return True
        if self._sentences is None or self._sentences[0] is not side:
            self._sentences = (side, side.language.sentences(REFERENCE_TEXTS))
        vectors = side.language.sentences([words.text for words in texts])
        return bool(((vectors @ self._sentences[1].T).max(1) >= KNOWN_WORDS).all())

    def notices(self, texts: Sequence[str]) -> list[str]:
        """What is to be known of how the model reads some texts."""
        side = self._reading() if texts else None
        return reading_notices(side.language, texts) if side else []

    def reads(self, texts: Sequence[str]) -> bool:
        """Whether the model knows most words of some texts; false for another language."""
        side = self._reading() if texts else None
        return side is None or not unread_words(side.language, texts)

    def _reading(self) -> TextSide | None:
        """What understands words, found once for each space; None if the model knows none."""
        space = self._space()
        with self._text_lock:
            if self._text_checked != space.id:
                self._text_side = self._light_side(space) or self._heavy_side()
                self._text_checked = space.id
            return self._text_side

    def _light_side(self, space: Space) -> TextSide | None:
        """The text side alone. Whatever hinders it, the whole model is loaded, and says what is wrong."""
        if self._given is None and space.pool == "mean":
            try:
                return read_queries(space.model, space.weights)
            except Exception as error:  # of files that are damaged, anything
                log.debug("The words of %s are read by PyTorch: %s", space.model, error)
        return None

    def _heavy_side(self) -> TextSide | None:
        mulan = self.mulan()
        if mulan is None:
            return None
        from solfa.retrieval.whole_model import WholeModel

        return WholeModel(mulan)

    def file(self, path: Path) -> Float[np.ndarray, " dim"]:
        """The vector of a file. Raises AudioError, FileNotFoundError if it cannot be read."""
        from solfa.embedding import embed

        model, space = self._loaded()
        vectors = embed(
            path, _audio_side(model), layer=space.layer, pool=space.pool, windows=space.windows,
            precision=space.precision,
        )  # fmt: skip
        return vectors[0].numpy()

    def _loaded(self) -> "tuple[solfa.models.AudioEncoder | solfa.models.MuLan, Space]":
        """The model, checked once for each space, and the space."""
        from solfa.embedding import describe_space

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


def _audio_side(model: "solfa.models.AudioEncoder | solfa.models.MuLan") -> "solfa.models.AudioEncoder":
    from solfa.models import ClipEncoder, MuLan

    return ClipEncoder(model).eval() if isinstance(model, MuLan) else model


def _load_model(path: Path, space: Space) -> "solfa.models.AudioEncoder | solfa.models.MuLan":
    from solfa.models import load

    try:
        return load(space.model)
    except (ModelError, CheckpointError) as error:
        raise LibraryError(
            f"The model of {path} cannot be loaded: {error} "
            "If it is in another place now, name that with --model."
        ) from error
