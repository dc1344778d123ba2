"""The application: the API, the page, the guard before them, and errors as JSON."""

import mimetypes
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from solfa.data.audio import AudioError
from solfa.embedding import SpaceError
from solfa.models import ModelError
from solfa.retrieval import FilterError, LibraryError, QueryError, Searcher, UnknownTrackError
from solfa.serving import finding, tracks
from solfa.serving.answers import readable
from solfa.serving.desk import Desk, ServingConfig
from solfa.serving.guard import Guard

PAGE = Path(__file__).parent / "page"
STATUS: dict[type[Exception], int] = {
    QueryError: 400, FilterError: 400, UnknownTrackError: 404, AudioError: 422,
    LibraryError: 503, SpaceError: 503, ModelError: 503, ImportError: 503,
}  # fmt: skip
DESCRIPTION = """Search a library of music by words, tracks, segments and files, and hear what was found.

Every error is an object with one field, `error`, that says what to do. Nothing here needs more than `curl`:
`curl 'http://127.0.0.1:8765/api/search?q=12'`, `curl --data-binary @song.mp3 http://127.0.0.1:8765/api/query`.
"""

for suffix, kind in {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}.items():
    mimetypes.add_type(kind, suffix)  # what a system has registered for these may be wrong


def build_app(searcher: Searcher, config: ServingConfig | None = None) -> FastAPI:
    """The page of a library and its API.

    Args:
        searcher: of the library, with ``reads_files=False``.
        config: the usual one if None.

    Raises:
        ValueError: the searcher would open any file that a query names.
    """
    if searcher.reads_files:
        raise ValueError("Strangers could open any file. Give a Searcher with reads_files=False.")
    config = config or ServingConfig()
    app = FastAPI(
        title="solfa", version=version("solfa"), description=DESCRIPTION, openapi_url="/api/openapi.json",
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.desk = Desk(searcher, config)
    app.include_router(finding.router)
    app.include_router(tracks.router)
    app.add_api_route("/", _index, include_in_schema=False)
    app.add_api_route("/api/docs", _docs, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=PAGE))
    for error in STATUS:
        app.add_exception_handler(error, _known_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _wrong_request)
    app.add_middleware(
        Guard, address=config.address, names=config.names, most_bytes=config.most_bytes,
        upload_bytes=config.upload_bytes, upload_path=finding.UPLOAD_PATH,
    )  # fmt: skip
    return app


async def _index() -> FileResponse:
    return FileResponse(PAGE / "index.html")


async def _docs() -> FileResponse:
    return FileResponse(PAGE / "docs.html")


async def _known_error(request: Request, error: Exception) -> JSONResponse:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    text = error.reason if isinstance(error, AudioError) else str(error)
    return JSONResponse({"error": readable(text)}, status)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    text = "There is nothing at this address. See /api/docs." if error.detail == "Not Found" else error.detail
    return JSONResponse({"error": readable(text)}, error.status_code, headers=error.headers)


async def _wrong_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": readable(f"{place}: {first['msg']}. See /api/docs.")}, 422)
