"""Tags of a track and of its segments, by words alone, compared with the rest of the library."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from jaxtyping import Float

from solfa.models import MuLan
from solfa.retrieval import LibraryError, LibrarySegment, QueryError, Searcher
from solfa.retrieval.zero_shot import COMMON_TAGS, ZeroShotTagger
from solfa.serving.schemas import TagBar, TagsAnswer

MOST_TAGS = 60
LONGEST_TAG = 100  # letters
MOST_TRIES = 3  # if the library becomes one of another model meanwhile
COMPARED = 2_000  # tracks of the library that a track is compared with
KEPT = 8  # lists of tags
ALIKE = 1e-6  # cosines that differ by less are the same: products of matrices round by their shape


@dataclass(frozen=True, eq=False)
class _Known:
    """Tags that were asked for before."""

    tagger: ZeroShotTagger
    version: tuple[int, ...]  # of the library then
    sorted_scores: Float[np.ndarray, "tag track"]  # of tracks of the library, ascending


class LibraryTags:
    """How well tags fit the tracks of a library.

    The cosines of a tag say little alone: some words are near to all music. What counts is the rank among
    the tracks of the library. For several threads.
    """

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self._known: OrderedDict[tuple[str, ...], _Known] = OrderedDict()
        self._lock = Lock()

    def of(self, track_id: int, tags: Sequence[str] = ()) -> TagsAnswer:
        """Ranks and cosines of tags for a track, and ranks for its segments.

        Args:
            track_id: of the library.
            tags: any words; a list of common ones if there are none.

        Raises:
            QueryError: the model knows no words, or there are too many tags.
            LibraryError: there is no such track, or the model is gone.
        """
        if len(tags) > MOST_TAGS:
            raise QueryError(f"{len(tags)} tags are too many at once. Name at most {MOST_TAGS}.")
        wanted = tuple(tag.strip() for tag in tags)
        if not all(wanted):
            raise QueryError("A tag without a letter says nothing. Name some, such as piano.")
        for _ in range(MOST_TRIES):
            space = self.searcher.space
            mulan = self.searcher.mulan()
            if mulan is None:
                raise QueryError(
                    "The model of this library knows no words, so it has no tags. Make a library with a "
                    "music-text model: solfa index MUSIC --library NEW --model MODEL"
                )
            vectors, segments = self.searcher.vectors([track_id]), self.searcher.segments(track_id)
            known = self._remembered(mulan, wanted or COMMON_TAGS)
            if known is not None and self.searcher.space == space:
                return _answer(known, vectors, segments)
        raise LibraryError("The library becomes another one again and again. Ask once more later.")

    def _remembered(self, mulan: MuLan, tags: tuple[str, ...]) -> _Known | None:
        """What tags say of the library; None if it has become one of another model."""
        with self._lock:
            known = self._known.pop(tags, None)
        version = self.searcher.version()
        if known is None or known.version != version or known.tagger.mulan is not mulan:
            is_own = known is not None and known.tagger.mulan is mulan
            tagger = known.tagger if known and is_own else ZeroShotTagger(mulan, tags)
            vectors = self.searcher.sampled_vectors(COMPARED)
            if vectors.shape[1] != tagger.vectors.shape[1]:
                return None
            known = _Known(tagger, version, np.sort(_scores(tagger, vectors).T, axis=1))
        with self._lock:
            self._known[tags] = known
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return known


def _answer(
    known: _Known, vectors: Float[np.ndarray, "one dim"], segments: Sequence[LibrarySegment]
) -> TagsAnswer:
    whole = _scores(known.tagger, vectors)
    parts = _scores(known.tagger, np.stack([segment.vector for segment in segments]))
    ranks, over_time = _ranks(known, whole)[:, 0], _ranks(known, parts)
    order = sorted(range(len(ranks)), key=lambda n: (-ranks[n], -whole[0, n]))
    return TagsAnswer(
        bars=[
            TagBar(tag=known.tagger.labels[n], cosine=float(whole[0, n]), rank=float(ranks[n])) for n in order
        ],
        starts=[segment.start for segment in segments],
        ends=[segment.end for segment in segments],
        over_time=[np.round(over_time[n], 3).tolist() for n in order],
    )


def _scores(tagger: ZeroShotTagger, vectors: Float[np.ndarray, "row dim"]) -> Float[np.ndarray, "row tag"]:
    return tagger.scores(torch.from_numpy(np.ascontiguousarray(vectors, np.float32))).numpy()


def _ranks(known: _Known, scores: Float[np.ndarray, "row tag"]) -> Float[np.ndarray, "tag row"]:
    """Which share of the library's tracks each score exceeds; the track itself is not one of them."""
    below = [
        np.searchsorted(row, column - ALIKE)
        for row, column in zip(known.sorted_scores, scores.T, strict=True)
    ]
    n_others = max(1, known.sorted_scores.shape[1] - 1)
    return np.minimum(1.0, np.stack(below) / n_others)
