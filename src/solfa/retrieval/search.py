"""Searcher: a library that answers queries by words, tracks, segments, files and sums of these."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Float

from solfa.checkpoint import CheckpointError
from solfa.embedding import Space, describe_space, embed, hash_content
from solfa.models import AudioEncoder, ClipEncoder, ModelError, MuLan, load
from solfa.retrieval.contents import LibrarySegment, LibraryTrack
from solfa.retrieval.expression import QueryError, Term, TrackNumber, Words, parse_query
from solfa.retrieval.file import LibraryError
from solfa.retrieval.filters import Filters
from solfa.retrieval.index import ExactIndex, Index, units
from solfa.retrieval.library import Library
from solfa.retrieval.projection import project

Point = tuple[int, float, float]  # number of a track, x, y


@dataclass(frozen=True)
class Match:
    """A track that was found, and where in it the query fits best."""

    track: LibraryTrack
    score: float  # cosine similarity of the whole track, in [-1, 1]
    start: float  # of the best segment, in seconds
    end: float


class Searcher:
    """Answers queries about a library, and follows what others change in it. May be used by several threads.

    Args:
        path: the library.
        encoder: the model that made it, for queries by words and by unknown files; loaded by the name in the
            library when it is needed, if None.
        index: what finds the nearest vectors; exact if None.
        reads_files: whether a query may name any file. If not, as is wise where strangers ask, only files of
            the library are known, and no other is looked at.

    Raises:
        LibraryError: there is no library, or it is damaged.
    """

    def __init__(
        self,
        path: Path,
        encoder: AudioEncoder | MuLan | None = None,
        *,
        index: Index | None = None,
        reads_files: bool = True,
    ) -> None:
        self.path, self.reads_files = Path(path), reads_files
        self._index = index or ExactIndex()
        self._library = Library(self.path)
        self._state: tuple[int, ...] = ()  # of the library when the index last followed it
        self._n_tracks = 0
        self._model, self._checked = encoder, False
        self._lock, self._map_lock = threading.RLock(), threading.Lock()
        self._model_lock = threading.Lock()  # taken inside the others, never around them

    def __enter__(self) -> "Searcher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the library."""
        with self._lock:
            self._library.close()

    @property
    def space(self) -> Space:
        """Of the library's vectors."""
        return self._library.space

    def count(self, filters: Filters | None = None) -> int:
        """How many tracks pass the filters."""
        with self._open() as library:
            return len(library.ids(filters) if filters else library)

    def tracks(
        self, offset: int = 0, n: int | None = None, filters: Filters | None = None
    ) -> list[LibraryTrack]:
        """Tracks by path: ``n`` of those that pass the filters, after ``offset`` others."""
        with self._open() as library:
            return library.tracks(filters, n=n, offset=offset)

    def track(self, id: int) -> LibraryTrack:
        """The track of a number. Raises LibraryError if there is none."""
        with self._open() as library:
            return library.track(id)

    def segments(self, track_id: int) -> list[LibrarySegment]:
        """The segments of a track, in the order of time."""
        with self._open() as library:
            return library.segments(library.track(track_id))

    def search(self, query: str, n: int = 10, filters: Filters | None = None) -> list[Match]:
        """The tracks that fit a query best, best first; those that it names are left out.

        Args:
            query: words, or terms with signs and weights as ``expression`` describes them.
            n: at most so many.
            filters: only tracks that pass are considered.

        Raises:
            QueryError: the query cannot be understood, or the model of the library knows no words.
            LibraryError: it names a track that is not there, the library is empty, or its model is gone.
            AudioError, FileNotFoundError: it names a file that cannot be read.
            SpaceError: the model is not the one that made the library.
        """
        return self._find(parse_query(query), n, filters)

    def similar(
        self, track_id: int, segment: int | None = None, n: int = 10, filters: Filters | None = None
    ) -> list[Match]:
        """Tracks that sound like a track or one of its segments; the track and its copies are left out."""
        if segment is None:
            return self._find([Term(1.0, TrackNumber(track_id))], n, filters)
        segments = self.segments(track_id)
        if not 0 <= segment < len(segments):
            raise QueryError(
                f"Track {track_id} has segments 0 to {len(segments) - 1}, and no segment {segment}."
            )
        return self._find([Term(1.0, TrackNumber(track_id, segments[segment].start))], n, filters)

    def similar_to_file(self, path: Path, n: int = 10, filters: Filters | None = None) -> list[Match]:
        """Tracks that sound like a file, in the library or not; the file and its copies are left out."""
        return self._find([Term(1.0, Path(path))], n, filters)

    def similar_to_upload(self, path: Path, n: int = 10, filters: Filters | None = None) -> list[Match]:
        """As ``similar_to_file``, for a file that somebody handed over; others may search meanwhile.

        Raises:
            AudioError, FileNotFoundError: the file cannot be read.
            LibraryError, SpaceError: the model of the library is gone, or is another one by now.
        """
        content_hash = hash_content(path)
        with self._open() as library:
            vector = library.vector_of(content_hash)
        if vector is None:
            vector = self._embedded(path)
        with self._open() as library, library.snapshot():
            self._refresh(library)
            direction = units((vector - self._index.centre)[None])[0]
            return self._nearest(library, direction, [content_hash], n, filters)

    def vectors(self, ids: Sequence[int]) -> Float[np.ndarray, "track dim"]:
        """The vectors of some tracks, in their order. Raises LibraryError if one is missing."""
        with self._open() as library:
            return library.vectors(library.tracks_of(ids))

    def sampled_ids(self, n: int) -> list[int]:
        """Numbers of at most ``n`` tracks, spread evenly over the library."""
        with self._open() as library:
            ids = library.ids(Filters())
        return ids[:: -(-len(ids) // n)] if ids else []

    def tracks_of(self, ids: Sequence[int]) -> list[LibraryTrack]:
        """The tracks of some numbers, in their order. Raises LibraryError if one is missing."""
        with self._open() as library:
            return library.tracks_of(ids)

    def mulan(self) -> MuLan | None:
        """The music-text model of the library; None if its model knows no words.

        Raises:
            LibraryError, SpaceError: its model is gone, or is another one by now.
        """
        model = self._loaded()
        mulan = model.frontend.mulan if isinstance(model, ClipEncoder) else model
        return mulan if isinstance(mulan, MuLan) and self.space.pool == "mean" else None

    def map(self) -> list[Point]:
        """Number, x and y of each track in [-1, 1]: what sounds alike lies together. See ``project``.

        Made when tracks have come since the last time, which takes seconds for some thousands, and kept in
        the library.
        """
        with self._map_lock:
            with self._open() as library, library.snapshot():
                contents = library.contents()
                ids = {id for id, _ in contents}
                points = [point for point in library.map() if point[0] in ids]
                if len(points) == len(ids):
                    return points
                vectors = library.vectors_of([hash_ for _, hash_ in contents])
            places = project(vectors)  # others may search meanwhile
            points = [(id, float(x), float(y)) for (id, _), (x, y) in zip(contents, places, strict=True)]
            with self._open() as library:
                library.store_map(points)
        return points

    def _find(self, terms: Sequence[Term], n: int, filters: Filters | None) -> list[Match]:
        with self._open() as library, library.snapshot():
            self._refresh(library)
            direction, named = self._direction(library, terms)
            return self._nearest(library, direction, named, n, filters)

    def _nearest(
        self,
        library: Library,
        direction: Float[np.ndarray, " dim"],
        named: Sequence[str],
        n: int,
        filters: Filters | None,
    ) -> list[Match]:
        """The tracks nearest to a direction, but for those of some contents."""
        among = library.ids(filters) if filters else None
        found = self._index.nearest(direction, n, among=among, without=library.ids_of(named))
        tracks = library.tracks_of([id for id, _ in found])
        return [
            self._match(library, track, score, direction)
            for track, (_, score) in zip(tracks, found, strict=True)
        ]

    def _direction(
        self, library: Library, terms: Iterable[Term]
    ) -> tuple[Float[np.ndarray, " dim"], list[str]]:
        """Where the sum of the terms points, and the content hashes of tracks that it asks for."""
        total, named = np.zeros(library.space.dim, np.float32), []
        for term in terms:
            content_hash, vector = self._vector(library, term.meaning)
            if content_hash is None:  # the mean of music is not the mean of words
                total += term.weight * units(vector[None])[0]
                continue
            total += term.weight * units((vector - self._index.centre)[None])[0]
            if term.weight > 0:
                named.append(content_hash)
        return units(total[None])[0], named

    def _vector(
        self, library: Library, meaning: Words | TrackNumber | Path
    ) -> tuple[str | None, Float[np.ndarray, " dim"]]:
        """What a term means as a vector, and the content hash of what sounds like that."""
        match meaning:
            case Words():
                return None, self._words(meaning.text)
            case TrackNumber():
                track = library.track(meaning.id)
                if meaning.seconds is None:
                    return track.content_hash, library.vectors([track])[0]
                return track.content_hash, _segment_at(library, track, meaning.seconds).vector
        return self._file(library, meaning)

    def _file(self, library: Library, path: Path) -> tuple[str, Float[np.ndarray, " dim"]]:
        """Content hash and vector of a file: from the library if it is known there, else by its model."""
        if not self.reads_files:
            track = library.at(path)
            if track is None:
                raise QueryError(f"{str(path)!r} is not in the library. Ask for one of its tracks.")
            return track.content_hash, library.vectors([track])[0]
        known = library.find(path)
        content_hash = known.content_hash if known else hash_content(path)
        vector = library.vector_of(content_hash)
        return content_hash, self._embedded(path) if vector is None else vector

    def _embedded(self, path: Path) -> Float[np.ndarray, " dim"]:
        space, encoder = self.space, _audio_side(self._loaded())
        vectors = embed(
            path, encoder, layer=space.layer, pool=space.pool, windows=space.windows,
            precision=space.precision,
        )  # fmt: skip
        return vectors[0].numpy()

    def _words(self, text: str) -> Float[np.ndarray, " dim"]:
        mulan = self.mulan()
        if mulan is None:
            raise QueryError(
                f"{self.path} was made by {self.space.model}, which knows no words. Ask for a track or "
                "a file, or make one with a music-text model: solfa index MUSIC --library NEW --model MODEL"
            )
        with torch.no_grad():
            return mulan.embed_text([text])[0].cpu().numpy()

    def _loaded(self) -> AudioEncoder | MuLan:
        """The model that made the library; checked once."""
        with self._model_lock:
            if self._model is None:
                self._model = _load_model(self._library)
            if not self._checked:
                space = self.space
                same = describe_space(
                    _audio_side(self._model), space.model, layer=space.layer, pool=space.pool,
                    windows=space.windows, precision=space.precision,
                )  # fmt: skip
                space.check_same(same, self.path)
                self._checked = True
            return self._model

    def _match(
        self, library: Library, track: LibraryTrack, score: float, direction: Float[np.ndarray, " dim"]
    ) -> Match:
        segments = library.segments(track)
        vectors = np.stack([segment.vector for segment in segments]) - self._index.centre
        best = segments[int(np.argmax(units(vectors) @ direction))]
        return Match(track, score, best.start, best.end)

    def _refresh(self, library: Library) -> None:
        state = library.state()
        if state != self._state:
            self._index.follow(library)
            self._state, self._n_tracks = state, len(library)
        if not self._n_tracks:
            raise LibraryError(
                f"{self.path} holds no tracks yet. Fill it: solfa index MUSIC --library {self.path}"
            )

    @contextmanager
    def _open(self) -> Iterator[Library]:
        """The library as it is now, for one thread; opened again if another file has taken its place."""
        with self._lock:
            state = self._library.state()
            if self._state and state[:2] != self._state[:2]:
                self._library.close()
                self._library, self._state, self._checked = Library(self.path), (), False
            yield self._library


def _segment_at(library: Library, track: LibraryTrack, seconds: float) -> LibrarySegment:
    """The segment of a track that is heard at a time."""
    for segment in library.segments(track):
        if segment.start <= seconds < segment.end:
            return segment
    raise QueryError(f"Track {track.id} lasts {track.seconds:.1f} s; there is nothing at {seconds:g} s.")


def _audio_side(model: AudioEncoder | MuLan) -> AudioEncoder:
    return ClipEncoder(model).eval() if isinstance(model, MuLan) else model


def _load_model(library: Library) -> AudioEncoder | MuLan:
    try:
        return load(library.space.model)
    except (ModelError, CheckpointError) as error:
        raise LibraryError(
            f"The model of {library.path} cannot be loaded: {error} "
            "If it is in another place now, name that with --model."
        ) from error
