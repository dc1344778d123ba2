"""Routes of the API about one track: what is known of it, what is like it, its picture and its sound."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from solfa.retrieval import LibraryTrack
from solfa.retrieval.index import units
from solfa.serving.answers import (
    FoundAnswer,
    SimilarityAnswer,
    TagsAnswer,
    TrackAnswer,
    WaveformAnswer,
    found_answer,
    media_type,
    track_answer,
)
from solfa.serving.desk import DeskOf, FiltersOf, Number
from solfa.serving.finding import PROBLEMS
from solfa.serving.streaming import FileSound, RangeError, Sound, WavSound, read_range, stream

MOST_SEGMENTS = 300  # in a picture of similarity

Form = Annotated[
    Literal["file", "wav"],
    Query(description="The file as it is, or decoded for who cannot read it."),
]

router = APIRouter(prefix="/api/tracks/{id}", tags=["a track"], responses=PROBLEMS)


@router.get("")
def track(desk: DeskOf, id: int) -> TrackAnswer:
    """What is known of a track."""
    return track_answer(desk.searcher.track(id))


@router.get("/similar")
def similar(
    desk: DeskOf,
    filters: FiltersOf,
    id: int,
    n: Number = 10,
    segment: Annotated[int | None, Query(ge=0)] = None,
) -> FoundAnswer:
    """Tracks that sound like a track, or like one of its segments."""
    return found_answer(desk.searcher.similar(id, segment, n, filters))


@router.get("/waveform")
async def waveform(desk: DeskOf, id: int) -> WaveformAnswer:
    """How loud the track is over time. Computed the first time, and kept beside the library."""
    track = await desk.run(desk.readers, lambda: _there(desk.searcher.track(id)))
    peaks = desk.waveforms.known(track.content_hash)
    if peaks is None:
        peaks = await desk.run(desk.decoders, lambda: desk.waveforms.of(track.path, track.content_hash))
    return WaveformAnswer(seconds=track.seconds, peaks=peaks.tolist())


@router.get("/tags")
async def tags(
    desk: DeskOf,
    id: int,
    tag: Annotated[list[str], Query(description="Any words; common ones if left out.")] = [],  # noqa: B006
) -> TagsAnswer:
    """How well tags fit the track and its segments. Takes a library of a music-text model."""
    return await desk.run(desk.model, lambda: desk.tags.of(id, tag))


@router.get("/similarity")
def similarity(desk: DeskOf, id: int) -> SimilarityAnswer:
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
async def audio(request: Request, desk: DeskOf, id: int, form: Form = "file") -> Response:
    """The sound of the track, or a range of its bytes."""
    track = await desk.run(desk.readers, lambda: _there(desk.searcher.track(id)))
    sound = await desk.run(desk.decoders if form == "wav" else desk.readers, lambda: _sound(track, form))
    version = f'"{track.content_hash[:32]}-{form}"'
    headers = {"Accept-Ranges": "bytes", "ETag": version, "Cache-Control": "private, no-cache"}
    wanted = request.headers.get("range")
    if request.headers.get("if-range", version) != version:
        wanted = None
    try:
        span = read_range(wanted, sound.n_bytes)
    except RangeError:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{sound.n_bytes}"})
    start, stop = span or (0, sound.n_bytes)
    headers["Content-Length"] = str(stop - start)
    if span:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{sound.n_bytes}"
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=sound.media_type)
    limiter = desk.decoders if form == "wav" else desk.readers
    body = stream(sound, start, stop, limiter)
    return StreamingResponse(body, status_code=status, headers=headers, media_type=sound.media_type)


def _there(track: LibraryTrack) -> LibraryTrack:
    """The track if its file is there."""
    if not Path(track.path).is_file():
        raise HTTPException(
            404, f"The file of track {track.id} is gone. Bring the library up to date: solfa index MUSIC"
        )
    return track


def _sound(track: LibraryTrack, form: str) -> Sound:
    kind = media_type(track.path)
    if form == "file" and not kind:
        raise HTTPException(415, "Browsers do not play this file as it is. Ask for form=wav.")
    return FileSound(track.path, kind) if form == "file" else WavSound(track.path)
