"""The application: the API, the page, and the guard before them."""

import mimetypes
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from solfa.errors import ArgumentError
from solfa.retrieval import Searcher
from solfa.serving import health, routes_journeys, routes_keep, routes_search, routes_tracks, subsonic
from solfa.serving.errors import add_handlers
from solfa.serving.guard import Guard
from solfa.serving.limits import Rates
from solfa.serving.notes import Notes
from solfa.serving.prefix import Prefix, checked_prefix
from solfa.serving.state import Desk, ServingConfig

PAGE = Path(__file__).parent / "page"
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
        raise ArgumentError("Strangers could open any file. Give a Searcher with reads_files=False.")
    config = config or ServingConfig()
    app = FastAPI(
        title="solfa", version=version("solfa"), description=DESCRIPTION, openapi_url="/api/openapi.json",
        docs_url=None, redoc_url=None, redirect_slashes=False,
        servers=[{"url": config.root_path}] if config.root_path else None,
    )  # fmt: skip
    app.state.desk = Desk(searcher, config)
    app.include_router(routes_search.router)
    app.include_router(routes_tracks.router)
    app.include_router(routes_keep.router)
    app.include_router(routes_journeys.router)
    app.include_router(subsonic.router)
    app.include_router(health.router)
    app.add_api_route("/", _index, include_in_schema=False)
    app.add_api_route("/api/docs", _docs, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=PAGE))
    add_handlers(app)
    _put_before(app, app.state.desk)
    return app


def _put_before(app: FastAPI, desk: Desk) -> None:
    """Put the guard before the routes, and before that who notes what is asked and answered."""
    config = desk.config
    if config.metrics_for != "nobody":
        from solfa.serving.metrics import Metrics

        desk.metrics = Metrics()
    app.add_middleware(
        Guard, address=config.address, names=config.names, most_bytes=config.most_bytes,
        upload_bytes=config.upload_bytes, upload_path=routes_search.UPLOAD_PATH,
        password=config.password, guesses=desk.guesses, rates=Rates(config.per_minute, config.per_minute),
        most_at_once=config.most_at_once,
        open_paths={health.METRICS_PATH} if config.metrics_for == "anybody" else (),
    )  # fmt: skip
    app.add_middleware(
        Notes, is_logged=config.logs_requests, tells_queries=config.tells_queries,
        takes_ids=bool(config.trusted_proxies), measure=desk.metrics,
    )  # fmt: skip
    if config.root_path:
        app.add_middleware(Prefix, prefix=checked_prefix(config.root_path))
    if config.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(config.trusted_proxies))


async def _index() -> FileResponse:
    return FileResponse(PAGE / "index.html")


async def _docs() -> FileResponse:
    return FileResponse(PAGE / "docs.html")
