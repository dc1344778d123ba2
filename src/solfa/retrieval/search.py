"""Searcher: a library that answers queries by words, tracks, segments, files and sums of these."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from solfa.data.manifest import hash_content
from solfa.embedding.space import Space
from solfa.retrieval.answers import MOST_NAMED, Answer, Match, honest
from solfa.retrieval.contents import LibrarySegment, LibraryTrack
from solfa.retrieval.expression import (
    MOST_TERMS,
    QueryError,
    Term,
    TrackNumber,
    WordlessError,
    Words,
    parse_query,
)
from solfa.retrieval.file import LibraryError
from solfa.retrieval.filters import FilterError, Filters
from solfa.retrieval.index import ExactIndex, Index
from solfa.retrieval.library import Library
from solfa.retrieval.library_model import LibraryModel
from solfa.retrieval.live import LiveLibrary
from solfa.retrieval.moments import direction_of, named_vector
from solfa.retrieval.names import Name, completed, find_named
from solfa.retrieval.projection import place
from solfa.retrieval.ranking import Sought, rank
from solfa.retrieval.worth import FEWEST_REFERENCES, N_REFERENCES, references

if TYPE_CHECKING:
    import solfa.models

log = logging.getLogger(__name__)

Point = tuple[int, float, float]  # number of a track, x, y
Known = tuple[str | None, Float[np.ndarray, " dim"]]  # content hash, unless it is words; vector
Heard = Mapping[Words | Path, Known]
MOST_TRIES = 3  # of a query, if its library becomes one of another model meanwhile


class Searcher:
    """Answers queries about a library, and follows what others change in it. May be used by several threads.

    A query that a model must understand first keeps nobody waiting who needs no model.

    Args:
        path: the library.
        encoder: the model that made it, for queries by words and by unknown files; loaded by the name in the
            library when it is needed, if None.
        index: what finds the nearest vectors; exact if None.
        reads_files: whether a query may name any file, and a filter any folder. If not, as is wise where
            strangers ask, only files of the library are known, no other is looked at, and folders are named
            below those that hold the whole library.

    Raises:
        LibraryError: there is no library, or it is damaged.
    """

    def __init__(
        self,
        path: Path,
        encoder: "solfa.models.AudioEncoder | solfa.models.MuLan | None" = None,
        *,
        index: Index | None = None,
        reads_files: bool = True,
    ) -> None:
        self.path, self.reads_files = Path(path), reads_files
        self._index = index or ExactIndex()
        self._live = LiveLibrary(self.path)
        self._followed: tuple[int, ...] = (1,)  # what the index last followed: space and state of the library
        self._n_tracks = 0
        self._sampled: Float[np.ndarray, "track dim"] | None = None  # tracks that others are compared with
        self._model = LibraryModel(self.path, lambda: self.space, encoder)
        self._map_lock = threading.Lock()

    def __enter__(self) -> "Searcher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the library."""
        self._live.close()

    @property
    def space(self) -> Space:
        """Of the library's vectors."""
        return self._live.space

    def count(self, filters: Filters | None = None) -> int:
        """Number of tracks that pass the filters."""
        with self._live.read() as library:
            return len(library.ids(self._allowed(library, filters) or Filters()) if filters else library)

    def tracks(
        self, offset: int = 0, n: int | None = None, filters: Filters | None = None
    ) -> list[LibraryTrack]:
        """Tracks by path: ``n`` of those that pass the filters, after ``offset`` others."""
        with self._live.read() as library:
            return library.tracks(self._allowed(library, filters), n=n, offset=offset)

    def track(self, id: int) -> LibraryTrack:
        """The track of a number. Raises LibraryError if there is none."""
        with self._live.read() as library:
            return library.track(id)

    def segments(self, track_id: int) -> list[LibrarySegment]:
        """The segments of a track, in the order of time."""
        with self._live.read() as library:
            return library.segments(library.track(track_id))

    def roots(self) -> list[Path]:
        """The folders that hold the whole library; see ``Library.roots``."""
        with self._live.read() as library:
            return library.roots()

    def search(self, query: str, n: int = 10, filters: Filters | None = None) -> list[Match]:
        """The tracks that fit a query best, best first; those that it names are left out.

        Args:
            query: words, or terms with signs and weights as ``expression`` describes them.
            n: at most so many.
            filters: only tracks that pass are considered.

        Raises:
            QueryError: the query cannot be understood, or the model of the library knows no words.
            FilterError: the filters cannot be understood, or name a folder that they may not.
            LibraryError: it names a track that is not there, the library is empty, or its model is gone.
            AudioError, FileNotFoundError: it names a file that cannot be read.
            SpaceError: the model is not the one that made the library.
        """
        terms = parse_query(query).terms
        return self._find(terms, n, filters) if terms else []

    def answer(self, query: str, n: int = 10, filters: Filters | None = None) -> Answer:
        """As ``search``, and above that the tracks whose names have the words of the query.

        A library whose model knows no words answers by names alone. ``n`` counts the tracks by sound; those
        by name are ``MOST_NAMED`` at most, or ``n`` if the query asks for nothing else.
        """
        asked = parse_query(query)
        named = self._named(asked.name, min(n, MOST_NAMED) if asked.terms else n, filters)
        if not asked.terms:
            return Answer(named=named)
        try:
            matches = self._find(asked.terms, n, filters)
        except WordlessError as error:
            if not named:
                raise
            return Answer(named=named, notices=[str(error)])
        texts = [term.meaning.text for term in asked.terms if isinstance(term.meaning, Words)]
        return honest(named, matches, self._model.notices(texts), is_read=self._model.reads(texts))

    def names(self, text: str, n: int = 8) -> list[Name]:
        """Titles, artists, albums and folders that go on as a text begins, to be offered while typing."""
        with self._live.read() as library:
            return completed(library, text, n)

    def _named(self, text: str, n: int, filters: Filters | None) -> list[LibraryTrack]:
        if not text:
            return []
        with self._live.read() as library:
            return find_named(library, text, n, self._allowed(library, filters))

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

    def similar_to_all(self, ids: Sequence[int], n: int = 10, filters: Filters | None = None) -> list[Match]:
        """Tracks that sound like some together, which are left out; of very many, like the last ones."""
        terms = [Term(1.0, TrackNumber(id)) for id in ids[-MOST_TERMS:]]
        return self._find(terms, n, filters) if terms else []

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
        for _ in range(MOST_TRIES):
            with self._live.read() as library:
                n_spaces, vector = self._live.n_spaces, library.vector_of(content_hash)
            if vector is None:
                vector = self._embedded(path)
            with self._live.read() as library:
                if self._live.n_spaces == n_spaces:
                    self._refresh(library)
                    direction = direction_of([(1.0, vector - self._index.centre)])
                    sought = self._compared(library, direction, [(1.0, False)], True, [content_hash])
                    return rank(library, self._index, sought, n, self._allowed(library, filters))
        raise self._unsteady()

    def vectors(self, ids: Sequence[int]) -> Float[np.ndarray, "track dim"]:
        """The vectors of some tracks, in their order. Raises LibraryError if one is missing."""
        with self._live.read() as library:
            return library.vectors(library.tracks_of(ids))

    def sampled_ids(self, n: int) -> list[int]:
        """Numbers of at most ``n`` tracks, spread evenly over the library."""
        with self._live.read() as library:
            return _spread(library.ids(Filters()), n)

    def sampled_vectors(self, n: int) -> Float[np.ndarray, "track dim"]:
        """The vectors of the tracks of ``sampled_ids``."""
        with self._live.read() as library:
            return library.vectors(library.tracks_of(_spread(library.ids(Filters()), n)))

    def tracks_of(self, ids: Sequence[int]) -> list[LibraryTrack]:
        """The tracks of some numbers, in their order. Raises LibraryError if one is missing."""
        with self._live.read() as library:
            return library.tracks_of(ids)

    def known_of(self, ids: Sequence[int]) -> list[LibraryTrack]:
        """Those of the tracks of some numbers that are there, in any order."""
        with self._live.read() as library:
            return library.known_of(ids)

    def version(self) -> tuple[int, ...]:
        """Another one after each change of the library, also if another file has taken its place."""
        return self._live.version()

    def mulan(self) -> "solfa.models.MuLan | None":
        """The music-text model of the library; None if its model knows no words.

        Raises:
            LibraryError, SpaceError: its model is gone, or is another one by now.
        """
        return self._model.mulan()

    def map(self, *, anew: bool = False) -> list[Point]:
        """Number, x and y of each track in [-1, 1]: what sounds alike lies together. See ``place``.

        Made the first time or ``anew``, which takes seconds for some thousands, and kept in the library.
        Tracks that came since get places among the others.
        """
        with self._map_lock:
            with self._live.read() as library:
                space, contents = library.space, library.contents()
                ids = [id for id, _ in contents]
                known = {id: (x, y) for id, x, y in ([] if anew else library.map())}
                if known.keys() >= set(ids):
                    return [(id, *known[id]) for id in ids]
                vectors = library.vectors_of([hash_ for _, hash_ in contents])
            places = place(vectors, [known.get(id) for id in ids])  # others may search meanwhile
            points = [(id, float(x), float(y)) for id, (x, y) in zip(ids, places, strict=True)]
            # By a connection of its own: another process that writes is waited for without holding anybody
            # up, and who may not write here has the map all the same.
            try:
                with Library(self.path) as library:
                    if library.space == space and library.contents() == contents:
                        library.store_map(points)
            except LibraryError as error:
                log.warning("The map is not kept: %s", error)
        return points

    def _find(self, terms: Sequence[Term], n: int, filters: Filters | None) -> list[Match]:
        for _ in range(MOST_TRIES):
            with self._live.read() as library:
                self._refresh(library)
                n_spaces = self._live.n_spaces
            heard = self._heard(terms)
            with self._live.read() as library:
                if self._live.n_spaces == n_spaces:
                    self._refresh(library)
                    sought = self._sought(library, terms, heard)
                    return rank(library, self._index, sought, n, self._allowed(library, filters))
        raise self._unsteady()

    def _sought(self, library: Library, terms: Sequence[Term], heard: Heard) -> Sought:
        """Where the sum of the terms points, and the contents of tracks that it asks for."""
        parts: list[tuple[float, Float[np.ndarray, " dim"]]] = []
        forms: list[tuple[float, bool]] = []
        named = []
        for term in terms:
            if isinstance(term.meaning, TrackNumber):
                known: Known = named_vector(library, term.meaning)
            else:
                known = heard[term.meaning]
            content_hash, vector = known
            # The mean of music is not the mean of words.
            parts.append((term.weight, vector if content_hash is None else vector - self._index.centre))
            forms.append((term.weight, content_hash is None))
            if content_hash is not None and term.weight > 0:
                named.append(content_hash)
        wanted = [term.meaning for term in terms if term.weight > 0 and isinstance(term.meaning, Words)]
        has_known_words = self._model.knows(wanted)
        return self._compared(library, direction_of(parts), forms, has_known_words, named)

    def _compared(
        self,
        library: Library,
        direction: Float[np.ndarray, " dim"],
        forms: Sequence[tuple[float, bool]],
        has_known_words: bool,
        named: Sequence[str],
    ) -> Sought:
        """A query with others of the same form, and what is taken from tracks before they are compared."""
        has_words = any(is_words for _, is_words in forms)
        texts = self._model.reference_texts() if has_words else np.zeros((0, self.space.dim), np.float32)
        if self._sampled is None:
            ids = _spread(library.ids(Filters()), N_REFERENCES)
            self._sampled = library.vectors_of(library.hashes_of(ids))
        others = references(forms, texts, self._sampled - self._index.centre)
        is_of_words = all(is_words for _, is_words in forms)
        has_spread = is_of_words and len(self._sampled) >= FEWEST_REFERENCES
        centre = self._sampled.mean(0) if has_spread else self._index.centre
        return Sought(direction, others, centre, is_of_words, has_known_words, named)

    def _heard(self, terms: Sequence[Term]) -> Heard:
        """What the words and files among the terms mean. Nobody waits for it who needs no model."""
        meanings = [term.meaning for term in terms]
        texts = list(dict.fromkeys(meaning for meaning in meanings if isinstance(meaning, Words)))
        heard: dict[Words | Path, Known] = {}
        if texts:
            vectors = self._model.words(texts)
            heard |= {text: (None, vector) for text, vector in zip(texts, vectors, strict=True)}
        for path in dict.fromkeys(meaning for meaning in meanings if isinstance(meaning, Path)):
            heard[path] = self._file(path)
        return heard

    def _file(self, path: Path) -> tuple[str, Float[np.ndarray, " dim"]]:
        """Content hash and vector of a file: from the library if it is known there, else by its model."""
        with self._live.read() as library:
            track = library.find(path) if self.reads_files else library.at(path)
            if track is not None:
                return track.content_hash, library.vectors([track])[0]
        if not self.reads_files:
            raise QueryError(f"{str(path)!r} is not in the library. Ask for one of its tracks.")
        if not path.is_file():  # a pipe would be waited for, and a device never ends
            what = "is no audio file" if path.exists() else "is not there"
            raise FileNotFoundError(f"{str(path)!r} {what}. Name an audio file, or a track by its number.")
        content_hash = hash_content(path)
        with self._live.read() as library:
            vector = library.vector_of(content_hash)
        return content_hash, self._embedded(path) if vector is None else vector

    def _embedded(self, path: Path) -> Float[np.ndarray, " dim"]:
        return self._model.file(path)

    def _refresh(self, library: Library) -> None:
        """Let the index follow the library."""
        now = (self._live.n_spaces, self._live.n_opened, *library.state())
        if now != self._followed:
            if now[0] != self._followed[0]:
                self._index.forget()
            self._index.follow(library)
            self._followed, self._n_tracks, self._sampled = now, len(library), None
        if not self._n_tracks:
            raise LibraryError(
                f"{self.path} holds no tracks yet. Fill it: solfa index MUSIC --library {self.path}"
            )

    def _allowed(self, library: Library, filters: Filters | None) -> Filters | None:
        """Filters as they may be applied: strangers name folders below those that hold the library."""
        if filters is None or self.reads_files or not filters.folder:
            return filters
        if filters.names_place:
            raise FilterError(
                "Places cannot be named here. Name a folder by its name on the way to a track: folder=NAME."
            )
        return replace(filters, roots=tuple(library.roots()))

    def _unsteady(self) -> LibraryError:
        return LibraryError(f"{self.path} becomes another library again and again. Ask once more later.")


def _spread(ids: Sequence[int], n: int) -> list[int]:
    """At most ``n`` of some numbers, evenly."""
    return list(ids[:: -(-len(ids) // n)]) if ids else []
