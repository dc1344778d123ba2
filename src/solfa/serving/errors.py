"""Errors as answers: what was asked wrongly in full, what failed here without the places of this machine."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from solfa.data.audio import AudioError
from solfa.embedding import SpaceError
from solfa.models import ModelError
from solfa.models.checks import NotFiniteError
from solfa.retrieval import FilterError, LibraryError, QueryError, UnknownTrackError
from solfa.retrieval.playlists import PlaylistError, UnknownPlaylistError
from solfa.serving.limits import TooMuchError
from solfa.serving.notes import REFUSED
from solfa.serving.schemas import readable
from solfa.serving.state import Desk

log = logging.getLogger(__name__)

# The texts of the first are made of what was asked and of names, and are sent as they are.
OF_THE_ASKER: dict[type[Exception], int] = {
    QueryError: 400, FilterError: 400, UnknownTrackError: 404, PlaylistError: 409, UnknownPlaylistError: 404,
}  # fmt: skip
OF_THE_SERVER: dict[type[Exception], int] = {
    AudioError: 422, LibraryError: 503, SpaceError: 503, ModelError: 503, NotFiniteError: 503,
    ImportError: 503, MemoryError: 503,
}  # fmt: skip
KNOWN: tuple[type[Exception], ...] = (*OF_THE_ASKER, *OF_THE_SERVER)


def add_handlers(app: FastAPI) -> None:
    """Answer every foreseen error with an object of one field, ``error``; the guard answers the others."""
    for error in OF_THE_ASKER:
        app.add_exception_handler(error, _of_the_asker)
    for error in OF_THE_SERVER:
        app.add_exception_handler(error, _of_the_server)
    app.add_exception_handler(TooMuchError, _too_much)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _wrong_request)


async def _of_the_asker(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": readable(str(error))}, _status(error))


async def _of_the_server(request: Request, error: Exception) -> JSONResponse:
    desk: Desk = request.app.state.desk
    log.warning("%s %a: %s", request.method, request.url.path, error)
    return JSONResponse({"error": desk.told(error)}, _status(error))


async def _too_much(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TooMuchError)
    request.scope[REFUSED] = error.reason
    return JSONResponse({"error": str(error)}, error.status, headers={"Retry-After": error.retry_after})


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    text = "There is nothing at this address. See /api/docs." if error.detail == "Not Found" else error.detail
    return JSONResponse({"error": readable(text)}, error.status_code, headers=error.headers)


async def _wrong_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": readable(f"{place}: {first['msg']}. See /api/docs.")}, 422)


def _status(error: Exception) -> int:
    statuses = OF_THE_ASKER | OF_THE_SERVER
    return next(statuses[kind] for kind in type(error).__mro__ if kind in statuses)
