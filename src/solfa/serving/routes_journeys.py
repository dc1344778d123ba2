"""Routes of the API that lead through a library: paths, clusters, doubles, more of a playlist, filters."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Query

from solfa.retrieval import Answer, Library
from solfa.retrieval.duplicates import Duplicate, candidates, find_duplicates
from solfa.retrieval.facets import facets_of
from solfa.retrieval.filters import FilterError, Filters
from solfa.retrieval.journeys import path_between, tracks_and_vectors
from solfa.serving.routes_keep import PlaylistId
from solfa.serving.routes_search import PROBLEMS
from solfa.serving.schemas import (
    LARGEST,
    ChoiceAnswer,
    ClusterAnswer,
    ClustersAnswer,
    DuplicateAnswer,
    DuplicatesAnswer,
    FacetAnswer,
    FacetsAnswer,
    FoundAnswer,
    MapCluster,
    MapClustersAnswer,
    PathAnswer,
    readable,
    track_answer,
)
from solfa.serving.state import Desk, DeskOf, FiltersOf, FilterTexts, Number

MOST_BETWEEN = 100  # tracks of a path
MOST_CLUSTERS = 60
MOST_COLOURS = 8  # that can be told apart on the map
MOST_OF_CLUSTER = 500  # tracks of a cluster that are sent, the most typical first
MOST_PAIRS = 500
PLACES = "Places cannot be named here. Name a folder by its name on the way to a track: folder=NAME."

Id = Annotated[int, Query(ge=1, le=LARGEST, description="The number of a track.")]

router = APIRouter(prefix="/api", tags=["journeys"], responses=PROBLEMS)


@router.get("/path")
async def path(
    desk: DeskOf, start: Id, end: Id, n: Annotated[int, Query(ge=0, le=MOST_BETWEEN)] = 8
) -> PathAnswer:
    """A path from one track to another over ``n`` others at most, each a little more like the end."""
    return await desk.run(desk.map, lambda: _path(desk, start, end, n))


@router.get("/clusters")
async def clusters(
    desk: DeskOf, n: Annotated[int | None, Query(ge=1, le=MOST_CLUSTERS)] = None
) -> ClustersAnswer:
    """Groups of tracks that sound alike, with names; as many as the library calls for, or ``n``."""
    return await desk.run(desk.map, lambda: _clusters(desk, n))


@router.get("/map/clusters")
async def map_clusters(desk: DeskOf) -> MapClustersAnswer:
    """Such groups as colours of the map: fewer of them, and all tracks by their numbers."""
    return await desk.run(desk.map, lambda: _map_clusters(desk))


@router.get("/duplicates")
async def duplicates(desk: DeskOf) -> DuplicatesAnswer:
    """Recordings that the library has more than once. The first call looks; ask again until it is done."""
    return await desk.run(desk.looking, lambda: _doubles(desk))


@router.get("/playlists/{id}/similar")
async def more_of_playlist(desk: DeskOf, filters: FiltersOf, id: PlaylistId, n: Number = 20) -> FoundAnswer:
    """Tracks that sound like those of a playlist together, such as what is liked."""
    return await desk.run(desk.readers, lambda: _more(desk, id, n, filters))


@router.get("/facets")
async def facets(desk: DeskOf, filter: FilterTexts = []) -> FacetsAnswer:  # noqa: B006  # it is copied
    """By what the tracks can be narrowed down, and how many tracks each filter leaves."""
    return await desk.run(desk.readers, lambda: _facets(desk, filter))


@dataclass
class Look:
    """A look for doubles through the tracks of a library, in a thread of its own."""

    version: tuple[int, ...]  # of the library
    contents: Sequence[tuple[int, str]]  # of its tracks, which likes and playlists leave as they are
    n_done: int = 0
    n_pairs: int = 0
    found: Sequence[Duplicate] = ()
    error: Exception | None = None
    is_done: threading.Event = field(default_factory=threading.Event)

    def run(self, desk: Desk) -> None:
        """Look; what goes wrong is told to who asks."""
        try:
            with Library(desk.searcher.path) as library:
                tracks, vectors = tracks_and_vectors(library)
            self.n_pairs = len(candidates(vectors, [track.seconds for track in tracks]))
            self.found = find_duplicates(tracks, vectors, lambda n, _: setattr(self, "n_done", n))
        except Exception as error:
            self.error = error
        self.is_done.set()


def _doubles(desk: Desk) -> DuplicatesAnswer:
    look = desk.look
    if look is None or (look.is_done.is_set() and (look.error or not _is_current(desk, look))):
        version = desk.searcher.version()
        with Library(desk.searcher.path) as library:
            look = desk.look = Look(version, library.contents())
        threading.Thread(target=look.run, args=(desk,), daemon=True).start()
    if look.error:
        raise look.error
    roots = desk.searcher.roots()
    return DuplicatesAnswer(
        is_done=look.is_done.is_set(), n_done=look.n_done, n_pairs=look.n_pairs,
        duplicates=[
            DuplicateAnswer(
                first=track_answer(pair.first, roots), second=track_answer(pair.second, roots),
                kind=pair.kind, agreement=round(pair.agreement, 4), offset=round(pair.offset, 2),
            )
            for pair in look.found[:MOST_PAIRS]
        ],
    )  # fmt: skip


def _is_current(desk: Desk, look: Look) -> bool:
    version = desk.searcher.version()
    if look.version != version:
        with Library(desk.searcher.path) as library:
            if library.contents() != look.contents:
                return False
        look.version = version
    return True


def _path(desk: Desk, start: int, end: int, n: int) -> PathAnswer:
    with Library(desk.searcher.path) as library:
        stops = path_between(library, start, end, n)
    return PathAnswer(tracks=desk.shown([stop.track for stop in stops]))


def _clusters(desk: Desk, n: int | None) -> ClustersAnswer:
    return ClustersAnswer(
        clusters=[
            ClusterAnswer(
                name=readable(group.name), n_tracks=len(group.ids),
                tracks=desk.shown(desk.searcher.tracks_of(group.ids[:MOST_OF_CLUSTER])),
            )
            for group in desk.groups(n)
        ]
    )  # fmt: skip


def _map_clusters(desk: Desk) -> MapClustersAnswer:
    groups = desk.groups(None, MOST_COLOURS)
    return MapClustersAnswer(
        clusters=[MapCluster(name=readable(group.name), ids=group.ids) for group in groups]
    )


def _more(desk: Desk, id: int, n: int, filters: Filters | None) -> FoundAnswer:
    with Library(desk.searcher.path) as library:
        ids = [track.id for track in library.playlist_tracks(library.playlist(id))]
    return desk.found(Answer(matches=desk.searcher.similar_to_all(ids, n, filters)))


def _facets(desk: Desk, chosen: Sequence[str]) -> FacetsAnswer:
    if Filters.parse(chosen).names_place:
        raise FilterError(PLACES)
    with Library(desk.searcher.path) as library:
        found = facets_of(library, chosen, library.roots())
    return FacetsAnswer(
        facets=[
            FacetAnswer(
                name=facet.name,
                choices=[
                    ChoiceAnswer(
                        label=readable(choice.label), filter=readable(choice.filter), n_tracks=choice.n_tracks
                    )
                    for choice in facet.choices
                ],
            )
            for facet in found
        ]
    )
