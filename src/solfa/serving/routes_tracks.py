"""Routes of the API about one track: what is known of it, what is like it, its picture and its sound."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from solfa.data.audio import AudioError
from solfa.retrieval import Answer, LibraryTrack
from solfa.retrieval.index import units
from solfa.serving.routes_search import PROBLEMS
from solfa.serving.schemas import (
    FoundAnswer,
    SimilarityAnswer,
    TagsAnswer,
    TrackAnswer,
    WaveformAnswer,
    media_type,
)
from solfa.serving.state import Desk, DeskOf, FiltersOf, Number, TagTexts, TrackId
from solfa.serving.streaming import FileSound, RangeError, Sound, WavSound, read_range, stream

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_SEGMENTS = 300  # in a picture of similarity
LARGEST_SEGMENT = 10**9

Form = Annotated[
    Literal["file", "wav"],
    Query(description="The file as it is, or decoded for who cannot read it."),
]

router = APIRouter(prefix="/api/tracks/{id}", tags=["a track"], responses=PROBLEMS)


@router.get("")
def track(desk: DeskOf, id: TrackId) -> TrackAnswer:
    """What is known of a track."""
    return desk.shown([desk.searcher.track(id)])[0]


@router.get("/similar")
def similar(
    desk: DeskOf,
    filters: FiltersOf,
    id: TrackId,
    n: Number = 10,
    segment: Annotated[int | None, Query(ge=0, le=LARGEST_SEGMENT)] = None,
) -> FoundAnswer:
    """Tracks that sound like a track, or like one of its segments."""
    return desk.found(Answer(matches=desk.searcher.similar(id, segment, n, filters)))


@router.get("/waveform")
async def waveform(desk: DeskOf, id: TrackId) -> WaveformAnswer:
    """How loud the track is over time. Computed the first time, and kept beside the library."""
    track = await desk.run(desk.readers, lambda: _there(desk.searcher.track(id)))
    peaks = desk.waveforms.known(track.content_hash)
    if peaks is None:
        make = lambda: desk.waveforms.of(track.path, track.content_hash)  # noqa: E731
        peaks = await desk.run(desk.decoders, lambda: _of_file(track, make))
    return WaveformAnswer(seconds=track.seconds, peaks=peaks.tolist())


@router.get("/tags")
async def tags(desk: DeskOf, id: TrackId, tag: TagTexts = []) -> TagsAnswer:  # noqa: B006  # it is copied
    """How well tags fit the track and its segments. Takes a library of a music-text model."""
    return await desk.run(desk.model, lambda: desk.tags.of(id, tag))


@router.get("/similarity")
def similarity(desk: DeskOf, id: TrackId) -> SimilarityAnswer:
    """How alike the segments of the track are, by the cosine of their vectors less the mean of them."""
    segments = desk.searcher.segments(id)[:MOST_SEGMENTS]
    vectors = np.stack([segment.vector for segment in segments])
    directions = units(vectors - vectors.mean(0)) if len(segments) > 1 else units(vectors)
    return SimilarityAnswer(
        starts=[segment.start for segment in segments],
        ends=[segment.end for segment in segments],
        cosines=np.round(directions @ directions.T, 3).tolist(),
    )


@router.head("/audio", include_in_schema=False)
@router.get("/audio", response_class=StreamingResponse)
async def audio(request: Request, desk: DeskOf, id: TrackId, form: Form = "file") -> Response:
    """The sound of the track, or a range of its bytes."""
    return await sound_answer(request, desk, id, form)


async def sound_answer(request: Request, desk: Desk, id: int, form: str) -> Response:
    """The sound of a track as a file or as WAV, or the range of it that a request asks for.

    Raises:
        HTTPException: the file is gone, or cannot be read or decoded.
    """
    track = await desk.run(desk.readers, lambda: _there(desk.searcher.track(id)))
    limiter = desk.decoders if form == "wav" else desk.readers
    sound, status = await desk.run(limiter, lambda: _of_file(track, lambda: _sound(track, form)))
    version = f'"{track.content_hash[:32]}-{status.st_size:x}-{status.st_mtime_ns:x}-{form}"'
    headers = {"Accept-Ranges": "bytes", "ETag": version, "Cache-Control": "private, no-cache"}
    wanted = request.headers.get("range")
    if request.headers.get("if-range", version) != version:
        wanted = None
    try:
        span = read_range(wanted, sound.n_bytes)
    except RangeError:
        sound.close()
        headers["Content-Range"] = f"bytes */{sound.n_bytes}"
        return JSONResponse({"error": f"The sound ends at byte {sound.n_bytes}."}, 416, headers=headers)
    start, stop = span or (0, sound.n_bytes)
    headers["Content-Length"] = str(stop - start)
    if span:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{sound.n_bytes}"
    status_code = 206 if span else 200
    if request.method == "HEAD":
        sound.close()
        return Response(status_code=status_code, headers=headers, media_type=sound.media_type)
    body = stream(sound, start, stop, limiter)
    return StreamingResponse(body, status_code=status_code, headers=headers, media_type=sound.media_type)


def _there(track: LibraryTrack) -> LibraryTrack:
    """The track if its file is there."""
    if not Path(track.path).is_file():
        raise _gone(track)
    return track


def _gone(track: LibraryTrack) -> HTTPException:
    return HTTPException(
        404, f"The file of track {track.id} is gone. Bring the library up to date: solfa index MUSIC"
    )


def _of_file(track: LibraryTrack, work: Callable[[], T]) -> T:
    """What some work makes of the file of a track, which may be gone or have become something else."""
    try:
        return work()
    except (HTTPException, AudioError, MemoryError):
        raise
    except FileNotFoundError:
        raise _gone(track) from None
    except OSError as error:
        log.warning("Track %d cannot be read: %s", track.id, error)
        raise HTTPException(503, f"The file of track {track.id} cannot be read just now.") from None
    except Exception:
        log.exception("Track %d cannot be decoded.", track.id)
        raise HTTPException(422, f"The file of track {track.id} cannot be decoded.") from None


def _sound(track: LibraryTrack, form: str) -> tuple[Sound, os.stat_result]:
    """The sound of a track, and what the file system says of its file."""
    kind = media_type(track.path)
    if form == "file" and not kind:
        raise HTTPException(415, "Browsers do not play this file as it is. Ask for form=wav.")
    if form == "file":
        sound = FileSound(track.path, kind)
        return sound, sound.status
    return WavSound(track.path), track.path.stat()
