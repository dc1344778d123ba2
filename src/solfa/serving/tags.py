"""Tags of a track and of its segments, by words alone, each with its confidence."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np
import torch
from jaxtyping import Float

from solfa.models import MuLan
from solfa.retrieval import LibraryError, LibrarySegment, QueryError, Searcher
from solfa.retrieval.families import FAMILIES, FamilyTagger
from solfa.serving.schemas import TagBar, TagsAnswer

MOST_TAGS = 60
LONGEST_TAG = 100  # letters
MOST_TRIES = 3  # if the library becomes one of another model meanwhile
KEPT = 8  # lists of tags
OWN = "yours"  # the family of tags that somebody tries


class LibraryTags:
    """How well tags fit the tracks of a library. For several threads."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self._known: OrderedDict[tuple[str, ...], FamilyTagger] = OrderedDict()
        self._lock = Lock()

    def of(self, track_id: int, tags: Sequence[str] = ()) -> TagsAnswer:
        """Confidence of tags for a track and for its segments.

        Args:
            track_id: of the library.
            tags: any words, which are compared with each other and with any music; common ones, compared
                within their families, if there are none.

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
            tagger = self._remembered(mulan, wanted)
            if vectors.shape[1] == tagger.vectors.shape[1] and self.searcher.space == space:
                return _answer(tagger, vectors, segments)
        raise LibraryError("The library becomes another one again and again. Ask once more later.")

    def _remembered(self, mulan: MuLan, tags: tuple[str, ...]) -> FamilyTagger:
        with self._lock:
            known = self._known.pop(tags, None)
        if known is None or known.mulan is not mulan:
            known = FamilyTagger(mulan, {OWN: tags} if tags else FAMILIES)
        with self._lock:
            self._known[tags] = known
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return known


def _answer(
    tagger: FamilyTagger, vectors: Float[np.ndarray, "one dim"], segments: Sequence[LibrarySegment]
) -> TagsAnswer:
    whole = _confidences(tagger, vectors)[0]
    parts = _confidences(tagger, np.stack([segment.vector for segment in segments]))
    sure = tagger.sure(torch.from_numpy(whole))
    order = sorted(range(len(whole)), key=lambda n: (tagger.labels[n] not in sure, -whole[n]))
    return TagsAnswer(
        bars=[
            TagBar(
                tag=tagger.labels[n], family=tagger.families[n], confidence=round(float(whole[n]), 3),
                is_sure=tagger.labels[n] in sure,
            )
            for n in order
        ],
        starts=[segment.start for segment in segments],
        ends=[segment.end for segment in segments],
        over_time=[np.round(parts[:, n], 3).tolist() for n in order],
    )  # fmt: skip


def _confidences(tagger: FamilyTagger, vectors: Float[np.ndarray, "row dim"]) -> Float[np.ndarray, "row tag"]:
    return tagger.confidences(torch.from_numpy(np.ascontiguousarray(vectors, np.float32))).numpy()
