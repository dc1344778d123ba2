"""Exact search: a query vector against all vectors of a library, by one matrix product."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from solfa.checkpoint import CheckpointError
from solfa.data.manifest import Track
from solfa.embedding import describe_space, embed, hash_content
from solfa.models import AudioEncoder, ModelError
from solfa.models import load_encoder as load
from solfa.retrieval.library import Library, LibraryError


@dataclass(frozen=True)
class Match:
    """A track that was found."""

    track: Track
    score: float  # cosine similarity, in [-1, 1]


class VectorIndex:
    """The vectors of a library in memory, ready to be compared.

    Args:
        tracks: what the vectors are of.
        vectors: one for each track.
        centred: take the mean of all ``vectors`` from each vector and from each query before comparing. Mean
            hidden states of music all point to one side; what is left says in what tracks differ. The scores
            then depend on what else is in the library.
    """

    def __init__(
        self, tracks: Sequence[Track], vectors: Float[np.ndarray, "track dim"], centred: bool = False
    ) -> None:
        self.tracks = tracks
        self.centre = vectors.mean(0, dtype=np.float64).astype(np.float32) if centred else np.float32(0)
        self.units = _units(vectors - self.centre)

    @classmethod
    def of(cls, library: Library, centred: bool = False) -> "VectorIndex":
        """The vectors of a library as it is now."""
        tracks = library.tracks()
        if not tracks:
            raise LibraryError(
                f"{library.path} holds no tracks yet. Fill it: solfa index MUSIC --library {library.path}"
            )
        return cls(tracks, library.vectors(tracks), centred)

    def nearest(self, vector: Float[np.ndarray, " dim"], n: int, without: Container[str] = ()) -> list[Match]:
        """The ``n`` most similar tracks, best first; equal scores in the order of tracks.

        Args:
            vector: what to look for.
            n: at most so many.
            without: content hashes that are left out.
        """
        scores = self.units @ _units((vector - self.centre)[None])[0]
        found: list[Match] = []
        for row in np.argsort(-scores, kind="stable"):
            if len(found) == n:
                break
            if self.tracks[row].content_hash not in without:
                found.append(Match(self.tracks[row], float(scores[row])))
        return found


def similar(
    library: Library,
    path: Path,
    *,
    n: int = 10,
    centred: bool = False,
    encoder: AudioEncoder | None = None,
) -> list[Match]:
    """Tracks of a library that sound like a file, best first; the file itself and its copies are left out.

    Args:
        library: where to look.
        path: audio file, in the library or not; its vector is taken from there if it is known.
        n: at most so many.
        centred: see ``VectorIndex``.
        encoder: makes the vector of an unknown file; loaded by the name in the library if None.

    Raises:
        AudioError, FileNotFoundError: the file cannot be read.
        LibraryError: the library is empty, or its model cannot be loaded.
        SpaceError: the model is not the one that made the library.
    """
    content_hash, vector = query_of(library, path, encoder)
    return VectorIndex.of(library, centred).nearest(vector, n, without={content_hash})


def query_of(
    library: Library, path: Path, encoder: AudioEncoder | None = None
) -> tuple[str, Float[np.ndarray, " dim"]]:
    """Content hash and vector of a file: from the library if it is known there, else by its model."""
    track = library.find(path)
    content_hash = track.content_hash if track else hash_content(path)
    vector = library.vector_of(content_hash)
    if vector is None:
        vector = _embed_into(library, path, encoder or load_encoder(library))
    return content_hash, vector


def load_encoder(library: Library) -> AudioEncoder:
    """The encoder that made the vectors of a library."""
    try:
        return load(library.space.model)
    except (ModelError, CheckpointError) as error:
        raise LibraryError(
            f"The model of {library.path} cannot be loaded: {error} "
            "If it is in another place now, name that with --model."
        ) from error


def _embed_into(library: Library, path: Path, encoder: AudioEncoder) -> Float[np.ndarray, " dim"]:
    space = library.space
    same = describe_space(
        encoder, space.model, layer=space.layer, pool=space.pool, windows=space.windows,
        precision=space.precision,
    )  # fmt: skip
    space.check_same(same, library.path)
    vectors = embed(
        path, encoder, layer=space.layer, pool=space.pool, windows=space.windows, precision=space.precision
    )
    return vectors[0].numpy()


def _units(vectors: Float[np.ndarray, "track dim"]) -> Float[np.ndarray, "track dim"]:
    """Vectors of length one; a vector of zeros stays what it is, and is similar to nothing."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
