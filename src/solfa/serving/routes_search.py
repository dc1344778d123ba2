"""Routes of the API that find tracks: the library, searches, files as queries, the map, playlists."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import Annotated, TypeVar

from anyio import fail_after, to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from solfa.data.audio import AudioError, probe_audio
from solfa.data.tags import values_of
from solfa.retrieval import Answer, Filters, LibraryTrack, QueryError, parse_query
from solfa.retrieval.export import WINDOWS, playlist
from solfa.retrieval.expression import Words
from solfa.serving.errors import KNOWN
from solfa.serving.limits import TooMuchError
from solfa.serving.places import below, shown_folder
from solfa.serving.schemas import (
    MOST_LISTED,
    ErrorResponse,
    Example,
    FoundAnswer,
    LibraryAnswer,
    MapAnswer,
    MapPoint,
    NameAnswer,
    NamesAnswer,
    PlaylistRequest,
    TracksAnswer,
    readable,
)
from solfa.serving.state import LONGEST_QUERY, LONGEST_TEXT, Ability, Desk, DeskOf, FiltersOf, Number

log = logging.getLogger(__name__)

T = TypeVar("T")

UPLOAD_PATH = "/api/query"
NO_ROOM = "There is no room for the file just now. Try again later, or send less."
UNUSABLE = "This file cannot be used: nothing here can read it. Send it in another format, such as FLAC."
WORDS = ("calm piano", "fast electronic music with drums", "dark orchestra")
BINARY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": ErrorResponse} for status in (400, 404, 413, 422, 500, 503)
}

router = APIRouter(prefix="/api", tags=["finding"], responses=PROBLEMS)


@router.get("/library")
async def library(desk: DeskOf) -> LibraryAnswer:
    """What is in the library, what its model understands, and some queries to begin with."""
    ability = await desk.run(desk.model, desk.ability)
    return await desk.run(desk.readers, lambda: _library(desk, ability))


@router.get("/tracks")
def tracks(
    desk: DeskOf, filters: FiltersOf, n: Number = 50, offset: Annotated[int, Query(ge=0, le=10**9)] = 0
) -> TracksAnswer:
    """Tracks by path: those that pass the filters."""
    found = desk.searcher.tracks(offset, n, filters)
    return TracksAnswer(tracks=desk.shown(found), n_tracks=desk.searcher.count(filters))


@router.get("/search")
async def search(
    desk: DeskOf,
    filters: FiltersOf,
    q: Annotated[str, Query(max_length=LONGEST_QUERY)],
    n: Number = 20,
) -> FoundAnswer:
    """The tracks that fit a query: words, track numbers, segments as in 12@1:35, and sums of them.

    Words are looked for in the names of tracks, too: `named: Kerberos` asks for names alone, `sounds like:
    rain` for the sound alone. For the sound they take a library of a music-text model, and need quotes only
    where they could be read as something else: piano + 0.5 * 12. Names of files are refused: see /api/query.
    """
    meanings = [term.meaning for term in parse_query(q).terms]
    if any(isinstance(meaning, Path) for meaning in meanings):
        raise QueryError(
            "Files cannot be named here. Drop the file onto the page, or send it to /api/query; a track of "
            "the library is asked for by its number."
        )
    # Words may wait for a model that is being loaded, and must not hold the threads of other requests then.
    has_words = any(isinstance(meaning, Words) for meaning in meanings)
    return await desk.run(desk.words if has_words else None, lambda: _search(desk, q, n, filters))


@router.get("/names")
def names(desk: DeskOf, q: Annotated[str, Query(max_length=LONGEST_TEXT)] = "", n: Number = 8) -> NamesAnswer:
    """Titles, artists, albums and folders that go on as somebody has begun to write."""
    found = desk.searcher.names(q, n)
    return NamesAnswer(names=[NameAnswer(text=readable(name.text), kind=name.kind) for name in found])


@router.post("/query", openapi_extra={"requestBody": {"required": True, **BINARY}})
async def search_by_file(request: Request, desk: DeskOf, filters: FiltersOf, n: Number = 20) -> FoundAnswer:
    """The tracks that sound like an audio file, which is the body of the request, as it is.

    It is forgotten when the answer is given.
    """
    if desk.n_uploads >= desk.config.most_uploads:
        raise TooMuchError("Too many files are being sent at once. Try again in a minute.", 60, "uploads")
    desk.n_uploads += 1
    try:
        with TemporaryDirectory(prefix="solfa-", ignore_cleanup_errors=True) as folder:
            path = Path(folder, "query")
            await _receive(request, path, desk.config.upload_seconds)
            return await desk.run(desk.files, lambda: _similar(desk, path, n, filters))
    except OSError as error:  # the disk is full, or its rights are wrong
        log.warning("An upload could not be kept: %s", error)
        raise HTTPException(503, NO_ROOM) from None
    finally:
        desk.n_uploads -= 1


@router.get("/map")
async def map(desk: DeskOf) -> MapAnswer:
    """Where all tracks lie on the map. The first time it is made, which takes seconds for some thousands."""
    return await desk.run(desk.map, lambda: _map(desk))


@router.post("/playlist", response_class=PlainTextResponse)
def make_playlist(desk: DeskOf, wish: PlaylistRequest) -> PlainTextResponse:
    """A playlist (M3U) of some tracks.

    Their files are named by the ways below the folder of the library, where the playlist should be kept; or
    by their places, where the server answers its own machine alone. ``form`` asks for the former in any case,
    and ``prefix`` is put before it: the folder of the music on another machine.
    """
    tracks, roots = desk.searcher.tracks_of(wish.ids), desk.searcher.roots()
    if wish.prefix.strip():
        kind = PureWindowsPath if WINDOWS.match(wish.prefix) else PurePosixPath
        start = kind(wish.prefix.strip())
        text = playlist(tracks, lambda path: start.joinpath(*below(path, roots).parts))
    elif desk.config.is_private and wish.form == "default":
        text = playlist(tracks)
    else:
        text = playlist(tracks, lambda path: below(path, roots))
    headers = {"Content-Disposition": 'attachment; filename="playlist.m3u8"'}
    return PlainTextResponse(text, headers=headers, media_type="audio/x-mpegurl")


def _library(desk: Desk, ability: Ability) -> LibraryAnswer:
    searcher = desk.searcher
    return LibraryAnswer(
        name=readable(searcher.path.stem),
        n_tracks=searcher.count(),
        model=readable(searcher.space.model_name),
        license=searcher.space.license,
        knows_words=ability.knows_words,
        takes_files=ability.takes_files,
        notice=ability.notice,
        upload_bytes=desk.config.upload_bytes,
        query_letters=LONGEST_QUERY,
        is_editable=desk.config.is_editable,
        tells_places=desk.config.is_private,
        examples=_examples(desk, ability.knows_words),
    )


def _examples(desk: Desk, knows_words: bool) -> list[Example]:
    """Queries that this library can answer."""
    examples = [Example(label=words, query=words) for words in WORDS] if knows_words else []
    ids = desk.searcher.sampled_ids(4)
    if ids:
        examples.append(Example(label=f"more like {ids[0]}", query=str(ids[0])))
    if len(ids) > 2:
        sum_of_three = f"{ids[0]} + {ids[1]} - {ids[2]}"
        examples.append(Example(label=sum_of_three, query=sum_of_three))
    if ids and knows_words:
        both = f"{ids[-1]} + piano"
        examples.append(Example(label=both, query=both))
    if ids:
        examples.append(Example(label=f"{ids[-1]} seconds=-3:00", query=f"{ids[-1]} seconds=-3:00"))
    return examples


async def _receive(request: Request, path: Path, seconds: float) -> None:
    """Write the body to a file as it comes; nobody waits for it but this request."""
    try:
        with fail_after(seconds), path.open("wb") as file:
            async for piece in request.stream():
                await to_thread.run_sync(file.write, piece)
    except TimeoutError:
        raise HTTPException(408, f"Nothing whole came within {seconds:g} s. Send less.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The file did not arrive whole. Send it again.") from None


def _search(desk: Desk, q: str, n: int, filters: Filters | None) -> FoundAnswer:
    return desk.found(desk.searcher.answer(q, n, filters) if desk.searcher.count() else Answer())


def _similar(desk: Desk, path: Path, n: int, filters: Filters | None) -> FoundAnswer:
    if not desk.searcher.count():
        return desk.found(Answer())
    longest = desk.config.longest_query_seconds
    seconds = _of_upload(desk, path, lambda: probe_audio(path).seconds)
    if not seconds <= longest:
        raise HTTPException(
            422, f"The file lasts {seconds / 60:.0f} minutes. Send one of at most {longest / 60:g}."
        )
    matches = _of_upload(desk, path, lambda: desk.searcher.similar_to_upload(path, n, filters))
    return desk.found(Answer(matches=matches))


def _of_upload(desk: Desk, path: Path, work: Callable[[], T]) -> T:
    """What some work makes of an upload. What no decoder or model foresaw in it is the fault of the file."""
    try:
        return work()
    except AudioError as error:
        raise HTTPException(422, f"This file cannot be used: {desk.told(error)}.") from None
    except KNOWN:
        raise
    except Exception:
        if not path.exists():  # the server was told to end, and has forgotten what was asked
            raise HTTPException(503, "The server ends. Ask again when it is back.") from None
        log.exception("An upload could not be used.")
        raise HTTPException(422, UNUSABLE) from None


def _map(desk: Desk) -> MapAnswer:
    points = desk.searcher.map()
    step = max(1, -(-len(points) // MOST_LISTED))
    shown = points[::step]
    tracks = {track.id: track for track in desk.searcher.known_of([id for id, _, _ in shown])}
    roots = desk.searcher.roots()
    return MapAnswer(
        points=[_point(tracks[id], x, y, roots) for id, x, y in shown if id in tracks],
        n_left_out=len(points) - len(shown),
    )


def _point(track: LibraryTrack, x: float, y: float, roots: Sequence[Path]) -> MapPoint:
    genres = values_of(track.tags.get("genre", ""))
    return MapPoint(
        id=track.id, x=round(x, 4), y=round(y, 4), title=readable(track.title),
        artist=readable(track.artist), genre=readable(genres[0]) if genres else "",
        folder=readable(shown_folder(track.path, roots)),
    )  # fmt: skip
