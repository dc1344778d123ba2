"""Routes for players that speak OpenSubsonic: songs, what sounds like them, paths, playlists, likes, sound.

Ids are the numbers of tracks and playlists. There are no albums, artists and pictures: what players list of
these is empty, and what they ask of them is not found.

Source:
    OpenSubsonic API 1.16.1 with the extensions formPost, apiKeyAuthentication and sonicSimilarity:
    https://opensubsonic.netlify.app/docs
"""

import logging
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from anyio import CapacityLimiter
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from solfa.errors import SolfaError
from solfa.retrieval import Library, LibraryTrack
from solfa.retrieval.journeys import path_between
from solfa.retrieval.names import find_named, words_of
from solfa.retrieval.playlists import Playlist
from solfa.serving.errors import OF_THE_ASKER
from solfa.serving.places import below
from solfa.serving.routes_tracks import sound_answer
from solfa.serving.schemas import media_type, readable
from solfa.serving.state import LONGEST_TEXT, Desk, DeskOf
from solfa.serving.subsonic_form import (
    GENERIC,
    NOT_ALLOWED,
    NOT_FOUND,
    Asked,
    PlayerError,
    Values,
    answered,
    check_password,
    check_protocol,
    refused,
)

log = logging.getLogger(__name__)

MOST_SONGS = 500  # in one answer
BY_SOUND = re.compile(r"\s*sounds like\s*:", re.IGNORECASE)
FORM = "application/x-www-form-urlencoded"
OPEN = "getOpenSubsonicExtensions"  # asked before anybody logs in
NOTHING_KEPT = (
    "Likes are not kept here. Who keeps the server allows that: over a network by solfa serve --editable "
    "with --password-file"
)
NO_JSONP = "f=jsonp would hand answers to other sites. Ask for xml or json."

router = APIRouter(prefix="/rest", include_in_schema=False)


@router.api_route("/{method}", methods=["GET", "HEAD", "POST"])
async def ask(request: Request, desk: DeskOf, method: str) -> Response:
    """Answer one call of a player."""
    pairs = request.query_params.multi_items()
    if request.headers.get("content-type", "").split(";")[0].strip().lower() == FORM:
        pairs += parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    asked, name = Asked(pairs), method.removesuffix(".view")
    try:
        if asked.all("f")[:1] == ["jsonp"]:
            raise PlayerError(GENERIC, NO_JSONP)
        check_protocol(asked)
        if desk.config.password and name != OPEN:
            check_password(asked, desk.config.password)
        if name == "stream":
            return await _stream(request, desk, asked)
        work = _method(name)
        values = await desk.run(_limiter(desk, name, asked), lambda: work(desk, asked))
    except PlayerError as error:
        return refused(asked, error)
    except HTTPException as error:
        code = NOT_FOUND if error.status_code == 404 else GENERIC
        return refused(asked, PlayerError(code, readable(str(error.detail))))
    except (SolfaError, MemoryError) as error:
        return refused(asked, _told(desk, name, error))
    return answered(asked, values)


def _method(name: str) -> Callable[[Desk, Asked], Values]:
    if name not in METHODS:
        known = ", ".join(sorted([*METHODS, "stream"]))
        raise PlayerError(GENERIC, f"This server has no {name!r:.50}. It has: {known}.", 404)
    return METHODS[name]


def _limiter(desk: Desk, name: str, asked: Asked) -> CapacityLimiter:
    """Who may wait for a model, for a writer or for all vectors keeps nobody else waiting."""
    if name in ("star", "unstar"):
        return desk.keeping
    if name == "findSonicPath":
        return desk.map
    return desk.words if any(BY_SOUND.match(text) for text in asked.all("query")) else desk.readers


def _told(desk: Desk, name: str, error: Exception) -> PlayerError:
    """An error as anybody may read it."""
    if isinstance(error, tuple(OF_THE_ASKER)):
        is_unknown = any(OF_THE_ASKER.get(kind) == 404 for kind in type(error).__mro__)
        return PlayerError(NOT_FOUND if is_unknown else GENERIC, readable(str(error)))
    log.warning("%a: %s", name, error)
    return PlayerError(GENERIC, desk.told(error))


async def _stream(request: Request, desk: Desk, asked: Asked) -> Response:
    """The sound of a track: its file where players know the format, else decoded to WAV."""
    id = asked.id()
    track = await desk.run(desk.readers, lambda: desk.searcher.track(id))
    is_file = media_type(track.path) and asked.all("format")[:1] != ["wav"]
    return await sound_answer(request, desk, id, "file" if is_file else "wav")


def _ping(desk: Desk, asked: Asked) -> Values:
    return {}


def _license(desk: Desk, asked: Asked) -> Values:
    return {"license": {"valid": True}}


def _extensions(desk: Desk, asked: Asked) -> Values:
    names = ["formPost", "sonicSimilarity", *(["apiKeyAuthentication"] if desk.config.password else [])]
    return {"openSubsonicExtensions": [{"name": name, "versions": [1]} for name in names]}


def _token_info(desk: Desk, asked: Asked) -> Values:
    return {"tokenInfo": {"username": "solfa"}}


def _song(desk: Desk, asked: Asked) -> Values:
    with Library(desk.searcher.path) as library:
        return {"song": _songs(library, [library.track(asked.id())])[0]}


def _similar_songs(name: str) -> Callable[[Desk, Asked], Values]:
    def work(desk: Desk, asked: Asked) -> Values:
        n = asked.count("count", 50, MOST_SONGS)
        matches = desk.searcher.similar(asked.id(), None, n) if n else []
        with Library(desk.searcher.path) as library:
            return {name: {"song": _songs(library, [match.track for match in matches])}}

    return work


def _sonic_similar_tracks(desk: Desk, asked: Asked) -> Values:
    n = asked.count("count", 10, MOST_SONGS)
    matches = desk.searcher.similar(asked.id(), None, n) if n else []
    return _sonic_matches(desk, [(match.track, match.cosine) for match in matches])


def _sonic_path(desk: Desk, asked: Asked) -> Values:
    n = asked.count("count", 25, MOST_SONGS)
    start, end = asked.id("startSongId"), asked.id("endSongId")
    with Library(desk.searcher.path) as library:
        stops = path_between(library, start, end, max(0, n - 2))
    return _sonic_matches(desk, [(stop.track, stop.cosine) for stop in stops])


def _sonic_matches(desk: Desk, found: Sequence[tuple[LibraryTrack, float]]) -> Values:
    """Tracks with their similarity: 1 for the same sound, 0 for the opposite one."""
    with Library(desk.searcher.path) as library:
        entries = _songs(library, [track for track, _ in found])
    similarities = [round(min(1.0, max(0.0, (1 + cosine) / 2)), 4) for _, cosine in found]
    return {
        "sonicMatch": [
            {"entry": entry, "similarity": similarity}
            for entry, similarity in zip(entries, similarities, strict=True)
        ]
    }


def _search(desk: Desk, asked: Asked) -> Values:
    """Songs whose names have the words of a query; all for none; by sound behind ``sounds like:``."""
    query = asked.text("query")[:LONGEST_TEXT]
    n, offset = asked.count("songCount", 20, MOST_SONGS), asked.count("songOffset", 0, 10**9)
    if not n:
        tracks = []
    elif BY_SOUND.match(query):
        found = desk.searcher.answer(query, min(offset + n, MOST_SONGS)).matches
        tracks = [match.track for match in found][offset:]
    else:
        with Library(desk.searcher.path) as library:
            is_all = not words_of(query)
            tracks = (
                library.tracks(n=n, offset=offset)
                if is_all
                else find_named(library, query, offset + n)[offset:]
            )
    with Library(desk.searcher.path) as library:
        return {"searchResult3": {"artist": [], "album": [], "song": _songs(library, tracks)}}


def _playlists(desk: Desk, asked: Asked) -> Values:
    with Library(desk.searcher.path) as library:
        lines = [_playlist(known, library.playlist_tracks(known)) for known in library.playlists()]
    return {"playlists": {"playlist": lines}}


def _playlist_of(desk: Desk, asked: Asked) -> Values:
    with Library(desk.searcher.path) as library:
        known = library.playlist(asked.id())
        tracks = library.playlist_tracks(known)
        return {"playlist": {**_playlist(known, tracks), "entry": _songs(library, tracks)}}


def _playlist(playlist: Playlist, tracks: Sequence[LibraryTrack]) -> dict[str, Any]:
    changed = _moment(playlist.changed)  # the library does not remember when it was made
    return {
        "id": str(playlist.id), "name": readable(playlist.name), "owner": "solfa", "public": True,
        "created": changed, "changed": changed, "songCount": len(tracks),
        "duration": round(sum(track.seconds for track in tracks)),
    }  # fmt: skip


def _starred(name: str) -> Callable[[Desk, Asked], Values]:
    def work(desk: Desk, asked: Asked) -> Values:
        with Library(desk.searcher.path) as library:
            return {
                name: {"artist": [], "album": [], "song": _songs(library, library.tracks_of(library.likes()))}
            }

    return work


def _star(likes: bool) -> Callable[[Desk, Asked], Values]:
    def work(desk: Desk, asked: Asked) -> Values:
        # Players change by GET, which a page elsewhere could make a browser send. It does not know a
        # password, and what it sends to this machine alone says where it comes from: the guard refuses it.
        if not (desk.config.is_editable and (desk.config.password or desk.config.is_private)):
            raise PlayerError(NOT_ALLOWED, NOTHING_KEPT)
        if asked.all("albumId") or asked.all("artistId"):
            raise PlayerError(NOT_FOUND, "There are no albums and artists here. Like songs.")
        ids = asked.ids("id") or [asked.id()]
        with Library(desk.searcher.path) as library:
            library.like([track.id for track in library.tracks_of(ids)], likes=likes)
        return {}

    return work


def _songs(library: Library, tracks: Sequence[LibraryTrack]) -> list[dict[str, Any]]:
    """Tracks as players take them."""
    roots = library.roots()
    liked = {playlist.is_of_likes: playlist.changed for playlist in library.playlists()}.get(True)
    likes = set(library.likes()) if liked else set()
    # The library does not remember when a track was liked: the last change of all likes stands for it.
    return [
        _child(track, roots) | ({"starred": _moment(liked)} if liked and track.id in likes else {})
        for track in tracks
    ]


def _child(track: LibraryTrack, roots: Sequence[Path]) -> dict[str, Any]:
    kind = media_type(track.path)
    child: dict[str, Any] = {
        "id": str(track.id), "isDir": False, "isVideo": False, "type": "music", "mediaType": "song",
        "title": readable(track.title), "duration": round(track.seconds), "samplingRate": track.sample_rate,
        "channelCount": track.n_channels, "suffix": readable(track.path.suffix.lower().lstrip(".")),
        "contentType": kind.split(";")[0] or "audio/wav", "path": readable(str(below(track.path, roots))),
    }  # fmt: skip
    for name in ("artist", "album", "genre"):
        if name in track.tags:
            child[name] = readable(track.tags[name])
    for name, tag in (("track", "track"), ("discNumber", "disc"), ("year", "year")):
        if number := re.match(r"[1-9]\d{0,8}", track.tags.get(tag, ""), re.ASCII):
            child[name] = int(number[0])
    return child


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


METHODS: dict[str, Callable[[Desk, Asked], Values]] = {
    "ping": _ping,
    "getLicense": _license,
    OPEN: _extensions,
    "tokenInfo": _token_info,
    "getSong": _song,
    "getSimilarSongs": _similar_songs("similarSongs"),
    "getSimilarSongs2": _similar_songs("similarSongs2"),
    "getSonicSimilarTracks": _sonic_similar_tracks,
    "findSonicPath": _sonic_path,
    "search3": _search,
    "getPlaylists": _playlists,
    "getPlaylist": _playlist_of,
    "getStarred": _starred("starred"),
    "getStarred2": _starred("starred2"),
    "star": _star(True),
    "unstar": _star(False),
}
