"""Routes for who keeps the server: whether it is well, and metrics for Prometheus."""

import logging
import sqlite3
from functools import partial

from anyio import fail_after, to_thread
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from solfa.errors import SolfaError
from solfa.serving.guard import HEALTH_PATH
from solfa.serving.limits import load_of
from solfa.serving.state import DeskOf

log = logging.getLogger(__name__)

METRICS_PATH = "/metrics"
SECONDS_TO_READ = 5.0  # a library; a disk that takes longer is taken for gone
NO_METRICS = "There are no metrics here. Who keeps the server turns them on: solfa serve --metrics password"

router = APIRouter(include_in_schema=False)


@router.api_route(HEALTH_PATH, methods=["GET", "HEAD"])
async def healthz(desk: DeskOf) -> JSONResponse:
    """Whether the library can be read, and nothing of what is in it."""
    try:
        with fail_after(SECONDS_TO_READ):
            await to_thread.run_sync(desk.searcher.count, limiter=desk.probes, abandon_on_cancel=True)
    except (SolfaError, OSError, sqlite3.Error, MemoryError) as error:  # a timeout is an OSError
        log.warning("The library cannot be read: %s", error or f"nothing in {SECONDS_TO_READ:g} s")
        return JSONResponse({"status": "unreadable"}, 503, headers={"Retry-After": "10"})
    return JSONResponse({"status": "ok"})


@router.get(METRICS_PATH)
async def metrics(desk: DeskOf) -> Response:
    """Metrics in the text format of Prometheus."""
    if desk.metrics is None:
        raise HTTPException(404, NO_METRICS)
    loads = {pool: load_of(limiter) for pool, limiter in desk.pools().items()}
    work = partial(desk.metrics.text, desk.searcher, loads, desk.n_uploads)
    text = await to_thread.run_sync(work, limiter=desk.probes)
    return Response(text, media_type=desk.metrics.media_type)
