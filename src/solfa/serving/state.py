"""Desk: what all routes of the API share, and how the work is divided among threads."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Path, Query, Request
from pydantic import StringConstraints

from solfa.data.audio import AudioError
from solfa.embedding import SpaceError
from solfa.models import ModelError
from solfa.retrieval import Answer, Filters, Library, LibraryError, LibraryTrack, Searcher
from solfa.retrieval.albums import Collection
from solfa.retrieval.clusters import usual_clusters
from solfa.retrieval.journeys import clusters_of
from solfa.serving.limits import GUESSES_AT_ONCE, GUESSES_PER_MINUTE, Rates, check_waiting
from solfa.serving.places import known_places, without_places
from solfa.serving.schemas import (
    LARGEST,
    FoundAnswer,
    TrackAnswer,
    found_answer,
    readable,
    track_answer,
)
from solfa.serving.tags import LONGEST_TAG, MOST_TAGS, LibraryTags
from solfa.serving.waveform import Waveforms

if TYPE_CHECKING:  # it takes an extra
    from solfa.serving.metrics import Metrics

T = TypeVar("T")

MOST_FILTERS = 20
LONGEST_TEXT = 500  # letters of a filter, and of a name that is begun
LONGEST_QUERY = 4_000  # letters: more words than a text model reads, which is said, and not cut off
WITHHELD = "The server cannot do this just now. Who keeps it finds the reason in the output of solfa serve."
TrackId = Annotated[int, Path(ge=1, le=LARGEST, description="The number of a track.")]
Number = Annotated[int, Query(ge=1, le=200, description="At most so many tracks.")]
FilterTexts = Annotated[
    list[Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]],
    Query(
        max_length=MOST_FILTERS,
        description="As of `solfa search --filter`, such as year=1990-1999; folders by their names.",
    ),
]
TagTexts = Annotated[
    list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TAG)]],
    Query(max_length=MOST_TAGS, description="Any words; common ones if left out."),
]


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """Where the page is served, and how much it takes."""

    address: str = "127.0.0.1"
    names: tuple[str, ...] = ()  # by which the server may be called besides its address
    password: str = ""  # that everybody needs; nobody if it is empty
    is_private: bool = False  # whether this machine alone reaches it; then playlists say where files lie
    is_editable: bool = False  # whether who asks may keep playlists and likes in the library
    most_bytes: int = 1_000_000  # of a request that is no upload
    upload_bytes: int = 100_000_000
    upload_seconds: float = 120.0  # that sending a file may take
    most_uploads: int = 8  # at once
    longest_query_seconds: float = 1_800.0  # of music in an upload
    n_word_readers: int = 2  # threads that let the model read words
    n_decoders: int = 2  # threads that decode audio
    n_readers: int = 16  # threads that read files for players
    most_waiting: int = 64  # requests for one kind of these threads
    most_at_once: int = 256  # requests that are being answered; 0 for any number
    per_minute: int = 0  # requests of one client; 0 for any number
    root_path: str = ""  # of a proxy, such as /music, below which the page lies
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded headers are believed
    logs_requests: bool = False  # a line for each
    tells_queries: bool = False  # in these lines
    metrics_for: Literal["nobody", "password", "anybody"] = "nobody"  # who may read metrics

    @property
    def lets_players_keep(self) -> bool:
        """Whether players may change playlists and likes.

        They do so by GET, which a page elsewhere could make a browser send. It does not know a password, and
        what it sends to this machine alone says where it comes from: the guard refuses it.
        """
        return self.is_editable and bool(self.password or self.is_private)


@dataclass(frozen=True, kw_only=True)
class Ability:
    """What the model of the library understands."""

    knows_words: bool
    takes_files: bool
    notice: str  # why it understands less than it might; for anybody
    reason: str  # likewise, in full: for who keeps the server


@dataclass(frozen=True)
class Group:
    """Tracks that sound alike, the most typical first."""

    name: str
    ids: Sequence[int]


class Desk:
    """A library, and the threads that answer for it.

    Searches are short and take turns in the threads of the framework. What takes longer has few threads of
    its own, and waits for these without holding any.
    """

    def __init__(self, searcher: Searcher, config: ServingConfig) -> None:
        self.searcher, self.config = searcher, config
        self.waveforms = Waveforms(searcher.path.with_name(f"{searcher.path.name}.waveforms"))
        self.tags = LibraryTags(searcher)
        self.n_uploads = 0
        self.guesses = Rates(GUESSES_PER_MINUTE, GUESSES_AT_ONCE)  # of the password
        self.metrics: Metrics | None = None
        self.look: Any = None  # for doubles, the last one
        self._collection: tuple[tuple[int, ...], str, Collection] | None = None
        self._collecting = threading.Lock()
        self._grouped: tuple[object, dict[int, list[Group]]] = (
            None,
            {},
        )  # clusters of a state, by their number
        # The limiters belong to the event loop that first uses them.
        self.decoders, self.readers = CapacityLimiter(config.n_decoders), CapacityLimiter(config.n_readers)
        self.words = CapacityLimiter(config.n_word_readers)
        self.model, self.files, self.map, self.keeping, self.looking = (CapacityLimiter(1) for _ in range(5))
        self.probes = CapacityLimiter(2)  # for who watches over the server

    async def run(self, limiter: CapacityLimiter | None, work: Callable[[], T]) -> T:
        """Do some work in one of a limiter's threads; in one of the framework's if there is none.

        Raises:
            TooMuchError: too much waits for these threads.
        """
        if limiter:
            check_waiting(limiter, self.config.most_waiting)
        return await to_thread.run_sync(work, limiter=limiter)

    def pools(self) -> dict[str, CapacityLimiter]:
        """What divides the threads, by kinds of work; for the event loop."""
        return {
            "decoders": self.decoders, "readers": self.readers, "words": self.words, "model": self.model,
            "uploads": self.files, "map": self.map, "changes": self.keeping, "doubles": self.looking,
            "others": to_thread.current_default_thread_limiter(),
        }  # fmt: skip

    def ability(self) -> Ability:
        """What the model understands; loads it the first time, which may take seconds."""
        try:
            knows_words = self.searcher.mulan() is not None
        except (LibraryError, SpaceError, ModelError, ImportError) as error:
            notice = self.told(error)
            return Ability(knows_words=False, takes_files=False, notice=notice, reason=str(error))
        name = self.searcher.space.model_name
        notice = "" if knows_words else f"This library was made by {name}, which knows no words."
        return Ability(knows_words=knows_words, takes_files=True, notice=notice, reason=notice)

    def collection(self) -> Collection:
        """The albums and artists of the library, as it is now; a like does not let them be gathered anew."""
        with self._collecting:
            known, version = self._collection, self.searcher.version()
            if known is None or known[0] != version:
                with Library(self.searcher.path) as library:
                    shelved = library.shelved()
                    collection = known[2] if known and known[1] == shelved else Collection(library)
                known = self._collection = version, shelved, collection
            return known[2]

    def groups(self, n: int | None, most: int | None = None) -> list[Group]:
        """Clusters of the tracks: seconds for some thousands, and kept as long as these stay the same.

        For one thread at a time.

        Args:
            n: clusters; by the number of tracks if None.
            most: of these at most.
        """
        mulan = self.searcher.mulan() if self.ability().knows_words else None
        with Library(self.searcher.path) as library:
            contents = library.contents()
            n = n or usual_clusters(len(contents))
            n = min(n, most or n)
            if self._grouped[0] != (contents, mulan is None):
                self._grouped = (contents, mulan is None), {}
            known = self._grouped[1]
            if n not in known:
                found = clusters_of(library, mulan, n) if contents else []
                known[n] = [Group(cluster.name, [track.id for track in cluster.tracks]) for cluster in found]
        return known[n]

    def shown(self, tracks: Sequence[LibraryTrack]) -> list[TrackAnswer]:
        """Tracks as the page shows them."""
        roots = self.searcher.roots()
        return [track_answer(track, roots) for track in tracks]

    def found(self, answer: Answer) -> FoundAnswer:
        """What was found as the page shows it."""
        return found_answer(answer, self.searcher.roots())

    def told(self, error: Exception) -> str:
        """What anybody may read of an error: names instead of places, and nothing of unknown places."""
        if isinstance(error, MemoryError):  # its text is nobody's
            return WITHHELD
        text = error.reason if isinstance(error, AudioError) else str(error)
        told = without_places(text, known_places(self.searcher.path, self.searcher.space.model))
        return readable(told) if told else WITHHELD


async def desk_of(request: Request) -> Desk:
    """The desk of the application that a request came to."""
    desk: Desk = request.app.state.desk
    return desk


async def filters_of(filter: FilterTexts = []) -> Filters | None:  # noqa: B006  # the framework copies it
    """The filters of a request; None if there are none. Raises FilterError."""
    return Filters.parse(filter) if filter else None


DeskOf = Annotated[Desk, Depends(desk_of)]
FiltersOf = Annotated[Filters | None, Depends(filters_of)]
