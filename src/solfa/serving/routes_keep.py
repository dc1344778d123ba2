"""Routes of the API for what people keep: playlists and likes, in the file of the library."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException

from solfa.retrieval import Library
from solfa.retrieval.playlists import Playlist
from solfa.serving.routes_search import PROBLEMS
from solfa.serving.schemas import (
    LARGEST,
    LikesAnswer,
    PlaylistAnswer,
    PlaylistChange,
    PlaylistLine,
    PlaylistsAnswer,
    PlaylistWish,
    readable,
    track_answer,
)
from solfa.serving.state import Desk, DeskOf, TrackId

T = TypeVar("T")

UNKEPT = (
    "This server keeps nothing for who reads it over the network. Who keeps it allows that: solfa serve "
    "--editable"
)
PlaylistId = Annotated[int, Path(ge=1, le=LARGEST, description="The number of a playlist.")]

router = APIRouter(prefix="/api", tags=["keeping"], responses=PROBLEMS)


@router.get("/playlists")
async def playlists(desk: DeskOf) -> PlaylistsAnswer:
    """All playlists: what is liked first, then by name."""
    found = await desk.run(desk.readers, lambda: _read(desk, Library.playlists))
    return PlaylistsAnswer(playlists=[_line(playlist) for playlist in found])


@router.post("/playlists", status_code=201)
async def make_playlist(desk: DeskOf, wish: PlaylistWish) -> PlaylistLine:
    """Keep some tracks as a playlist, in their order."""
    return _line(await _keep(desk, lambda library: library.make_playlist(wish.name, wish.ids)))


@router.get("/playlists/{id}")
async def playlist(desk: DeskOf, id: PlaylistId) -> PlaylistAnswer:
    """A playlist with those of its tracks that are in the library."""
    return await desk.run(desk.readers, lambda: _read(desk, lambda library: _answer(library, id)))


@router.patch("/playlists/{id}")
async def change_playlist(desk: DeskOf, id: PlaylistId, change: PlaylistChange) -> PlaylistLine:
    """Give a playlist another name, other tracks, or further ones at its end."""
    return _line(await _keep(desk, lambda library: _changed(library, id, change)))


@router.delete("/playlists/{id}", status_code=204)
async def remove_playlist(desk: DeskOf, id: PlaylistId) -> None:
    """Remove a playlist; its tracks stay."""
    await _keep(desk, lambda library: library.remove_playlist(library.playlist(id)))


@router.get("/likes")
async def likes(desk: DeskOf) -> LikesAnswer:
    """The numbers of all tracks that are liked."""
    return LikesAnswer(ids=await desk.run(desk.readers, lambda: _read(desk, Library.likes)))


@router.put("/likes/{id}")
async def like(desk: DeskOf, id: TrackId) -> LikesAnswer:
    """Like a track."""
    return LikesAnswer(ids=await _keep(desk, lambda library: library.like([id])))


@router.delete("/likes/{id}")
async def like_no_longer(desk: DeskOf, id: TrackId) -> LikesAnswer:
    """Like a track no longer."""
    return LikesAnswer(ids=await _keep(desk, lambda library: library.like([id], likes=False)))


async def _keep(desk: Desk, work: Callable[[Library], T]) -> T:
    """Change the library, by a connection of its own: nobody who searches is held up by another writer."""
    if not desk.config.is_editable:
        raise HTTPException(403, UNKEPT)

    return await desk.run(desk.keeping, lambda: _read(desk, work))


def _read(desk: Desk, work: Callable[[Library], T]) -> T:
    with Library(desk.searcher.path) as library:
        return work(library)


def _changed(library: Library, id: int, change: PlaylistChange) -> Playlist:
    known = library.playlist(id)
    if change.name is not None and change.name != known.name:
        known = library.rename_playlist(known, change.name)
    if change.ids is not None or change.added:
        before = [track.id for track in library.playlist_tracks(known)] if change.ids is None else change.ids
        known = library.fill_playlist(known, [*before, *change.added])
    return known


def _line(playlist: Playlist) -> PlaylistLine:
    return PlaylistLine(
        id=playlist.id, name=readable(playlist.name), n_tracks=playlist.n_tracks,
        is_of_likes=playlist.is_of_likes,
    )  # fmt: skip


def _answer(library: Library, id: int) -> PlaylistAnswer:
    known = library.playlist(id)
    tracks, roots = library.playlist_tracks(known), library.roots()
    return PlaylistAnswer(
        id=known.id,
        name=readable(known.name),
        is_of_likes=known.is_of_likes,
        tracks=[track_answer(track, roots) for track in tracks],
        n_missing=known.n_tracks - len(tracks),
    )
