"""Routes for players that speak OpenSubsonic: songs, what sounds like them, paths, sound.

Ids are the numbers of tracks and playlists. Albums, artists and their pictures are in ``subsonic_albums``,
playlists and likes in ``subsonic_keep``.

Source:
    OpenSubsonic API 1.16.1 with the extensions formPost, apiKeyAuthentication and sonicSimilarity:
    https://opensubsonic.netlify.app/docs
"""

import logging
import re
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from anyio import CapacityLimiter
from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from solfa.errors import SolfaError
from solfa.retrieval import Library, LibraryTrack
from solfa.retrieval.journeys import path_between
from solfa.retrieval.names import find_named, words_of
from solfa.serving.errors import OF_THE_ASKER
from solfa.serving.limits import GUESSED, TooMuchError, client_of
from solfa.serving.routes_tracks import sound_answer
from solfa.serving.schemas import media_type, readable
from solfa.serving.state import LONGEST_QUERY, Desk, DeskOf
from solfa.serving.subsonic_albums import ALBUM_METHODS, MOST_SONGS, cover_answer, part, shelf_of
from solfa.serving.subsonic_form import (
    GENERIC,
    NOT_FOUND,
    WRONG_KEY,
    WRONG_PASSWORD,
    Asked,
    PlayerError,
    Values,
    answered,
    check_password,
    check_protocol,
    refused,
)
from solfa.serving.subsonic_items import album_folder, album_item, artist_item, songs
from solfa.serving.subsonic_keep import KEEPING_METHODS, READING_METHODS

log = logging.getLogger(__name__)

BY_SOUND = re.compile(r"\s*sounds like\s*:", re.IGNORECASE)
FORM = "application/x-www-form-urlencoded"
OPEN = "getOpenSubsonicExtensions"  # asked before anybody logs in
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
            _check_password(request, desk, asked)
        if name in ("stream", "download"):
            return await _stream(request, desk, asked)
        if name == "getCoverArt":
            return await cover_answer(desk, asked)
        work = _method(name)
        values = await desk.run(_limiter(desk, name, asked), lambda: work(desk, asked))
    except TooMuchError:
        raise
    except PlayerError as error:
        return refused(asked, error)
    except HTTPException as error:
        code = NOT_FOUND if error.status_code == 404 else GENERIC
        return refused(asked, PlayerError(code, readable(str(error.detail))))
    except (SolfaError, MemoryError) as error:
        return refused(asked, _told(desk, name, error))
    return answered(asked, values)


def _check_password(request: Request, desk: Desk, asked: Asked) -> None:
    """Let nobody pass without the password, or guess it. Raises PlayerError, TooMuchError."""
    client = client_of(request.scope)
    desk.guesses.check(client, GUESSED, "guesses", takes=False)
    try:
        check_password(asked, desk.config.password)
    except PlayerError as error:
        if error.code in (WRONG_PASSWORD, WRONG_KEY):
            desk.guesses.take(client)
        raise


def _method(name: str) -> Callable[[Desk, Asked], Values]:
    if name not in METHODS:
        known = ", ".join(sorted([*METHODS, "stream", "download", "getCoverArt"]))
        raise PlayerError(GENERIC, f"This server has no {name!r:.50}. It has: {known}.", 404)
    return METHODS[name]


def _limiter(desk: Desk, name: str, asked: Asked) -> CapacityLimiter:
    """Who may wait for a model, for a writer or for all vectors keeps nobody else waiting."""
    if name in KEEPING_METHODS:
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
        return {"song": songs(library, [library.track(asked.id())], desk.collection())[0]}


def _similar_songs(name: str) -> Callable[[Desk, Asked], Values]:
    def work(desk: Desk, asked: Asked) -> Values:
        n = asked.count("count", 50, MOST_SONGS)
        shelf = shelf_of(desk, asked)
        if not n:
            matches = []
        elif shelf is not None:
            matches = desk.searcher.similar_to_all([track.id for track in shelf], n)
        else:
            matches = desk.searcher.similar(asked.id(), None, n)
        with Library(desk.searcher.path) as library:
            return {name: {"song": songs(library, [match.track for match in matches], desk.collection())}}

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
        entries = songs(library, [track for track, _ in found], desk.collection())
    similarities = [round(min(1.0, max(0.0, (1 + cosine) / 2)), 4) for _, cosine in found]
    return {
        "sonicMatch": [
            {"entry": entry, "similarity": similarity}
            for entry, similarity in zip(entries, similarities, strict=True)
        ]
    }


def _search(name: str) -> Callable[[Desk, Asked], Values]:
    def work(desk: Desk, asked: Asked) -> Values:
        """Names that have the words of a query; all for none; songs by sound behind ``sounds like:``."""
        query = asked.text("query")[:LONGEST_QUERY]
        tracks, collection = _songs_found(desk, asked, query), desk.collection()
        is_of_names = not BY_SOUND.match(query)
        artists = part(asked, "artist", collection.artists_named(query)) if is_of_names else []
        albums = part(asked, "album", collection.albums_named(query)) if is_of_names else []
        make = album_item if name == "searchResult3" else album_folder
        with Library(desk.searcher.path) as library:
            likes = library.shelf_likes()
            return {
                name: {
                    "artist": [artist_item(artist, likes) for artist in artists],
                    "album": [make(album, likes) for album in albums],
                    "song": songs(library, tracks, collection),
                }
            }

    return work


def _songs_found(desk: Desk, asked: Asked, query: str) -> list[LibraryTrack]:
    n, offset = asked.count("songCount", 20, MOST_SONGS), asked.count("songOffset", 0, 10**9)
    if not n:
        return []
    if BY_SOUND.match(query):
        found = desk.searcher.answer(query, min(offset + n, MOST_SONGS)).matches
        return [match.track for match in found][offset:]
    with Library(desk.searcher.path) as library:
        if not words_of(query):
            return library.tracks(n=n, offset=offset)
        return find_named(library, query, offset + n)[offset:]


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
    "search2": _search("searchResult2"),
    "search3": _search("searchResult3"),
    **ALBUM_METHODS,
    **READING_METHODS,
    **KEEPING_METHODS,
}
