"""Desk: what all routes of the API share, and how the work is divided among threads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Query, Request

from solfa.embedding import SpaceError
from solfa.models import ModelError
from solfa.retrieval import Filters, LibraryError, Searcher
from solfa.serving.tags import LibraryTags
from solfa.serving.waveform import Waveforms

T = TypeVar("T")

MOST_FILTERS = 20
Number = Annotated[int, Query(ge=1, le=200, description="At most so many tracks.")]
FilterTexts = Annotated[
    list[str],
    Query(max_length=MOST_FILTERS, description="As of `solfa search --filter`, such as year=1990-1999."),
]


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """Where the page is served, and how much it takes."""

    address: str = "127.0.0.1"
    names: tuple[str, ...] = ()  # by which the server may be called besides its address
    most_bytes: int = 1_000_000  # of a request that is no upload
    upload_bytes: int = 100_000_000
    upload_seconds: float = 120.0  # that sending a file may take
    most_uploads: int = 8  # at once
    longest_query_seconds: float = 1_800.0  # of music in an upload
    n_decoders: int = 2  # threads that decode audio
    n_readers: int = 16  # threads that read files for players


@dataclass(frozen=True, kw_only=True)
class Ability:
    """What the model of the library understands."""

    knows_words: bool
    takes_files: bool
    notice: str


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
        # The limiters belong to the event loop that first uses them.
        self.decoders, self.readers = CapacityLimiter(config.n_decoders), CapacityLimiter(config.n_readers)
        self.model, self.files, self.map = (CapacityLimiter(1) for _ in range(3))

    async def run(self, limiter: CapacityLimiter, work: Callable[[], T]) -> T:
        """Do some work in one of a limiter's threads."""
        return await to_thread.run_sync(work, limiter=limiter)

    def ability(self) -> Ability:
        """What the model understands; loads it the first time, which may take seconds."""
        try:
            knows_words = self.searcher.mulan() is not None
        except (LibraryError, SpaceError, ModelError, ImportError) as error:
            return Ability(knows_words=False, takes_files=False, notice=str(error))
        name = self.searcher.space.model.rstrip("/").rsplit("/", 1)[-1]
        notice = "" if knows_words else f"This library was made by {name}, which knows no words."
        return Ability(knows_words=knows_words, takes_files=True, notice=notice)


async def desk_of(request: Request) -> Desk:
    """The desk of the application that a request came to."""
    desk: Desk = request.app.state.desk
    return desk


async def filters_of(filter: FilterTexts = []) -> Filters | None:  # noqa: B006  # the framework copies it
    """The filters of a request; None if there are none. Raises FilterError."""
    return Filters.parse(filter) if filter else None


DeskOf = Annotated[Desk, Depends(desk_of)]
FiltersOf = Annotated[Filters | None, Depends(filters_of)]
